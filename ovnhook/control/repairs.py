"""Repairs our own rows that somebody has deleted or changed, while the control service runs.

Several control services may do this at once: of two that repair the same, the second one finds nothing to repair.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict
from ovnhook.base.logonce import LogOnce
from ovnhook.control.loop import Loop
from ovnhook.databases import integrity
from ovnhook.databases.defects import Defect, Integrity
from ovnhook.databases.northbound import Northbound
from ovnhook.engine import commit
from ovnhook.engine.commit import Plan
from ovnhook.resources.kind import Change

_log = logging.getLogger(__name__)

_STEP = 1.0  # seconds until a difference is looked for again
_PERIOD = 10.0  # seconds between two comparisons while nothing differs
_TIMEOUT = 5.0  # seconds for one comparison


class Repairs:
    """Compares and repairs.

    Args:
        northbound: where the rows are.
    """

    def __init__(self, northbound: Northbound) -> None:
        self.northbound = northbound
        self._known = Integrity()
        self._lock = threading.Lock()
        self._seen: frozenset[Defect] = frozenset()
        self._next = 0.0
        self._errors = LogOnce(_log, "rows of OVN_Northbound are not compared")
        self.loop = Loop("repairs", self._step, _STEP)

    def defects(self, deadline: Deadline) -> tuple[Defect, ...]:
        """What is not as it is to be now."""
        return self._read(deadline).defects

    def repair(self, deadline: Deadline) -> None:
        """Repair what an operation builds on; what can't be repaired is left to `defects`."""
        found = self._read(deadline)
        if found.repairable:
            self._repair(found, deadline)

    def carry_out(self, plan: Plan, words: str, deadline: Deadline) -> bool:
        """Commit what is planned, as one transaction; whether there was anything to change.

        Rows that somebody has deleted or changed are repaired first: a change is planned from what subnets and routers
        are, and can't be carried out on half of their rows.

        Args:
            plan: reads what there is and says what has to change; called again when that was changed meanwhile.
            words: what the log says when it is done.
            deadline: when to give up.

        Raises:
            OvnhookError: what `plan` raised, or Unavailable.
        """

        def make() -> Sequence[Change]:
            self.repair(deadline)
            return plan()

        return commit.carry_out(self.northbound, make, deadline, words=words)

    def _step(self) -> None:
        """Compare, if it is time to."""
        if not self._seen and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PERIOD
        with self._errors.survived():
            self._compare()

    def _compare(self) -> None:
        """Repair what differed already a step ago."""
        seen, self._seen = self._seen, frozenset()
        deadline = Deadline.after(_TIMEOUT)
        found = self._read(deadline)
        if seen & {*found.repairable}:
            self._repair(found, deadline)
            found = self._read(deadline)
        self._seen = frozenset(found.repairable)

    def _read(self, deadline: Deadline) -> Integrity:
        with self._lock:
            known = self._known
        found = integrity.read(self.northbound, known, deadline)
        with self._lock:
            self._known = found
        return found

    def _repair(self, found: Integrity, deadline: Deadline) -> None:
        try:
            integrity.repair(self.northbound, found, deadline)
        except Conflict as error:  # most often another control service was faster
            _log.info("rows of OVN_Northbound changed while they were to be repaired: %s", error)
        else:
            for one in found.repairable:
                _log.warning("repaired in OVN_Northbound: %s", one.what)
