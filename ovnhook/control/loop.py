"""Work that is done again and again, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ovnhook.base.logonce import LogOnce

_log = logging.getLogger(__name__)

_JOIN = 10.0  # seconds that a step has to end when the loop is stopped


class Loop:
    """Takes a step every so many seconds, from when it is started until it is stopped.

    Args:
        name: of the thread.
        step: one step, which is bounded in time.
        period: seconds between the end of one step and the begin of the next.
        failure: what the log says when a step fails, before the reason.

    Attributes:
        beat: called after each step.
    """

    def __init__(self, name: str, step: Callable[[], object], period: float, failure: str = "") -> None:
        self.name = name
        self.beat: Callable[[], None] = lambda: None
        self._step = step
        self._period = period
        self._errors = LogOnce(_log, failure or f"{name}: a step failed")
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

    def take_step(self) -> None:
        """Take a step; whatever goes wrong is logged, for the next one may go well, and nobody else takes it."""
        with self._errors.survived():
            self._step()

    def _run(self) -> None:
        while not self._stop.wait(self._period):
            self.take_step()
            self.beat()
