"""Status reports of this host: versions, heartbeat, uplinks that are down, problems and tunnel MTU.

They are written to the southbound database, which every OVN host reaches (ovnhook.databases.southbound). Neither
libvirt nor the northbound database is needed, so the agent of a gateway host without domains reports, too.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from ovnhook import __version__
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.databases.southbound import Report, Southbound
from ovnhook.databases.vswitch import Vswitch
from ovnhook.diagnosis.problems import BEAT
from ovnhook.engine import underlay

_log = logging.getLogger(__name__)

_CHECK_INTERVAL = 5.0  # seconds between checks of the row: ovn-controller may have recreated it
_UPLINK_INTERVAL = 0.25  # seconds between polls of the uplinks
_TIMEOUT = 5.0  # seconds for one poll
_JITTER = 1.0  # seconds of jitter between the heartbeats of hosts


class HostReporter:
    """Publishes this host's status until it is stopped.

    Args:
        vswitch: this host's.
        problems: returns the problems to report.
        beat: heartbeat of the loop.
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
        self._published: Report | None = None
        self._next_beat = self._next_check = self._next_measure = 0.0
        self._mtu = 0
        self._errors = LogOnce(_log, "cannot publish host status")

    def run(self) -> None:
        """Run the report loop."""
        wait = 0.0
        while not self._stop.wait(wait):
            self._beat()
            wait = random.uniform(0.1, 0.2) * _CHECK_INTERVAL
            with self._errors.logged():
                wait = self._poll(Deadline.after(_TIMEOUT))

    def stop(self) -> None:
        """Stop the loop."""
        self._stop.set()

    def _poll(self, deadline: Deadline) -> float:
        """Poll the host and publish changes; return the seconds until the next poll."""
        local = self._vswitch.host(deadline)
        host = self._vswitch.chassis(deadline)
        down = tuple(sorted(network for network, is_up in local.uplinks.items() if not is_up))
        southbound = self._at(local.southbound)
        now = time.monotonic()
        if now >= self._next_measure:
            self._measure(deadline.half(_TIMEOUT))
        report = Report(__version__, local.version, down, self._problems(), self._mtu)
        if report == self._published and now >= self._next_check:
            self._next_check = now + random.uniform(0.5, 1.0) * _CHECK_INTERVAL
            if not southbound.is_published(host, report, deadline):
                self._published = None
        if report != self._published or now >= self._next_beat:
            if not southbound.publish(host, report, time.time(), deadline):
                raise Unavailable(
                    f"the southbound database at {local.southbound} does not know host {host}",
                    "is ovn-controller running?",
                )
            if self._published is None or down != self._published.uplinks_down:
                _log.info("reported uplinks down: %s", ", ".join(down) or "none")
            self._published = report
            # All hosts in the same second: northd 23.03 recomputes everything for a change of such a row, and so does
            # it once for all hosts.
            self._next_beat = now + BEAT - time.time() % BEAT + random.uniform(0, _JITTER)
        wait = _UPLINK_INTERVAL if local.uplinks else random.uniform(0.5, 1.0) * _CHECK_INTERVAL
        return min(wait, max(0.0, self._next_beat - now))

    def _measure(self, deadline: Deadline) -> None:
        """Measure the tunnel MTU; keep the last value if that fails."""
        self._next_measure = time.monotonic() + _CHECK_INTERVAL
        try:
            self._mtu = underlay.measure(self._vswitch, deadline)
        except Unavailable as error:
            _log.debug("cannot measure the tunnel MTU: %s", error)  # debug: at every attempt
            return
        self._next_measure = time.monotonic() + BEAT

    def _at(self, remotes: str) -> Southbound:
        """Return the southbound database; reconnect if its remotes changed."""
        if self._southbound is None or self._southbound.database.remotes != remotes:
            if self._southbound is not None:
                self._southbound.database.close()
            self._southbound, self._published = None, None
            self._southbound = Southbound.of_host(remotes)
        return self._southbound
