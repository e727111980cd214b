"""How the services change the database: plan, commit, and again whenever somebody else was faster."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ovnhook.base.deadline import Deadline
from ovnhook.control.repairs import Repairs
from ovnhook.engine.commit import repeat
from ovnhook.resources.kind import Change

_log = logging.getLogger(__name__)


def carry_out(repairs: Repairs, plan: Callable[[], tuple[Change, ...]], words: str, deadline: Deadline) -> bool:
    """Commit what is planned, as one transaction; whether there was anything to change.

    Rows that somebody has deleted or changed are repaired first: a change is planned from what subnets and routers are,
    and can't be carried out on half of their rows.

    Args:
        repairs: of the database where it is committed.
        plan: reads what there is and says what has to change; called again when that was changed meanwhile.
        words: what the log says when it is done.
        deadline: when to give up.

    Raises:
        OvnhookError: what `plan` raised, or Unavailable.
    """

    def once() -> bool:
        repairs.repair(deadline)
        changes = plan()
        repairs.northbound.commit(changes, deadline)
        if changes:
            _log.info("%s", words)
        return bool(changes)

    return repeat(once, deadline)
