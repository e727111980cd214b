"""This host as the external gateway of routers (ovnhook.resources.router.hostlink): its side of the link.

Observes, compares and changes only what differs: addresses of the bridge, packet filter, forwarding, routes to subnets.
A unit does so at boot, and the agent whenever something has changed.
"""

from __future__ import annotations

import fcntl
import json
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netaddr import IPAddress, IPNetwork

from ovnhook.base.command import run
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.hostnetwork import gatewayfilter, routes
from ovnhook.hostnetwork.forwarding import ForwardingSettings, has_ipv6, interfaces
from ovnhook.hostnetwork.gatewayfilter import Forwarding
from ovnhook.hostnetwork.routes import GuestRoute, HostRoutes
from ovnhook.resources import ip
from ovnhook.resources.router import hostlink
from ovnhook.resources.router.hostlink import BRIDGE

LOCK = Path("/run/ovnhook/gateway.lock")

_POLL_INTERVAL = 0.05  # seconds
_ANYWHERE = "192.0.2.1"  # unused (RFC 5737): selects the default route, and nothing is sent


@dataclass(frozen=True)
class RoutedNetwork:
    """A network of a subnet whose router uses this host.

    Attributes:
        subnet: name of the subnet.
        network: one of its networks.
        via: address of the router on the link.
        mtu: MTU of its guests.
    """

    subnet: str
    network: IPNetwork
    via: IPAddress
    mtu: int


@dataclass(frozen=True)
class LinkState:
    """State of the link.

    Attributes:
        is_present: this host has the bridge.
        uplinks: interfaces of the host's default routes.
        is_cut_off: the host has no default route for guests; if they use IPv4, none for that.
        networks: networks that the host reaches by itself.
        problems: what keeps guests from the outside, or the host from guests, a sentence each.
    """

    is_present: bool = False
    uplinks: tuple[str, ...] = ()
    is_cut_off: bool = False
    networks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class GatewayLink:
    """The host's side of the link.

    Args:
        settings: forwarding of this host.
        lock: file that processes lock while they change something.
    """

    def __init__(self, settings: ForwardingSettings | None = None, lock: Path = LOCK) -> None:
        self._settings = settings or ForwardingSettings()
        self._lock = lock
        self._loaded = "", ""  # ruleset, and how nft(8) lists it

    def converge(self, subnets: Collection[RoutedNetwork] | None, deadline: Deadline) -> LinkState:
        """Repair what differs. Idempotent.

        Args:
            subnets: networks of all subnets whose routers use this host, or None if they are not known: then routes
                stay as they are.
            deadline: when to give up.

        Raises:
            OvnhookError: a command failed.
            Unavailable: it took too long.
        """
        if not has_bridge():
            return LinkState()
        with self._locked(deadline):
            _set_addresses(deadline, ipv6=self._settings.has_ipv6)
            found = _routes(deadline)
            needed = self._settings.needed(found.uplinks[4], ipv6=self._forwards_ipv6(subnets))
            uplinks = tuple(dict.fromkeys((*found.uplinks[4], *found.uplinks[6])))
            self._load(Forwarding(uplinks, interfaces(needed), has_ipv6(needed)), deadline)
            self._settings.apply(needed)
            overlaps = dict(_overlaps(subnets or (), found))
            if subnets is not None:
                _set_routes([one for one in subnets if one not in overlaps], found, deadline)
        version = 6 if subnets and all(one.network.version == 6 for one in subnets) else 4
        return LinkState(
            is_present=True,
            uplinks=uplinks,
            is_cut_off=not found.uplinks[version],
            networks=tuple(map(str, sorted(found.networks))),
            problems=tuple(_problems(found, version, overlaps)),
        )

    def _forwards_ipv6(self, subnets: Collection[RoutedNetwork] | None) -> bool:
        """Test whether guests use IPv6, as far as it is known."""
        if not self._settings.has_ipv6:
            return False
        return self._settings.forwards_ipv6 if subnets is None else any(one.network.version == 6 for one in subnets)

    def _load(self, forwarding: Forwarding, deadline: Deadline) -> None:
        """Load the ruleset, unless it is loaded and nobody has changed it."""
        ruleset, (loaded, listed) = gatewayfilter.rules(forwarding), self._loaded
        if ruleset != loaded or _listed(deadline) != listed:
            run("nft", "-f", "-", stdin=ruleset, hint="apt install nftables", timeout=deadline.remaining)
            self._loaded = ruleset, _listed(deadline)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        """Keep another process from changing the same."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as file:
            while not _is_locked(file):
                deadline.check(f"another process holds {self._lock}")
                time.sleep(_POLL_INTERVAL)
            yield


def _is_locked(file: IO[str]) -> bool:
    """Lock a file; return False if another process has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def has_bridge() -> bool:
    """Test for the bridge of the link on this host."""
    return any(name == BRIDGE for _, name in socket.if_nameindex())


def networks(deadline: Deadline) -> tuple[IPNetwork, ...]:
    """Networks that this host reaches by itself, without default routes and subnets."""
    return tuple(_routes(deadline).networks)


def uplinks(deadline: Deadline) -> Mapping[int, tuple[str, ...]]:
    """Interfaces of this host's default routes, by IP version."""
    return _routes(deadline).uplinks


def _set_addresses(deadline: Deadline, *, ipv6: bool) -> None:
    """Set the bridge up, with the addresses of the link."""
    (row,) = json.loads(run("ip", "-json", "address", "show", "dev", BRIDGE, timeout=deadline.remaining))
    present = {f"{one['local']}/{one['prefixlen']}" for one in row.get("addr_info", ())}
    wanted = [str(hostlink.host_address(version)) for version in (4, 6) if version == 4 or ipv6]
    lines = [f"address replace {one} dev {BRIDGE} nodad" for one in wanted if one not in present]
    if "UP" not in row.get("flags", ()):
        lines.append(f"link set dev {BRIDGE} up")
    _batch(lines, deadline)


def _set_routes(subnets: Collection[RoutedNetwork], found: HostRoutes, deadline: Deadline) -> None:
    """Set the host's routes to subnets.

    Packets have the host's own IPv4 address: guests take the link's, 169.254.0.0/16, for one of their own network.
    """
    source = _own_address(deadline) if any(one.network.version == 4 for one in subnets) else None
    usable = [one for one in subnets if one.network.version == 4 or found.has_ipv6_link]
    wanted = [GuestRoute(one.network, one.via, one.mtu, source if one.network.version == 4 else None) for one in usable]
    _batch(routes.changes(found.guests, wanted), deadline)


def _own_address(deadline: Deadline) -> IPAddress | None:
    """IPv4 address of the default route, or of any interface, or None."""
    try:
        output = run("ip", "-json", "route", "get", _ANYWHERE, timeout=deadline.remaining)
    except OvnhookError:  # no default route
        deadline.check("ip route get")
        output = run("ip", "-json", "-4", "address", "show", "scope", "global", timeout=deadline.remaining)
        return routes.first_address(output)
    return routes.source_address(output)


def _routes(deadline: Deadline) -> HostRoutes:
    return routes.parse(
        {
            version: run("ip", "-json", f"-{version}", "route", "show", "table", "main", timeout=deadline.remaining)
            for version in (4, 6)
        }
    )


def _overlaps(subnets: Collection[RoutedNetwork], found: HostRoutes) -> Iterator[tuple[RoutedNetwork, IPNetwork]]:
    """Subnets that are networks of the host, too: a route to them would cut it off from those."""
    for one in subnets:
        if pair := ip.overlap([one.network], found.networks):
            yield one, pair[1]


def _problems(found: HostRoutes, version: int, overlaps: dict[RoutedNetwork, IPNetwork]) -> Iterator[str]:
    if not found.uplinks[version]:
        yield f"it has no IPv{version} default route: guests do not reach the outside through it"
    for one, network in overlaps.items():
        yield (
            f"subnet {one.subnet} ({one.network}) overlaps with network {network} of its interface"
            f" {found.networks[network]}: it does not reach guests there"
        )


def _listed(deadline: Deadline) -> str:
    """The table as nft(8) lists it, or "" if it is not loaded."""
    try:
        return run("nft", "list", "table", *gatewayfilter.TABLE, timeout=deadline.remaining)
    except OvnhookError:
        deadline.check("nft list table")
        return ""


def _batch(lines: Collection[str], deadline: Deadline) -> None:
    """Run commands of ip(8), all of them even if one fails."""
    if lines:
        text = "".join(f"{line}\n" for line in lines)
        run("ip", "-force", "-batch", "-", stdin=text, timeout=deadline.remaining)
