"""Locks and transitions of domains."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import takewhile
from uuid import UUID

from ovnhook.agent.hookoperation import HookOperation
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable

_REMEMBERED = 60.0  # seconds; no operation acts on older observations
_STARTING = 120.0  # seconds from our hook until libvirt's event of the start, for third-party hooks
_ENDING = 20.0  # the same for a stop, or a migration that does not arrive: there may be no event
_REPORTED = 5.0  # seconds from an operation until its changes of the domain's objects have been reported


class DomainLocks:
    """A lock for each domain with an operation in progress, and the times of its last hook calls."""

    def __init__(self) -> None:
        self._requests: dict[UUID, float] = {}
        self._in_transition: dict[UUID, tuple[HookOperation, float]] = {}  # operation and start time
        self._locks: defaultdict[UUID, threading.Lock] = defaultdict(threading.Lock)
        self._users: defaultdict[UUID, int] = defaultdict(int)
        self._ended: dict[UUID, float] = {}  # end of the last operation
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def hold(self, domain: UUID, deadline: Deadline, name: str = "") -> Iterator[None]:
        """Hold a domain's lock.

        Args:
            domain: its UUID.
            deadline: for acquiring it.
            name: of the domain, if known.

        Raises:
            Unavailable: it was not free before the deadline.
        """
        with self._guard:
            lock = self._locks[domain]
            self._users[domain] += 1
        is_held = lock.acquire(timeout=deadline.remaining)
        try:
            if not is_held:
                raise Unavailable(f"domain {name or domain} is busy: another operation is in progress")
            yield
        finally:
            if is_held:
                lock.release()
            with self._guard:
                self._users[domain] -= 1
                if not self._users[domain]:
                    del self._users[domain], self._locks[domain]
                _note(self._ended, domain, time.monotonic(), _REPORTED)

    def explain_changes(self, domain: UUID) -> bool:
        """Return whether changes of a domain's objects may be those of an operation here, now or just before."""
        with self._guard:
            return domain in self._users or time.monotonic() - self._ended.get(domain, float("-inf")) < _REPORTED

    def record_request(self, domain: UUID, operation: HookOperation) -> None:
        """Record a hook call: observations of the domain before it are stale."""
        with self._guard:
            now = time.monotonic()
            _note(self._requests, domain, now, _REMEMBERED)
            before, _ = self._in_transition.get(domain, (operation, 0.0))
            arrives = before is HookOperation.MIGRATE and operation is not HookOperation.RELEASE
            self._in_transition[domain] = (before if arrives else operation, now)

    def last_request(self, domain: UUID) -> float:
        """Time of the last hook call on the monotonic clock; 0 if there was none recently."""
        with self._guard:
            return self._requests.get(domain, 0.0)

    def end_transition(self, domain: UUID | None = None) -> None:
        """Record that libvirt has started or stopped a domain; without a domain: that all transitions are unknown."""
        with self._guard:
            if domain is None:
                self._in_transition.clear()
            else:
                self._in_transition.pop(domain, None)

    def in_transition(self) -> dict[UUID, float]:
        """Domains that libvirt is starting or stopping, as far as is known, with the seconds since.

        libvirt holds their locks while it calls third-party hooks. A call for such a domain would block, and while it
        is blocked libvirt can't define or undefine any domain.
        """
        now = time.monotonic()
        with self._guard:
            self._in_transition = {
                domain: (operation, since)
                for domain, (operation, since) in self._in_transition.items()
                if now - since < (_STARTING if operation.starts else _ENDING)
            }
            return {domain: now - since for domain, (_, since) in self._in_transition.items()}


def _note(times: dict[UUID, float], domain: UUID, now: float, kept: float) -> None:
    """Note the time of a domain, and drop times that are older than `kept` seconds. They are in order."""
    times.pop(domain, None)
    times[domain] = now
    for other in [*takewhile(lambda one: now - times[one] >= kept, times)]:
        del times[other]
