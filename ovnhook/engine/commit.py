"""Commit of planned changes as one transaction, planned again after a conflict."""

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

MakeChanges = Callable[[], Sequence[Change]]
"""Reads the current state and returns the changes to the desired state."""


def carry_out(
    northbound: Northbound,
    make: MakeChanges,
    deadline: Deadline,
    *,
    message: str = "",
    unblock: Callable[[Sequence[Change]], Sequence[Change]] | None = None,
    outage_tries: int = 1,
) -> bool:
    """Plan and commit; repeat after a conflict. Return True if there were changes.

    Example::

        def make() -> Sequence[Change]:
            cloud = northbound.cloud(deadline)
            return complete(router_rules.delete("blue", cloud), cloud)

        carry_out(northbound, make, deadline, message="router blue is deleted")

    Args:
        northbound: northbound database.
        make: reads and plans; called again after a conflict.
        deadline: when to give up.
        message: log message after the commit; "" to log each change.
        unblock: called with changes that conflicted; returns those to commit instead, or the same ones.
        outage_tries: as of `ovnhook.base.retry.repeat`.

    Raises:
        OvnhookError: raised by `make` or `unblock`, or Unavailable.
    """

    def attempt() -> bool:
        changes = make()
        try:
            northbound.commit(changes, deadline)
        except Conflict:
            unblocked = unblock(changes) if unblock else changes
            if unblocked == changes:
                raise
            northbound.commit(unblocked, deadline)
        _report(changes, message)
        return bool(changes)

    return repeat(attempt, deadline, outage_tries=outage_tries)


def once(northbound: Northbound, changes: Sequence[Change], deadline: Deadline) -> None:
    """Commit changes that were planned elsewhere.

    Raises:
        Conflict: they have to be planned again, from what is there now.
    """
    northbound.commit(changes, deadline)
    _report(changes, "")


def _report(changes: Sequence[Change], message: str) -> None:
    for line in [message] if message and changes else filter(None, map(str, changes)):
        _log.info("%s", line)


def tries(northbound: Northbound) -> int:
    """Number of attempts while the database is unreachable: a cluster recovers when it has elected a leader."""
    return _OUTAGE_TRIES if northbound.clustered else 1
