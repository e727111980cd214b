"""Repair of northbound rows of domains that contradict each other.

Several control services do this at once: each repair depends on what was read, so that the second one conflicts.
"""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, OvnhookError
from ovnhook.control.hostfeed import HostFeed
from ovnhook.control.loop import Loop
from ovnhook.databases.northbound import Northbound
from ovnhook.diagnosis.inconsistencies import Inconsistency, Key
from ovnhook.engine import commit

_log = logging.getLogger(__name__)

_INTERVAL = 1.0  # seconds between two looks at what has changed
_FULL_INTERVAL = 600.0  # seconds, maximum between two checks of all rows
_TIMEOUT = 5.0  # seconds for the repairs of one step
_BATCH = 200  # repairs in one transaction
_MAX_DELAY = 60.0  # seconds between two attempts of a repair that fails
_LOGGED = 20  # repairs of one transaction that are logged one by one
_REPORT_AFTER = 3  # failed repairs in a row, after which an inconsistency is reported


class ConsistencyRepairs:
    """Repairs the inconsistencies that two looks in a row find.

    Args:
        northbound: northbound database.
        feed: has all rows.
    """

    def __init__(self, northbound: Northbound, feed: HostFeed) -> None:
        self._northbound = northbound
        self._feed = feed
        self._seen: dict[Key, _Seen] = {}
        self._next_full = 0.0
        self.unrepaired: tuple[Inconsistency, ...] = ()
        """Inconsistencies that can't be repaired."""
        self.loop = Loop("consistency", self._step, _INTERVAL)

    def _step(self) -> None:
        now = time.monotonic()
        if now >= self._next_full:
            self._next_full = now + random.uniform(0.5, 1.0) * _FULL_INTERVAL
            self._feed.check_all()
        found = self._feed.inconsistencies() or {}
        seen = self._seen
        self._seen = {
            key: seen[key] if key in seen and seen[key].what == what else _Seen(what, now)
            for key, what in found.items()
        }
        self._repair_all([key for key, one in self._seen.items() if one.is_due(now)])
        self.unrepaired = tuple(one.what for one in self._seen.values() if one.failures >= _REPORT_AFTER)

    def _repair_all(self, keys: Sequence[Key]) -> None:
        """Repair in few transactions. Of one that conflicts, each repair is a transaction of its own."""
        deadline = Deadline.after(_TIMEOUT)
        groups: defaultdict[tuple[str, str], list[Key]] = defaultdict(list)
        for key in keys:
            groups[key.of, key.subnet].append(key)
        transactions = deque(
            group[start : start + _BATCH] for group in groups.values() for start in range(0, len(group), _BATCH)
        )
        while transactions and deadline.remaining:  # the next step continues
            some = transactions.popleft()
            try:
                self._repair(some, deadline)
            except OvnhookError as error:
                if isinstance(error, Conflict) and len(some) > 1:
                    transactions.extend([key] for key in some)
                else:
                    self._failed(some, error)

    def _repair(self, keys: Sequence[Key], deadline: Deadline) -> None:
        """Repair those that still exist, in one transaction."""
        repaired, changes = self._feed.repairs(keys)
        commit.once(self._northbound, changes, deadline)
        for key in repaired[:_LOGGED]:
            _log.warning("repaired in OVN_Northbound: %s", self._seen[key].what)
        if len(repaired) > _LOGGED:
            _log.warning("repaired in OVN_Northbound: %d more rows", len(repaired) - _LOGGED)
        for key in keys:
            del self._seen[key]

    def _failed(self, keys: Sequence[Key], error: OvnhookError) -> None:
        """Note a failure, and log it once it is reported: several control services repair at once."""
        for number, key in enumerate(keys):
            one = self._seen[key]
            if one.fail() and number < _LOGGED:
                _log.log(logging.getLevelName(error.log_level), "not repaired: %s: %s", one.what, error)


@dataclass
class _Seen:
    """An inconsistency that a look has found.

    Attributes:
        what: the inconsistency.
        since: time of the first look that has found it, on the monotonic clock.
        next_repair: earliest time of its repair, likewise.
        failures: number of repairs that have failed.
    """

    what: Inconsistency
    since: float
    next_repair: float = 0.0
    failures: int = 0

    def is_due(self, now: float) -> bool:
        """An earlier look has found it, too, and its repair is due."""
        return now > self.since + self.what.grace_period and now >= self.next_repair

    def fail(self) -> bool:
        """Note a failed repair; return True if it is reported from now on."""
        self.failures += 1
        delay = min(2.0 ** min(self.failures, 10), _MAX_DELAY)
        self.next_repair = time.monotonic() + random.uniform(0.5, 1.0) * delay
        return self.failures == _REPORT_AFTER
