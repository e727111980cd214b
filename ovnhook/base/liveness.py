"""Heartbeats of a process's loops, for systemd's watchdog (sd_notify(3), ``WATCHDOG=1``)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

_TIMEOUT = 60.0  # seconds; every wait of a loop has a shorter deadline


class Liveness:
    """Last heartbeat of each loop of a process. Thread-safe.

    Args:
        loops: names of the loops.
        clock: returns the time in seconds.
    """

    def __init__(self, loops: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = dict.fromkeys(loops, clock())

    def beat(self, loop: str) -> Callable[[], None]:
        """Return the function that a loop calls once per iteration."""
        return partial(self._beat, loop)

    def stuck(self) -> list[str]:
        """Loops whose last heartbeat is older than any of their waits may take."""
        with self._lock:
            return sorted(loop for loop, last in self._last.items() if self._clock() - last > _TIMEOUT)

    def _beat(self, loop: str) -> None:
        with self._lock:
            self._last[loop] = self._clock()
