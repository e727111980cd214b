"""Periodic work on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ovnhook.base.deadline import Deadline
from ovnhook.base.logonce import LogOnce

_log = logging.getLogger(__name__)


class Loop:
    """Runs a step periodically, between `start` and `stop`.

    Args:
        name: name of the thread.
        step: one step, with a deadline of its own.
        interval: seconds from the end of a step to the start of the next one.
        failure: log message if a step fails, before the error.

    Attributes:
        beat: called after each step, as heartbeat.
    """

    def __init__(self, name: str, step: Callable[[], object], interval: float, failure: str = "") -> None:
        self.name = name
        self.beat: Callable[[], None] = lambda: None
        self._step = step
        self._interval = interval
        self._errors = LogOnce(_log, failure or f"{name}: a step failed")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Begin no further step."""
        self._stop.set()

    def stop(self, deadline: Deadline) -> None:
        """Begin no further step, and wait for the end of the current one; after the deadline it may go on."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(deadline.remaining)

    def take_step(self) -> None:
        """Run one step, and log any error, since the loop must go on."""
        with self._errors.logged():
            self._step()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.take_step()
            self.beat()
