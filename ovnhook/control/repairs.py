"""Repair of ovnhook's rows that were deleted or changed by others.

Control services may do this concurrently: the second one finds nothing to repair.
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
from ovnhook.engine.commit import MakeChanges
from ovnhook.resources.kind import Change

_log = logging.getLogger(__name__)

_RECHECK_INTERVAL = 1.0  # seconds between two scans while there are defects
_INTERVAL = 10.0  # seconds between two scans without defects
_TIMEOUT = 5.0  # seconds for one scan


class Repairs:
    """Scans for defects in ovnhook's rows, and repairs those that persist for two scans.

    Args:
        northbound: northbound database.
    """

    def __init__(self, northbound: Northbound) -> None:
        self.northbound = northbound
        self._known = Integrity()
        self._lock = threading.Lock()
        self._seen: frozenset[Defect] = frozenset()
        self._next_scan = 0.0
        self._errors = LogOnce(_log, "cannot scan the rows of OVN_Northbound")
        self.loop = Loop("repairs", self._step, _RECHECK_INTERVAL)

    def defects(self, deadline: Deadline) -> tuple[Defect, ...]:
        """Defects found by a scan now."""
        return self._read(deadline).defects

    def repair(self, deadline: Deadline) -> None:
        """Scan and repair at once, before an operation that depends on the rows."""
        found = self._read(deadline)
        if found.repairable:
            self._repair(found, deadline)

    def carry_out(self, make: MakeChanges, message: str, deadline: Deadline) -> bool:
        """Repair, plan and commit; repeat after a conflict. Return True if there were changes.

        The repair comes first, because changes of a subnet or router depend on all of its rows.

        Args:
            make: reads and plans; called again after a conflict.
            message: log message after the commit.
            deadline: when to give up.

        Raises:
            OvnhookError: raised by `make`, or Unavailable.
        """

        def repair_and_make() -> Sequence[Change]:
            self.repair(deadline)
            return make()

        return commit.carry_out(self.northbound, repair_and_make, deadline, message=message)

    def _step(self) -> None:
        """Scan, if one is due."""
        if not self._seen and time.monotonic() < self._next_scan:
            return
        self._next_scan = time.monotonic() + _INTERVAL
        with self._errors.logged():
            self._scan()

    def _scan(self) -> None:
        """Repair the defects that the previous scan has found, too."""
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
        except Conflict as error:  # usually another control service was faster
            _log.info("repair of rows in OVN_Northbound conflicted: %s", error)
        else:
            for one in found.repairable:
                _log.warning("repaired in OVN_Northbound: %s", one.what)
