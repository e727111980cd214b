"""Which domains something is being done for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable

_REMEMBERED = 60.0  # seconds; nothing that was seen is acted on for so long
_STARTING = 120.0  # seconds between our hook and libvirt's event of the start, the most that other hooks are given
_ENDING = 20.0  # the same of an end, or of a migration that never arrives: there may be no event


class DomainLocks:
    """One lock for each domain that something is being done for, and when libvirt's hook last asked for that."""

    def __init__(self) -> None:
        self._asked: dict[UUID, float] = {}
        self._between: dict[UUID, tuple[str, float]] = {}  # the operation, and since when
        self._locks: defaultdict[UUID, threading.Lock] = defaultdict(threading.Lock)
        self._users: defaultdict[UUID, int] = defaultdict(int)
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def hold(self, domain: UUID, deadline: Deadline, name: str = "") -> Iterator[None]:
        """Hold a domain's lock.

        Args:
            domain: its UUID.
            deadline: when to give up.
            name: of the domain, where it is known.

        Raises:
            Unavailable: it could not be had before the deadline.
        """
        with self._guard:
            lock = self._locks[domain]
            self._users[domain] += 1
        is_held = lock.acquire(timeout=deadline.remaining)
        try:
            if not is_held:
                raise Unavailable(f"domain {name or domain} is busy: another operation on it has not ended")
            yield
        finally:
            if is_held:
                lock.release()
            with self._guard:
                self._users[domain] -= 1
                if not self._users[domain]:
                    del self._users[domain], self._locks[domain]

    def note(self, domain: UUID, operation: str) -> None:
        """Remember what the hook asks for now: what was seen of the domain before is old."""
        now = time.monotonic()
        with self._guard:
            self._asked = {other: when for other, when in self._asked.items() if now - when < _REMEMBERED}
            self._asked[domain] = now
            before, _ = self._between.get(domain, ("", 0.0))
            arrives = before == "migrate" and operation != "release"
            self._between[domain] = (before if arrives else operation, now)

    def asked(self, domain: UUID) -> float:
        """When it asked last, on the monotonic clock; 0 where that is long ago."""
        with self._guard:
            return self._asked.get(domain, 0.0)

    def settle(self, domain: UUID | None = None) -> None:
        """Note that libvirt has started or ended a domain, or that it is not known of any whether it has."""
        with self._guard:
            if domain is None:
                self._between.clear()
            else:
                self._between.pop(domain, None)

    def between(self) -> dict[UUID, float]:
        """The domains that libvirt is starting or ending, as far as is known, and for how many seconds.

        It holds their locks while it calls other hooks than ours. A question about such a domain would wait for that,
        and while it waits libvirt defines and undefines no other domain either.
        """
        now = time.monotonic()
        with self._guard:
            self._between = {
                domain: (operation, since)
                for domain, (operation, since) in self._between.items()
                if now - since < (_STARTING if operation in ("prepare", "start") else _ENDING)
            }
            return {domain: now - since for domain, (_, since) in self._between.items()}
