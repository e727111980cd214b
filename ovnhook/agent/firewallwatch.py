"""Other firewalls of this host, watched: a rule of theirs that drops guests' packets is reported, not changed."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.base.logonce import LogOnce
from ovnhook.diagnosis import firewalls
from ovnhook.diagnosis.firewalls import Blocked
from ovnhook.diagnosis.values import CheckResult
from ovnhook.hostnetwork import passages, rulesets

_log = logging.getLogger(__name__)

_INTERVAL = 30.0  # seconds, maximum between two looks
_SHORT_INTERVAL = 10.0  # seconds, the same while something is dropped
_TIMEOUT = 10.0  # seconds for one look


class FirewallWatch:
    """Looks at the host's rulesets until the process ends.

    Args:
        beat: heartbeat of the loop.
    """

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat
        self._stop = threading.Event()
        self._errors = LogOnce(_log, "cannot read the rulesets of other firewalls")
        self._blocked: tuple[Blocked, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems to report."""
        return tuple(f"{one.what}: {one.hint}" for one in self._blocked)

    def run(self) -> None:
        """Run the loop."""
        wait = 0.0
        while not self._stop.wait(wait):
            self._beat()
            with self._errors.logged():
                self._look()
            wait = random.uniform(0.5, 1.0) * (_SHORT_INTERVAL if self._blocked else _INTERVAL)

    def stop(self) -> None:
        """Stop the loop."""
        self._stop.set()

    def check(self) -> list[CheckResult]:
        """Look now; return what is dropped.

        Raises:
            OvnhookError: the rulesets can't be read.
        """
        self._look()
        return [CheckResult.manual(one.what, one.hint) for one in self._blocked]

    def _look(self) -> None:
        deadline = Deadline.after(_TIMEOUT)
        wanted = passages.wanted(deadline)
        try:
            found = firewalls.blocked(rulesets.read(deadline), wanted) if wanted else []
        except ValueError as error:
            raise OvnhookError(f"unknown ruleset: {error}", "nft list ruleset") from error
        new = tuple(found)
        for one in new:
            if one not in self._blocked:
                _log.warning("%s: %s", one.what, one.hint)
        self._blocked = new
