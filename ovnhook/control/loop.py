"""Work that is done again and again, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

_JOIN = 10.0  # seconds that a step has to end when the loop is stopped


class Loop:
    """Takes a step every so many seconds, from when it is started until it is stopped.

    Args:
        name: of the thread.
        step: one step, which is bounded in time.
        period: seconds between the end of one step and the begin of the next.

    Attributes:
        beat: called after each step.
    """

    def __init__(self, name: str, step: Callable[[], object], period: float) -> None:
        self.name = name
        self.beat: Callable[[], None] = lambda: None
        self._step = step
        self._period = period
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
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
            self.beat()
