"""Status reports of this host: versions, heartbeat, uplinks that are down, problems and tunnel MTU.

The control service writes them to the southbound database (ovnhook.databases.southbound). libvirt is not needed, so the
agent of a gateway host without domains reports, too.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from ovnhook import __version__
from ovnhook.agent.host import Host
from ovnhook.agent.nexthops import NextHops
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NotFound, Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.databases import underlay
from ovnhook.diagnosis.problems import BEAT
from ovnhook.hostnetwork.gatewaylink import LinkState
from ovnhook.resources.chassis import NextHop, Report
from ovnhook.resources.router.values import HOST

_log = logging.getLogger(__name__)

_POLL_INTERVAL = 5.0  # seconds, maximum between polls of a host without uplinks
_RETRY_INTERVAL = 1.0  # seconds, maximum until the next poll after one that failed
_UPLINK_INTERVAL = 0.25  # seconds between polls of the uplinks
_TIMEOUT = 5.0  # seconds for one poll
_JITTER = 2.0  # seconds in which the heartbeats of all hosts are spread


class HostReporter:
    """Publishes this host's status until it is stopped.

    Args:
        host: this host.
        next_hops: next hops of routers that use this host.
        problems: returns the problems to report.
        link: returns the state of the link to routers.
        foreign_networks: returns the names of libvirt networks that lead elsewhere.
        serves_dns: returns whether the resolvers of guests' subnets run; None: it is not known.
        beat: heartbeat of the loop.
    """

    def __init__(
        self,
        host: Host,
        next_hops: NextHops,
        problems: Callable[[], tuple[str, ...]] = tuple,
        link: Callable[[], LinkState] = LinkState,
        foreign_networks: Callable[[], tuple[str, ...]] = tuple,
        serves_dns: Callable[[], bool | None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._vswitch = host.vswitch
        self._control = host.control
        self._next_hops = next_hops
        self._problems = problems
        self._link = link
        self._foreign_networks = foreign_networks
        self._serves_dns = serves_dns
        self._beat = beat
        self._woken = threading.Event()
        self._is_stopped = False
        self._published: Report | None = None
        self._hops: list[NextHop] = []
        self._next_beat = self._next_measure = 0.0
        self._mtu = 0
        self._errors = LogOnce(_log, "cannot publish host status")

    def run(self) -> None:
        """Run the report loop."""
        while not self._is_stopped:
            self._beat()
            wait = random.uniform(0.5, 1.0) * _RETRY_INTERVAL
            with self._errors.logged():
                wait = self._poll(Deadline.after(_TIMEOUT))
            self._woken.wait(wait)
            self._woken.clear()

    def wake(self) -> None:
        """Poll now: problems may have changed."""
        self._woken.set()

    def stop(self) -> None:
        """Stop the loop."""
        self._is_stopped = True
        self._woken.set()

    def _poll(self, deadline: Deadline) -> float:
        """Poll the host and publish changes; return the seconds until the next poll."""
        local = self._vswitch.host(deadline)
        host = self._vswitch.chassis(deadline)
        link = self._link()
        cut_off = {HOST} if link.is_cut_off else set()
        down = tuple(sorted(name for name, is_up in local.uplinks.items() if not is_up or name in cut_off))
        now = time.monotonic()
        if now >= self._next_measure:
            self._measure(deadline.half(_TIMEOUT))
        report = Report(
            __version__,
            local.version,
            down,
            self._problems(),
            self._mtu,
            serves_dns=self._serves_dns(),
            networks=link.networks,
            foreign_networks=self._foreign_networks(),
        )
        hops = self._next_hops.of(local.bridges)
        if report != self._published or hops != self._hops or now >= self._next_beat:
            try:
                silent = self._control.report(host, report, deadline, hops)
            except NotFound as error:  # ovn-controller may be starting
                raise Unavailable(error.message, error.hint) from error
            if self._published is None or down != self._published.uplinks_down:
                _log.info("reported uplinks down: %s", ", ".join(down) or "none")
            self._next_hops.ask(silent, local.bridges)
            self._published, self._hops = report, hops
            # All hosts in the same two seconds: northd 23.03 recomputes everything for a change of such a row, and so
            # does it once for many hosts.
            self._next_beat = now + BEAT - time.time() % BEAT + random.uniform(0, _JITTER)
        wait = _UPLINK_INTERVAL if local.uplinks else random.uniform(0.5, 1.0) * _POLL_INTERVAL
        return min(wait, max(0.0, self._next_beat - now))

    def _measure(self, deadline: Deadline) -> None:
        """Measure the tunnel MTU; keep the last value if that fails."""
        self._next_measure = time.monotonic() + _POLL_INTERVAL
        try:
            self._mtu = underlay.measure(self._vswitch, deadline)
        except Unavailable as error:
            _log.debug("cannot measure the tunnel MTU: %s", error)  # debug: at every attempt
            return
        self._next_measure = time.monotonic() + BEAT
