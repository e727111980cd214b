"""A name scope on a hypervisor: the wanted network namespace of its DNS server, and its host names. Pure.

A name scope is a set of subnets whose guests resolve each other's names (ovnhook.resources.hostvalues). Every
hypervisor with guests in one has a network namespace with an interface in each of its subnets.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from ovnhook.base.labels import HOST_NAME, MAC
from ovnhook.resources.hostvalues import HostName, HostSubnet

PORT_PREFIX = "ovnr"
"""Beginning of the names of interfaces in subnets: ports of the integration bridge."""

UPSTREAM_PREFIX = "ovnu"
"""Beginning of the names of the host's interfaces to the namespaces."""

_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z)(_?{HOST_NAME.pattern})(\.{HOST_NAME.pattern})*")
_LOWEST_MTU = 576  # bytes (RFC 791, section 3.2): less can't be set together with an IPv4 address
_HIGHEST_MTU = 65535


@dataclass(frozen=True)
class ResolverInterface:
    """Interface of the namespace in one subnet.

    Attributes:
        device: its name.
        port: name of the logical switch port, its ``iface-id``.
        mac: its MAC address.
        mtu: that of the subnet.
        addresses: its addresses, each with the prefix length of its network.
    """

    device: str
    port: str
    mac: str
    mtu: int
    addresses: tuple[IPNetwork, ...]

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        """Networks of its addresses."""
        return tuple(address.cidr for address in self.addresses)


@dataclass(frozen=True)
class NameScope:
    """Wanted state of a name scope on a host.

    Attributes:
        name: its name.
        interfaces: in each subnet that has a DNS server.
        domains: DNS domains of its subnets.
        networks: networks of its subnets.
    """

    name: str
    interfaces: tuple[ResolverInterface, ...]
    domains: tuple[str, ...]
    networks: tuple[IPNetwork, ...]

    @classmethod
    def of(cls, name: str, subnets: Iterable[HostSubnet]) -> NameScope:
        """Scope of some subnets. Invalid values of a subnet are left out: they would be read as other settings."""
        ordered = sorted(subnets, key=lambda one: one.name)
        return cls(
            name,
            tuple(one for subnet in ordered for one in _interfaces(subnet)),
            tuple(sorted({subnet.dns_domain.lower() for subnet in ordered if _is_domain(subnet.dns_domain)})),
            tuple(sorted({network for subnet in ordered for network in subnet.networks})),
        )

    @property
    def id(self) -> str:
        """Identifier for names of files and interfaces, derived from its name."""
        return digest(self.name)

    @property
    def upstream_device(self) -> str:
        """Name of the host's interface to the namespace."""
        return f"{UPSTREAM_PREFIX}{self.id}"


def digest(name: str) -> str:
    """Short identifier that depends on a name only: with a prefix of four letters it is valid for an interface."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def host_files(names: Iterable[HostName], subnets: Mapping[str, HostSubnet]) -> dict[str, str]:
    """Files in the format of hosts(5) by name: one for each address, so that a change is a change of one small file.

    Args:
        names: host names of a scope.
        subnets: its subnets, by name.
    """
    found: dict[IPAddress, set[str]] = {}
    for one in names:
        subnet = subnets.get(one.subnet)
        if subnet and HOST_NAME.fullmatch(one.hostname):
            # The first name is the one of reverse records.
            domain = subnet.dns_domain.lower()
            full = f"{one.hostname}.{domain} " if _is_domain(domain) else ""
            found.setdefault(one.address, set()).add(f"{one.address} {full}{one.hostname}\n")
    return {str(address): "".join(sorted(lines)) for address, lines in found.items()}


def reverse_zones(networks: Iterable[IPNetwork]) -> Iterator[str]:
    """Zones of reverse records that cover networks: the fewest, each at a label's boundary."""
    for network in networks:
        width, bits = (32, 8) if network.version == 4 else (128, 4)
        length = -(-network.prefixlen // bits) * bits
        for zone in network.subnet(length):
            labels = IPAddress(zone.first, zone.version).reverse_dns.rstrip(".").split(".")
            yield ".".join(labels[(width - length) // bits :])


def _interfaces(subnet: HostSubnet) -> Iterator[ResolverInterface]:
    """Interface in a subnet, if it has a DNS server."""
    resolver = subnet.resolver
    if not resolver or not MAC.fullmatch(resolver.mac):
        return
    addresses = tuple(
        IPNetwork(f"{address}/{network.prefixlen}")
        for address in resolver.addresses
        for network in subnet.networks
        if address in network
    )
    if addresses:
        mtu = min(max(subnet.mtu, _LOWEST_MTU), _HIGHEST_MTU)
        yield ResolverInterface(f"{PORT_PREFIX}{digest(resolver.port)}", resolver.port, resolver.mac, mtu, addresses)


def _is_domain(name: str) -> bool:
    """Check for a DNS domain."""
    return _DOMAIN.fullmatch(name.lower()) is not None
