"""Tells others how this host is: which versions run on it, that its agent does, and which of its uplinks are down.

It is told in the southbound database, which every host of OVN reaches (ovnhook.databases.southbound). Neither libvirt
nor the northbound database is needed, so the agent does this on a gateway host that has no domains, too.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from ovnhook import __version__
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.databases.southbound import Report, Southbound
from ovnhook.databases.vswitch import Vswitch
from ovnhook.diagnosis.problems import BEAT
from ovnhook.engine import underlay

_log = logging.getLogger(__name__)

_CHECK = 5.0  # seconds until it is seen that the row lost what it said: ovn-controller may make a new one
_GLANCE = 0.25  # seconds between two looks at the uplinks
_PATIENCE = 5.0  # seconds for one of these
_SPREAD = 1.0  # seconds in which the hosts of a cloud tell of themselves when nothing is new


class HostReporter:
    """Looks and tells until it is stopped.

    Args:
        vswitch: this host's.
        problems: what can't be repaired on this host, a sentence each.
        beat: called as long as this goes on.
    """

    def __init__(
        self,
        vswitch: Vswitch,
        problems: Callable[[], tuple[str, ...]] = tuple,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._vswitch = vswitch
        self._problems = problems
        self._beat = beat
        self._stop = threading.Event()
        self._southbound: Southbound | None = None
        self._told: Report | None = None
        self._next_beat = self._next_check = self._next_measure = 0.0
        self._mtu = 0
        self._said = ""

    def run(self) -> None:
        """Look and tell."""
        wait = 0.0
        while not self._stop.wait(wait):
            self._beat()
            wait = random.uniform(0.1, 0.2) * _CHECK
            try:
                wait = self._look(Deadline.after(_PATIENCE))
                self._said = ""
            except OvnhookError as error:
                if str(error) != self._said:  # once, not at every look of an outage
                    _log.log(logging.getLevelName(error.log_level), "how this host is can't be told: %s", error)
                self._said = str(error)
            except Exception as error:  # whatever it is, the next look may go well, and nobody else tells
                if repr(error) != self._said:
                    _log.exception("how this host is can't be told, for a reason that was not foreseen")
                self._said = repr(error)

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def _look(self, deadline: Deadline) -> float:
        """Look, and tell what is new; seconds until the next look."""
        outside = self._vswitch.host(deadline)
        host = self._vswitch.chassis(deadline)
        down = tuple(sorted(network for network, is_up in outside.uplinks.items() if not is_up))
        southbound = self._at(outside.southbound)
        now = time.monotonic()
        if now >= self._next_measure:
            self._measure(deadline.half(_PATIENCE))
        report = Report(__version__, outside.version, down, self._problems(), self._mtu)
        if report == self._told and now >= self._next_check:
            self._next_check = now + random.uniform(0.5, 1.0) * _CHECK
            if not southbound.is_published(host, report, deadline):
                self._told = None
        if report != self._told or now >= self._next_beat:
            if not southbound.publish(host, report, time.time(), deadline):
                raise Unavailable(
                    f"the southbound database at {outside.southbound} does not know host {host}",
                    "is ovn-controller running?",
                )
            if self._told is None or down != self._told.uplinks_down:
                _log.info("told that uplinks are down: %s", ", ".join(down) or "none")
            self._told = report
            # All hosts in the same second: northd computes everything anew for a change of such a row (23.03 does), and
            # so it does that once for all of them.
            self._next_beat = now + BEAT - time.time() % BEAT + random.uniform(0, _SPREAD)
        wait = _GLANCE if outside.uplinks else random.uniform(0.5, 1.0) * _CHECK
        return min(wait, max(0.0, self._next_beat - now))

    def _measure(self, deadline: Deadline) -> None:
        """Look what the tunnels carry; what was known stays as long as nothing can be learned."""
        self._next_measure = time.monotonic() + _CHECK
        try:
            self._mtu = underlay.measure(self._vswitch, deadline)
        except Unavailable as error:
            _log.debug("what this host's tunnels carry is not known anew: %s", error)  # again and again
            return
        self._next_measure = time.monotonic() + BEAT

    def _at(self, remotes: str) -> Southbound:
        """The southbound database, which may have another place than before."""
        if self._southbound is None or self._southbound.database.remotes != remotes:
            if self._southbound is not None:
                self._southbound.database.close()
            self._southbound, self._told = None, None
            self._southbound = Southbound.of_host(remotes)
        return self._southbound
