"""Requested DHCP settings of a subnet, and their validation. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources import ip
from ovnhook.resources.subnet import dhcpoptions
from ovnhook.resources.subnet.dhcp import DEFAULT_SETTINGS, DHCP_LEASE_TIME, DhcpSettings, Route
from ovnhook.resources.subnet.rows import dhcpv4
from ovnhook.resources.subnet.values import Subnet

_SHORTEST, _LONGEST = 120, 7 * 86_400  # seconds: guests renew after half of it, and get changed settings then
_MAX_ROUTES = 12  # as many are added to the router's other subnets
_MAX_SEARCH = 200  # bytes of search domains: OVN's router advertisements have room for that (RFC 8106)
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_DOMAIN = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*:.+")


def domain(what: str, text: str) -> str:
    """Parse a DNS domain."""
    name = text.lower()
    if not _DNS_DOMAIN.fullmatch(name):
        raise InvalidRequest(
            f"{what} '{text}' is not a DNS domain",
            "labels of letters, digits and, in between, hyphens, with dots between",
        )
    return name


def with_changes(dhcp: DhcpSettings, changes: Mapping[str, Any]) -> DhcpSettings:
    """Apply changed settings.

    Args:
        dhcp: current value.
        changes: with values as in SubnetRequest; others than SETTINGS are ignored. An empty one is the default.

    Raises:
        InvalidRequest: a value is invalid.
    """
    return replace(dhcp, **{name: parse(changes[name]) for name, parse in _PARSERS.items() if name in changes})


def check(subnet: Subnet) -> None:
    """Validate the combination of a subnet's settings, whatever other subnets there are.

    Raises:
        InvalidRequest: it is invalid, or all options together are too long.
    """
    dhcp = subnet.dhcp
    if subnet.cidr.version != 4:
        if replace(dhcp, search=()) != DEFAULT_SETTINGS:
            raise InvalidRequest(
                f"subnet {subnet.name} has no IPv4 network",
                "DHCP options, routes, lease time and booting are for IPv4; search domains are for IPv6, too",
            )
        return
    hosts = ip.usable(subnet.cidr)
    for route in dhcp.routes:
        if not hosts.first <= route.router <= hosts.last:
            raise InvalidRequest(f"route {route}: {route.router} is not a host address of {subnet.cidr}")
        if route.destination == subnet.cidr:
            raise InvalidRequest(f"route {route}: {route.destination} is the subnet itself")
    if bool(dhcp.boot_server) != bool(dhcp.boot_file):
        raise InvalidRequest(
            f"subnet {subnet.name}: a boot server and a boot file need each other", "a URL for iPXE needs neither"
        )
    size = dhcpoptions.length(dhcpv4(replace(subnet, reachable=None), subnet.gateway))
    if size > dhcpoptions.MAX_TOTAL:
        raise InvalidRequest(
            f"DHCP options of subnet {subnet.name} have {size} bytes",
            f"the maximum is {dhcpoptions.MAX_TOTAL} bytes: not every client accepts more (RFC 2131)",
        )


def _search(domains: Sequence[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(domain("search domain", one) for one in domains))
    size = sum(len(one) + 2 for one in found)
    if size > _MAX_SEARCH:
        raise InvalidRequest(f"search domains of {size} bytes are too long", f"the maximum is {_MAX_SEARCH} bytes")
    if pair := dhcpoptions.confused(found):
        raise InvalidRequest(
            f"search domains that end in {pair[0]} and {pair[1]} can't be combined",
            "OVN can't tell domains apart that differ in the last character",
        )
    return found


def _routes(routes: Sequence[str]) -> tuple[Route, ...]:
    found: dict[IPNetwork, Route] = {}
    for text in routes:
        destination, equals, router = text.partition("=")
        if not (equals and ip.is_ipv4(destination.partition("/")[0]) and ip.is_ipv4(router)):
            raise InvalidRequest(
                f"route '{text}' is not of the form CIDR=ADDRESS, like 10.9.0.0/24=10.1.0.9",
                "routes are for IPv4: OVN's router advertisements have no other router than the subnet's",
            )
        if not ip.is_network(destination):
            raise InvalidRequest(f"route '{text}': {destination} is not a network without host bits")
        route = Route(IPNetwork(destination), IPAddress(router))
        if route.destination in found:
            raise InvalidRequest(f"route {route}: there is another one to {destination}")
        found[route.destination] = route
    if len(found) > _MAX_ROUTES:
        raise InvalidRequest(f"{len(found)} routes are too many", f"the maximum is {_MAX_ROUTES}")
    return tuple(sorted(found.values(), key=lambda one: one.destination))


def _lease_time(seconds: int) -> int:
    if seconds and not _SHORTEST <= seconds <= _LONGEST:
        raise InvalidRequest(f"invalid lease time of {seconds} s", f"expected {_SHORTEST} to {_LONGEST} seconds")
    return seconds or DHCP_LEASE_TIME


def _boot_server(text: str) -> IPAddress | None:
    if text and not ip.is_ipv4(text):
        raise InvalidRequest(f"boot server '{text}' is not an IPv4 address")
    return IPAddress(text) if text else None


def _ipxe(text: str) -> str:
    if text and not _URL.fullmatch(dhcpoptions.text("URL", text)):
        raise InvalidRequest(f"'{text}' is not a URL, like http://10.1.0.5/boot.ipxe")
    return text


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "extra_dhcp_options": dhcpoptions.parse,
    "search": _search,
    "routes": _routes,
    "lease_time": _lease_time,
    "boot_server": _boot_server,
    "boot_file": lambda path: dhcpoptions.text("boot file", path) if path else "",
    "ipxe": _ipxe,
}

SETTINGS = tuple(_PARSERS)
"""DHCP settings that can be updated."""
