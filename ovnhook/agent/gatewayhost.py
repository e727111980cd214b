"""This host as the external gateway of routers: keeps its side of the link in order, and routes to their subnets."""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from ovnhook.agent.hostview import NetworkListeners
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.base.logonce import LogOnce
from ovnhook.diagnosis.values import CheckResult
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork import gatewayfilter
from ovnhook.hostnetwork.gatewaylink import GatewayLink, LinkState, RoutedNetwork
from ovnhook.hostnetwork.networkevents import NetworkEvents
from ovnhook.resources.router.hostlink import BRIDGE
from ovnhook.resources.router.values import HOST

_log = logging.getLogger(__name__)

_INTERVAL = 30.0  # seconds, maximum between checks without an event
_RETRY_INTERVAL = 5.0  # seconds, maximum until the next check after one that failed
_PAUSE = 0.5  # seconds after a check: many events cause one
_HINT = "journalctl -u ovnhook-agent; ip route; ovnhook subnet list"
_TIMEOUT = 10.0  # seconds for one check


class KnownNetworks(Protocol):
    """Subnets and routers: see HostView."""

    def listen(self, listeners: NetworkListeners) -> None:
        """Add callbacks."""

    def networks(self) -> HostNetworks | None:
        """Subnets and routers, or None if they are not known."""


class GatewayHost:
    """Checks the link whenever the host's network, or routers and subnets have changed.

    Args:
        view: subnets and routers.
        link: the host's side of the link.
        beat: heartbeat of the loop.
    """

    def __init__(
        self, view: KnownNetworks, link: GatewayLink | None = None, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._view = view
        self._link = link or GatewayLink()
        self._beat = beat
        self._stop = threading.Event()
        self._events = NetworkEvents(gatewayfilter.TABLE[1], self._is_own)
        self._errors = LogOnce(_log, "cannot check the link to routers")
        self._state = LinkState()
        self._error = ""
        view.listen(NetworkListeners(self._events.wake, lambda _scope: None))

    @property
    def state(self) -> LinkState:
        """State of the link, as of the last check."""
        return self._state

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems to report."""
        return (*self._state.problems, *([self._error] if self._error else []))

    def check(self) -> list[CheckResult]:
        """Problems as of the last check, which the next event repeats."""
        return [CheckResult.manual(one, _HINT) for one in self.problems]

    def run(self) -> None:
        """Check until `stop` is called."""
        while not self._stop.is_set():
            self._beat()
            interval = _INTERVAL if self._check() else _RETRY_INTERVAL
            self._stop.wait(_PAUSE)
            self._events.wait(random.uniform(0.5, 1.0) * interval)

    def stop(self) -> None:
        """Stop checking."""
        self._stop.set()
        self._events.wake()

    def _check(self) -> bool:
        """Check once; return False if it failed."""
        try:
            known = self._view.networks()
            subnets = None if known is None else tuple(_routed(known))
            self._state = self._link.converge(subnets, Deadline.after(_TIMEOUT))
        except Exception as error:  # the thread must go on
            self._errors.failed(error)
            said = error.message if isinstance(error, OvnhookError) else str(error)
            self._error = f"its side of the link to routers can't be repaired: {said}"
            return False
        self._errors.succeeded()
        self._error = ""
        return True

    def _is_own(self, index: int) -> bool:
        """Test whether the settings of an interface matter."""
        try:
            return index < 0 or socket.if_indextoname(index) in (BRIDGE, *self._state.uplinks)
        except OSError:  # it is gone
            return False


def _routed(known: HostNetworks) -> Iterator[RoutedNetwork]:
    """Networks of all subnets whose routers use their gateway host."""
    for subnet in known.subnets.values():
        router = known.routers.get(subnet.router)
        if router is None or router.physical_network != HOST:
            continue
        for network in subnet.networks:
            for address in router.addresses:
                if address.version == network.version:
                    yield RoutedNetwork(subnet.name, network, address.ip, subnet.mtu)
