"""Changes carried out as one transaction, and planned anew while somebody else is faster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict
from ovnhook.base.retry import repeat
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.kind import Change

_log = logging.getLogger(__name__)

_OUTAGE_TRIES = 5

Plan = Callable[[], Sequence[Change]]
"""Reads what there is and says what has to change."""


def carry_out(
    northbound: Northbound,
    plan: Plan,
    deadline: Deadline,
    *,
    words: str = "",
    unblock: Callable[[Sequence[Change]], Sequence[Change]] | None = None,
    outage_tries: int = 1,
) -> bool:
    """Commit what is planned; whether there was anything to change.

    Args:
        northbound: where it is committed.
        plan: called again when what it has read was changed meanwhile.
        deadline: when to give up.
        words: what the log says when it is done, in place of what is said of each change.
        unblock: called with changes that were in conflict; those to commit in their place, or the same ones.
        outage_tries: as of `ovnhook.base.retry.repeat`.

    Raises:
        OvnhookError: what `plan` or `unblock` raised, or Unavailable.
    """

    def once() -> bool:
        changes = plan()
        try:
            northbound.commit(changes, deadline)
        except Conflict:
            others = unblock(changes) if unblock else changes
            if others == changes:
                raise
            northbound.commit(others, deadline)
        for said in [words] if words and changes else filter(None, map(str, changes)):
            _log.info("%s", said)
        return bool(changes)

    return repeat(once, deadline, outage_tries=outage_tries)


def tries(northbound: Northbound) -> int:
    """How often something is tried while the database is out of reach: a cluster comes back by itself."""
    return _OUTAGE_TRIES if northbound.clustered else 1
