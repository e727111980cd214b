"""Next hops of routers that never answer: asked by ARP on behalf of the routers, and reported.

OVN itself asks only when a guest sends something outside, and tells nobody. The control service knows which next hops
have never answered a router whose active gateway is this host (ovnhook.databases.southbound).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping

from netaddr import IPAddress

from ovnhook.base.errors import OvnhookError
from ovnhook.diagnosis.problems import BEAT
from ovnhook.diagnosis.values import CheckResult
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork import arprequest
from ovnhook.hostnetwork.arprequest import ArpRequest
from ovnhook.resources.chassis import NextHop
from ovnhook.resources.hostvalues import HostRouter
from ovnhook.resources.router.rows import localnet_port
from ovnhook.resources.router.values import HOST

_log = logging.getLogger(__name__)

_HINT = "is the address right? Cloud providers, WLANs and virtual switches drop packets of unknown MAC addresses"
_PATIENCE = 1.5 * BEAT  # seconds from the first request until a silent next hop is reported


class NextHops:
    """Next hops that routers ask for on this host.

    Args:
        networks: returns the cloud's routers, or None while they are not known.
        integration_bridge: name of the integration bridge.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        networks: Callable[[], HostNetworks | None],
        integration_bridge: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = networks
        self._integration_bridge = integration_bridge
        self._clock = clock
        self._first_asked: dict[NextHop, float] = {}
        self._silent: tuple[tuple[str, str], ...] = ()  # with hints

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems to report."""
        return tuple(f"{what}: {hint}" for what, hint in self._silent)

    def check(self) -> list[CheckResult]:
        """Return the same, as of the last report."""
        return [CheckResult.manual(what, hint) for what, hint in self._silent]

    def of(self, physical_networks: Collection[str]) -> list[NextHop]:
        """IPv4 next hops of the routers on some physical networks. That of the host itself always answers."""
        found = self._networks()
        return [
            NextHop(router.name, str(hop))
            for router in (found.routers.values() if found else ())
            if router.physical_network in physical_networks and router.physical_network != HOST and router.mac
            for hop in router.next_hops
            if hop.version == 4
        ]

    def ask(self, silent: Collection[NextHop], bridges: Mapping[str, str]) -> None:
        """Ask next hops that have not answered so far, and forget the others.

        Args:
            silent: those of `of` that have never answered.
            bridges: bridge of each physical network.
        """
        now = self._clock()
        self._first_asked = {hop: self._first_asked.get(hop, now) for hop in silent}
        found = self._networks()
        routers = {hop: found.routers.get(hop.router) for hop in silent} if found else {}
        for hop, router in routers.items():
            if router and router.physical_network in bridges:
                try:
                    self._send(hop, router, bridges[router.physical_network])
                except OvnhookError as error:  # ovn-controller may not have made the patch port yet
                    _log.info("cannot ask for next hop %s: %s", hop.address, error)
        self._silent = tuple(
            (f"next hop {hop.address} of router {hop.router} has never answered ARP requests from {router.mac}", _HINT)
            for hop, router in routers.items()
            if router and now - self._first_asked[hop] >= _PATIENCE
        )

    def _send(self, hop: NextHop, router: HostRouter, bridge: str) -> None:
        """Ask as the router."""
        own = next((one.ip for one in router.addresses if one.version == 4), None)
        if own is not None:
            request = ArpRequest(router.mac, own, IPAddress(hop.address), router.vlan)
            localnet = localnet_port(router.name, router.physical_network)
            arprequest.send(request, localnet, bridge, self._integration_bridge)
