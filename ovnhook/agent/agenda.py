"""Work queue of the reconciler, and backoff of failed repairs. No I/O."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar
from uuid import UUID

_MOST_EVENTS = 10_000
_FIRST_RETRY = 2.0  # seconds
_LAST_RETRY = 10.0
_SOON = 2.0  # seconds, maximum until a scan because of a change
_CHANGE_INTERVAL = 10.0  # seconds between scans because of changes: a scan queries all domains

T = TypeVar("T", bound=Hashable)


class Event(Enum):
    """Kinds of libvirt events for a domain."""

    GONE = "stopped or undefined"
    ARRIVED = "migrated here"
    CHANGED = "redefined, or an interface plugged in or out"
    METADATA_CHANGED = "metadata changed"


@dataclass(frozen=True)
class Scan:
    """Request to compare all domains."""


class Agenda:
    """Queue of events, without duplicates, and the time of the next scan. Safe to share between threads.

    A due scan precedes all events, and events do not bring it forward; changes do, within limits.

    Args:
        clock: seconds, as ``time.monotonic()`` counts them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._events: dict[tuple[Event, UUID], None] = {}
        self._next_scan = clock()
        self._change_scan = float("inf")  # because of a change
        self._next_change_scan = 0.0  # the earliest one

    def add(self, event: Event, domain: UUID) -> None:
        """Queue an event, unless an equal one is pending."""
        with self._changed:
            if len(self._events) < _MOST_EVENTS:
                self._events[event, domain] = None
            else:  # a scan covers all events
                self._next_scan = min(self._next_scan, self._clock())
            self._changed.notify()

    def scan_within(self, seconds: float) -> None:
        """Schedule the next scan within that time, with jitter, so that hosts do not scan simultaneously."""
        with self._changed:
            self._next_scan = min(self._next_scan, self._clock() + random.uniform(0.5, 1.0) * seconds)
            self._changed.notify()

    def scan_after_change(self) -> None:
        """Schedule a scan soon, because of a change that was not expected; not many in a row."""
        with self._changed:
            soon = self._clock() + random.uniform(0.5, 1.0) * _SOON
            self._change_scan = min(self._change_scan, max(soon, self._next_change_scan))
            self._changed.notify()

    def next(self, most: float) -> Scan | tuple[Event, UUID] | None:
        """Wait up to `most` seconds for the next scan or event. The caller schedules the scan after this one."""
        end = self._clock() + most
        with self._changed:
            while True:
                now = self._clock()
                due = min(self._next_scan, self._change_scan)
                if now >= due:
                    if now >= self._change_scan:
                        self._next_change_scan = now + _CHANGE_INTERVAL
                    self._next_scan = self._change_scan = float("inf")
                    return Scan()
                if self._events:
                    key = next(iter(self._events))
                    del self._events[key]
                    return key
                if now >= end:
                    return None
                self._changed.wait(min(end, due) - now)


@dataclass(frozen=True)
class _Failure:
    times: int
    next_try: float
    error: str


class Failures(Generic[T]):
    """Repairs that failed, for example of differences, each with an exponential backoff of its own.

    Args:
        clock: seconds, as ``time.monotonic()`` counts them.
        first: seconds, maximum until the first retry.
        last: seconds, maximum until any other one.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, first: float = _FIRST_RETRY, last: float = _LAST_RETRY
    ) -> None:
        self._clock = clock
        self._first = first
        self._last = last
        self._known: dict[T, _Failure] = {}

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._known)

    def keep(self, repairs: Collection[T]) -> None:
        """Drop all but these."""
        self._known = {one: failure for one, failure in self._known.items() if one in repairs}

    def forget(self, repair: T) -> None:
        """Drop one that has succeeded."""
        self._known.pop(repair, None)

    def due(self, repairs: Collection[T]) -> list[T]:
        """Repairs to try now: first those that have not failed, then the longest waiting ones."""
        now = self._clock()
        waiting = {one: failure.next_try for one, failure in self._known.items()}
        return sorted((one for one in repairs if waiting.get(one, 0.0) <= now), key=lambda one: waiting.get(one, 0.0))

    def add(self, repair: T, error: str) -> bool:
        """Record a failure; return whether its error differs from the previous one."""
        before = self._known.get(repair)
        times = before.times + 1 if before else 1
        pause = min(self._last, self._first * 2.0 ** min(times - 1, 10)) * random.uniform(0.5, 1.0)
        self._known[repair] = _Failure(times, self._clock() + pause, error)
        return before is None or before.error != error

    def times(self, repair: T) -> int:
        """Number of failed attempts."""
        failure = self._known.get(repair)
        return failure.times if failure else 0

    def error(self, repair: T) -> str:
        """The last error, or ""."""
        failure = self._known.get(repair)
        return failure.error if failure else ""

    def wait(self) -> float:
        """Seconds until the next retry; infinite without failures."""
        return max(0.0, min((one.next_try for one in self._known.values()), default=float("inf")) - self._clock())
