"""Work that is done again and again, on a thread of its own, and whether it still is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

_JOIN = 10.0  # seconds that a step has to end when the loop is stopped


class Loop:
    """Takes a step every so many seconds, from when it is started until it is stopped.

    Args:
        name: of the thread.
        step: one step, which is bounded in time.
        period: seconds between the end of one step and the begin of the next.
        clock: the monotonic time.
    """

    def __init__(
        self, name: str, step: Callable[[], object], period: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._step = step
        self._period = period
        self._clock = clock
        self._taken = clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def age(self) -> float:
        """Seconds since the last step ended, or since the loop was made."""
        return self._clock() - self._taken

    def start(self) -> None:
        """Begin."""
        self._taken = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """End; nothing where it never began."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    def _run(self) -> None:
        while not self._stop.wait(self._period):
            try:
                self._step()
            except Exception:  # whatever it is, the next step may go well, and nobody else takes it
                _log.exception("%s: a step failed for a reason that was not foreseen", self.name)
            self._taken = self._clock()
