"""Routes of this host, as values from the output of ip-route(8). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netaddr import IPAddress, IPNetwork

from ovnhook.resources.router.hostlink import BRIDGE, LINKS

PROTOCOL = "111"
"""Marks routes of ovnhook (rtnetlink(7), rtm_protocol); without a name in ``/etc/iproute2/rt_protos``."""

_SHORTEST = 8  # prefix length: shorter ones are halves of everything, which VPNs use as default routes
_LINK_LOCAL = (IPNetwork("169.254.0.0/16"), IPNetwork("fe80::/10"))
_DEFAULTS = {4: IPNetwork("0.0.0.0/0"), 6: IPNetwork("::/0")}


@dataclass(frozen=True)
class GuestRoute:
    """A route to a subnet.

    Attributes:
        network: network of the subnet.
        via: address of its router.
        mtu: MTU of its guests: larger packets would not fit the tunnels.
        source: source address of the host's packets, or None for that of the link.
    """

    network: IPNetwork
    via: IPAddress
    mtu: int
    source: IPAddress | None = None

    @property
    def words(self) -> str:
        """Arguments of ``ip route replace``."""
        source = f" src {self.source}" if self.source else ""
        return f"{self.network} via {self.via} dev {BRIDGE}{source} mtu {self.mtu} proto {PROTOCOL}"


@dataclass(frozen=True)
class HostRoutes:
    """Routes of the host's main table.

    Attributes:
        uplinks: interfaces of the default routes, by IP version.
        networks: interface by network of the host's other routes, except link-local ones.
        guests: routes to subnets.
        has_ipv6_link: the link has an IPv6 address.
    """

    uplinks: Mapping[int, tuple[str, ...]]
    networks: Mapping[IPNetwork, str]
    guests: frozenset[GuestRoute]
    has_ipv6_link: bool


def parse(outputs: Mapping[int, str]) -> HostRoutes:
    """Parse the output of ``ip -json -N route show``, by IP version N."""
    uplinks: dict[int, tuple[str, ...]] = {}
    networks: dict[IPNetwork, str] = {}
    guests: set[GuestRoute] = set()
    has_ipv6_link = False
    for version, output in outputs.items():
        devices: dict[str, None] = {}
        for row in json.loads(output or "[]"):
            network, interfaces = _network(row["dst"], version), _interfaces(row)
            if row.get("type", "unicast") != "unicast" or "dead" in row.get("flags", ()):
                continue
            if network.prefixlen < _SHORTEST:
                devices |= dict.fromkeys(one for one in interfaces if one != BRIDGE)
            elif BRIDGE in interfaces:
                has_ipv6_link |= network == LINKS[6]
                if row.get("protocol") == PROTOCOL and "gateway" in row:
                    guests.add(_guest_route(network, row))
            elif not any(network in local for local in _LINK_LOCAL):
                networks.setdefault(network, interfaces[0] if interfaces else "")
        uplinks[version] = tuple(devices)
    return HostRoutes(uplinks, networks, frozenset(guests), has_ipv6_link)


def changes(present: Iterable[GuestRoute], wanted: Iterable[GuestRoute]) -> list[str]:
    """Commands for ``ip -batch``; none if nothing has to change."""
    before, after = set(present), set(wanted)
    gone = {one.network for one in before} - {one.network for one in after}
    lines = [f"route del {network} dev {BRIDGE} proto {PROTOCOL}" for network in sorted(gone)]
    lines += [f"route replace {one.words}" for one in sorted(after - before, key=lambda one: one.network)]
    return lines


def source_address(output: str) -> IPAddress | None:
    """Source address in the output of ``ip -json route get``."""
    source = next((row.get("prefsrc") for row in json.loads(output or "[]")), None)
    return IPAddress(source) if source else None


def first_address(output: str) -> IPAddress | None:
    """First address in the output of ``ip -json address show``, except of the link."""
    rows = (row for row in json.loads(output or "[]") if row and row["ifname"] != BRIDGE)
    return next((IPAddress(one["local"]) for row in rows for one in row.get("addr_info", ())), None)


def _guest_route(network: IPNetwork, row: Mapping[str, Any]) -> GuestRoute:
    source, metrics = row.get("prefsrc"), row.get("metrics") or [{}]
    mtu = metrics[0].get("mtu", 0)
    return GuestRoute(network, IPAddress(row["gateway"]), mtu, IPAddress(source) if source else None)


def _network(text: str, version: int) -> IPNetwork:
    return _DEFAULTS[version] if text == "default" else IPNetwork(text)


def _interfaces(row: Mapping[str, Any]) -> list[str]:
    """Interfaces of a route, which may have several next hops."""
    hops = row.get("nexthops") or [row]
    return [hop["dev"] for hop in hops if hop.get("dev") and "dead" not in hop.get("flags", ())]
