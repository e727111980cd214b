"""Requested subnets, and their validation. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.base.labels import SUBNET_NAME
from ovnhook.resources import ip, limits
from ovnhook.resources.ip import Range
from ovnhook.resources.router.values import DEFAULT_ROUTER
from ovnhook.resources.security_group.values import group_names
from ovnhook.resources.subnet import address, dhcprequest
from ovnhook.resources.subnet.values import Subnet

_LIMITS = {"limit_inbound": "inbound", "limit_outbound": "outbound"}
"""Settings that are rate limits."""

SETTINGS = (
    *("gateway", "ranges", "dns", "dns_domain", "mtu", "default", "router", "isolated", "cidr6", "security_groups"),
    *dhcprequest.SETTINGS,
    *_LIMITS,
)
"""Settings that can be updated: all except name and network."""

_LARGEST = {4: 12, 6: 64}  # prefix lengths: a million addresses; the network of a link (RFC 4291, section 2.5.1)
_SMALLEST = {4: 30, 6: 126}  # prefix lengths: a gateway and a guest
_SMALLEST_MTU = {4: 576, 6: 1280}  # bytes that every host accepts (RFC 791; RFC 8200, section 5)
_BITS = {4: 32, 6: 128}  # of an address
_LARGEST_MTU = 9000  # bytes: the largest that switches and NICs commonly agree on
_NOT_FOR_HOSTS = {
    "0.0.0.0/8": "is 'this network' (RFC 1122)",
    "127.0.0.0/8": "is loopback",
    "169.254.0.0/16": "is link-local",
    "224.0.0.0/4": "is multicast",
    "240.0.0.0/4": "is reserved (RFC 1112)",
    "::/8": "is reserved (RFC 4291)",
    "fe80::/10": "is link-local",
    "ff00::/8": "is multicast",
}

_PRIVATE = {
    4: "private networks are in 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16",
    6: "private networks are in fd00::/8 (RFC 4193)",
}


@dataclass(frozen=True)
class Underlay:
    """MTU available to guests over the tunnels.

    Attributes:
        mtu: size in bytes of the largest guest IP packet.
        known: the MTU was measured; otherwise it is a default, and a larger one may work.
        host: the host where it was measured, or "" for this one.
    """

    mtu: int = Subnet.mtu
    known: bool = False
    host: str = ""


@dataclass(frozen=True)
class SubnetRequest:
    """A requested subnet. Empty values have defaults.

    Attributes:
        name: of the subnet.
        cidr: ``10.1.0.0/24``, or an IPv6 network.
        gateway: an address in that network, or "".
        ranges: each ``FIRST-LAST``.
        dns: addresses of DNS servers.
        dns_domain: a DNS domain, or "".
        mtu: in bytes, or 0.
        default: make it the default subnet.
        router: name of a router, or "" for none.
        isolated: no traffic to and from the router's other subnets.
        cidr6: an IPv6 network in addition to an IPv4 one, or "".
        extra_dhcp_options: each ``NAME=VALUE``.
        search: search domains.
        routes: static routes, each ``CIDR=ADDRESS``.
        lease_time: of DHCP, in seconds, or 0.
        boot_server: address of a TFTP server, or "".
        boot_file: path on it, or "".
        ipxe: URL, or "".
        security_groups: names of the groups of ports whose interface names none.
        limit_inbound: rate of what a guest receives, or "".
        limit_outbound: rate of what a guest sends, or "".
    """

    name: str
    cidr: str
    gateway: str = ""
    ranges: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_domain: str = ""
    mtu: int = 0
    default: bool = False
    router: str = DEFAULT_ROUTER
    isolated: bool = False
    cidr6: str = ""
    extra_dhcp_options: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    lease_time: int = 0
    boot_server: str = ""
    boot_file: str = ""
    ipxe: str = ""
    security_groups: tuple[str, ...] = ()
    limit_inbound: str = ""
    limit_outbound: str = ""


def parse(request: SubnetRequest, underlay: Underlay) -> Subnet:
    """Validate a request.

    Args:
        request: the requested subnet.
        underlay: limits the MTU, and has its default.

    Raises:
        InvalidRequest: a value is invalid.
    """
    if not SUBNET_NAME.fullmatch(request.name):
        raise InvalidRequest(
            f"invalid subnet name '{request.name}'",
            "letters, digits and, in between, dots, hyphens and underscores, 63 at most",
        )
    cidr = _network(request.cidr, "10.1.0.0/24")
    bare = Subnet(request.name, cidr, gateway=_first(cidr))
    new = with_changes(bare, {name: getattr(request, name) for name in SETTINGS}, underlay)
    return replace(new, resolvers=address.resolvers(new), records_until=0)


def with_changes(subnet: Subnet, changes: Mapping[str, Any], underlay: Underlay) -> Subnet:
    """Apply changed settings to a subnet.

    Args:
        subnet: current value.
        changes: some of SETTINGS, with values as in SubnetRequest. An empty gateway is the first address, an MTU of 0
            that of the underlay.
        underlay: limits the MTU.

    Raises:
        InvalidRequest: a value is invalid.
    """
    rates = {**subnet.limits.by_direction, **{_LIMITS[name]: rate for name, rate in changes.items() if name in _LIMITS}}
    values: dict[str, Any] = {
        "dhcp": dhcprequest.with_changes(subnet.dhcp, changes),
        "limits": limits.requested(f"subnet {subnet.name}", **rates),
    }
    for name, value in changes.items():
        if name == "gateway":
            values["gateway"] = _gateway(subnet.cidr, value) if value else _first(subnet.cidr)
        elif name == "cidr6":
            values["cidr6"] = _network(value, "fd00:1::/64") if value else None
            values["gateway6"] = _first(values["cidr6"]) if value else None
        elif name == "ranges":
            values["ranges"] = _ranges(value)
        elif name == "dns":
            values["dns"] = tuple(_address(server, "DNS server") for server in value)
        elif name == "dns_domain":
            values["dns_domain"] = dhcprequest.domain("domain", value) if value else ""
        elif name == "security_groups":
            values["security_groups"] = group_names(value)
        elif name == "mtu":
            values["mtu"] = _mtu(value, underlay)
        elif name not in SETTINGS:
            raise InvalidRequest(f"'{name}' of a subnet can't be set", f"these can: {', '.join(SETTINGS)}")
        elif name not in (*dhcprequest.SETTINGS, *_LIMITS):
            values[name] = value
    return _checked(replace(subnet, **values))


def _network(text: str, like: str) -> IPNetwork:
    host, _, length = text.partition("/")
    if not ip.is_ip(host) or not re.fullmatch("[0-9]{1,3}", length) or int(length) > _BITS[IPAddress(host).version]:
        hint = f"did you mean {IPNetwork(f'{host}/{like[-2:]}').cidr}?" if ip.is_ip(host) and not length else ""
        raise InvalidRequest(f"network '{text}' is not of the form ADDRESS/LENGTH, like {like}", hint)
    network = IPNetwork(f"{host}/{length}")
    if network.ip != network.network:
        raise InvalidRequest(f"network {text} has host bits set", f"did you mean {network.cidr}?")
    largest, smallest = _LARGEST[network.version], _SMALLEST[network.version]
    if network.prefixlen < largest:
        raise InvalidRequest(f"network {text} is too large", f"the largest is a /{largest}")
    for block, meaning in _NOT_FOR_HOSTS.items():
        if network in IPNetwork(block) or IPNetwork(block) in network:
            raise InvalidRequest(f"network {text} is not for hosts: {block} {meaning}", _PRIVATE[network.version])
    if network.prefixlen > smallest:
        raise InvalidRequest(f"network {text} is too small for a gateway and a guest", f"the smallest is a /{smallest}")
    return network


def _address(text: str, what: str) -> IPAddress:
    if not ip.is_ip(text):
        raise InvalidRequest(f"{what} '{text}' is not an IP address")
    return IPAddress(text)


def _first(cidr: IPNetwork) -> IPAddress:
    return ip.usable(cidr).first


def _gateway(cidr: IPNetwork, text: str) -> IPAddress:
    gateway = _address(text, "gateway")
    _inside(cidr, gateway, f"gateway {gateway}")
    return gateway


def _inside(cidr: IPNetwork, candidate: IPAddress, what: str) -> None:
    hosts = ip.usable(cidr)
    if not hosts.first <= candidate <= hosts.last:
        raise InvalidRequest(f"{what} is not a host address of {cidr}", f"those are {hosts}")


def _ranges(texts: Iterable[str]) -> tuple[Range, ...]:
    ranges: list[Range] = []
    for text in texts:
        first, dash, last = text.partition("-")
        if not dash:
            raise InvalidRequest(f"range '{text}' is not of the form FIRST-LAST, like 10.1.0.10-10.1.0.99")
        one = Range(*(_address(end, f"range '{text}':") for end in (first, last)))
        if one.first > one.last:
            raise InvalidRequest(f"range {one}: the first address is after the last", f"did you mean {last}-{first}?")
        for other in ranges:
            if one.first <= other.last and other.first <= one.last:
                raise InvalidRequest(f"ranges {other} and {one} overlap")
        ranges.append(one)
    return tuple(sorted(ranges, key=lambda one: one.first))


def _mtu(mtu: int, underlay: Underlay) -> int:
    if not mtu:
        return min(underlay.mtu, _LARGEST_MTU)
    if not _SMALLEST_MTU[4] <= mtu <= _LARGEST_MTU:
        raise InvalidRequest(f"invalid MTU {mtu}", f"expected {_SMALLEST_MTU[4]} to {_LARGEST_MTU} bytes")
    if underlay.known and mtu > underlay.mtu:
        where = f" of host {underlay.host}" if underlay.host else ""
        raise InvalidRequest(
            f"MTU {mtu} exceeds that of the underlay{where}, {underlay.mtu} bytes",
            "omit it, or raise the MTU of the hosts' underlay interfaces first",
        )
    return mtu


def _checked(subnet: Subnet) -> Subnet:
    """Validate the combination of settings."""
    if subnet.cidr6 and (subnet.cidr.version, subnet.cidr6.version) != (4, 6):
        raise InvalidRequest(
            f"networks {subnet.cidr} and {subnet.cidr6}: expected IPv4 and IPv6, in this order",
            "an IPv6-only subnet has one network",
        )
    six = subnet.network(6)
    if six and not subnet.router:
        raise InvalidRequest(
            f"network {six} needs a router: IPv6 guests depend on router advertisements (RFC 4861)",
            "ovnhook router create NAME creates one without an external gateway",
        )
    if six and subnet.mtu < _SMALLEST_MTU[6]:
        raise InvalidRequest(f"MTU {subnet.mtu} is too small for IPv6", f"the minimum is {_SMALLEST_MTU[6]} bytes")
    for pool in subnet.ranges:
        network = subnet.network(pool.first.version)
        if network is None or pool.last.version != pool.first.version:
            raise InvalidRequest(f"range {pool} is not in a network of subnet {subnet.name}")
        for end in (pool.first, pool.last):
            _inside(network, end, f"range {pool}: {end}")
        if int(pool.last) - int(pool.first) >= address.MAX_ADDRESSES:
            raise InvalidRequest(f"range {pool} is too large", f"the maximum is {address.MAX_ADDRESSES} addresses")
    dhcprequest.check(subnet)
    if not address.capacity(subnet):
        reserved = " and ".join(map(str, sorted(subnet.reserved)))
        raise InvalidRequest(f"subnet {subnet.name} has no address for a guest: {reserved} is reserved")
    return subnet
