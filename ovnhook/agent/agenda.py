"""What the reconciler does next, and when a repair that failed is tried again. No I/O."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from ovnhook.diagnosis.values import Difference

_MOST_EVENTS = 10_000
_FIRST_RETRY = 2.0  # seconds
_LAST_RETRY = 10.0


class Event(Enum):
    """What libvirt says of a domain."""

    GONE = "stopped or undefined"
    ARRIVED = "runs that did not run here before"
    CHANGED = "defined anew, or an interface plugged in or out"
    DESCRIBED = "other metadata"


@dataclass(frozen=True)
class Scan:
    """All domains are to be compared."""


class Agenda:
    """Events, one of each kind for each domain, and the time of the next scan. Safe to share between threads.

    A scan that is due comes before any event, and no event brings it forward.

    Args:
        clock: seconds, as ``time.monotonic()`` counts them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._events: dict[tuple[Event, UUID], None] = {}
        self._next_scan = clock()

    def add(self, event: Event, domain: UUID) -> None:
        """Let something be done for a domain, once, however often it is said before that."""
        with self._changed:
            if len(self._events) < _MOST_EVENTS:
                self._events[event, domain] = None
            else:  # a scan finds whatever an event would have told
                self._next_scan = min(self._next_scan, self._clock())
            self._changed.notify()

    def scan_within(self, seconds: float) -> None:
        """Let the next scan come in that time, or a little less: not all hosts at once."""
        with self._changed:
            self._next_scan = min(self._next_scan, self._clock() + random.uniform(0.5, 1.0) * seconds)
            self._changed.notify()

    def next(self, most: float) -> Scan | tuple[Event, UUID] | None:
        """Wait for what is to be done next, `most` seconds at most; who takes a scan says when the next one is."""
        end = self._clock() + most
        with self._changed:
            while True:
                now = self._clock()
                if now >= self._next_scan:
                    self._next_scan = float("inf")
                    return Scan()
                if self._events:
                    key = next(iter(self._events))
                    del self._events[key]
                    return key
                if now >= end:
                    return None
                self._changed.wait(min(end, self._next_scan) - now)


@dataclass(frozen=True)
class _Failure:
    times: int
    next_try: float
    error: str


class Failures:
    """Differences that could not be repaired: each waits for itself, longer every time, and holds up no other.

    Args:
        clock: seconds, as ``time.monotonic()`` counts them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Difference, _Failure] = {}

    def keep(self, differences: list[Difference]) -> None:
        """Forget those that are not there any more."""
        self._known = {one: failure for one, failure in self._known.items() if one in differences}

    def due(self, differences: list[Difference]) -> list[Difference]:
        """Those that may be tried now: first those that never failed, then those that have waited longest."""
        now = self._clock()
        waiting = {one: failure.next_try for one, failure in self._known.items()}
        return sorted(
            (one for one in differences if waiting.get(one, 0.0) <= now), key=lambda one: waiting.get(one, 0.0)
        )

    def add(self, difference: Difference, error: str) -> bool:
        """Note a failure; whether it is another one than the last time."""
        before = self._known.get(difference)
        times = before.times + 1 if before else 1
        pause = min(_LAST_RETRY, _FIRST_RETRY * 2.0 ** min(times - 1, 10)) * random.uniform(0.5, 1.0)
        self._known[difference] = _Failure(times, self._clock() + pause, error)
        return before is None or before.error != error

    def times(self, difference: Difference) -> int:
        """How often a difference could not be repaired."""
        failure = self._known.get(difference)
        return failure.times if failure else 0

    def wait(self) -> float:
        """Seconds until one may be tried again; infinite where there is none."""
        return max(0.0, min((one.next_try for one in self._known.values()), default=float("inf")) - self._clock())
