"""Subnets and DNS records as immutable values. Names of subnets are unique in a cloud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.resources.ip import Range
from ovnhook.resources.limits import NO_LIMITS, Limits
from ovnhook.resources.subnet.dhcp import DEFAULT_SETTINGS, DhcpSettings, Route


def isolated_subnet(domain: UUID) -> str:
    """Name of a domain's isolated subnet."""
    return f"{_ISOLATED}{domain}"


def is_isolated_subnet(name: str) -> bool:
    """Check for the name of a domain's isolated subnet."""
    try:
        return name.startswith(_ISOLATED) and isolated_subnet(UUID(name.removeprefix(_ISOLATED))) == name
    except ValueError:
        return False


_ISOLATED = "isolated-"
EVERYWHERE = {4: IPNetwork("0.0.0.0/0"), 6: IPNetwork("::/0")}
"""Destination of a default route, by IP version."""


@dataclass(frozen=True)
class Subnet:
    """A subnet: a logical switch with addresses.

    Attributes:
        name: unique name.
        cidr: IPv4 or IPv6 network.
        gateway: address of the router and of the DHCP server, reserved even without a router. Default: the first one.
        cidr6: IPv6 network in addition to an IPv4 one, or None.
        gateway6: address of the router in cidr6, the first one.
        resolvers: addresses of its DNS resolver, one for each network that has room for it.
        records_until: seconds since 1970 until which OVN answers from DNS records, since guests may not know the
            resolver yet; 0 for not at all; None: no guest knows it, as in subnets of earlier versions.
        dhcp: further DHCP settings.
        security_groups: sorted names of the groups of ports whose interface names none.
        limits: rate limits of each port that requests no other.
        reachable: networks for which guests have a route by the router; None: everything. It is no setting, but follows
            from the router (ovnhook.resources.router.reach).
        router: name of its router, or "". With a router, guests get a default route.
        ranges: ranges of dynamic addresses; empty: all of cidr.
        dns: DNS servers for guests.
        dns_domain: DNS domain for guests, or "".
        mtu: MTU for guests, in bytes.
        default: it is the default subnet.
        isolated: no traffic to and from the router's other subnets.

    Raises:
        ValueError: one of its networks has host bits set.
    """

    name: str
    cidr: IPNetwork
    gateway: IPAddress
    router: str = ""
    ranges: tuple[Range, ...] = ()
    dns: tuple[IPAddress, ...] = ()
    dns_domain: str = ""
    mtu: int = 1442
    default: bool = False
    isolated: bool = False
    cidr6: IPNetwork | None = None
    gateway6: IPAddress | None = None
    resolvers: tuple[IPAddress, ...] = ()
    records_until: int | None = None
    dhcp: DhcpSettings = DEFAULT_SETTINGS
    security_groups: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS
    reachable: tuple[IPNetwork, ...] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Refuse host bits, which IPNetwork ignores in comparisons."""
        for network in self.gateways:
            if network.ip != network.network:
                raise ValueError(f"network {network} has host bits set")

    @property
    def uuid(self) -> UUID:
        """UUID of its Logical_Switch row."""
        return uuids.switch(self.name)

    @property
    def gateways(self) -> dict[IPNetwork, IPAddress]:
        """Gateway addresses by network, one network per IP version. An interface has an address in each."""
        second = {self.cidr6: self.gateway6} if self.cidr6 else {}
        return {self.cidr: self.gateway, **second}

    @property
    def reserved(self) -> frozenset[IPAddress]:
        """Addresses that no guest gets: those of the router and of the resolver."""
        return frozenset((*self.gateways.values(), *self.resolvers))

    def network(self, version: int) -> IPNetwork | None:
        """The network of an IP version, or None."""
        return next((network for network in self.gateways if network.version == version), None)

    @property
    def has_records(self) -> bool:
        """Its switch refers to DNS records, from which OVN answers queries to whatever server they are sent."""
        return self.records_until != 0

    @property
    def routes(self) -> tuple[Route, ...]:
        """IPv4 routes for guests: the chosen ones, and those by the router to other networks."""
        chosen = {route.destination for route in self.dhcp.routes}
        by_router = (Route(one, self.gateway) for one in self.routed(4) if one not in chosen)
        return (*self.dhcp.routes, *by_router)

    def routed(self, version: int) -> tuple[IPNetwork, ...]:
        """Networks of an IP version for which guests have a route by the router; `EVERYWHERE`: a default route."""
        if not self.router or not self.network(version):
            return ()
        if self.reachable is None:
            return (EVERYWHERE[version],)
        return tuple(one for one in self.reachable if one.version == version)

    def servers(self, version: int) -> tuple[IPAddress, ...]:
        """DNS servers of an IP version for guests: the chosen ones, or the resolver.

        Before guests know the resolver, it is the router's address: OVN answers, and guests need a server to query.
        """
        default: Iterable[IPAddress] = () if self.dns else self.resolvers
        if self.records_until is None:
            default = self.gateways.values() if self.router else ()
        chosen = tuple(server for server in self.dns if server.version == version)
        return chosen or tuple(server for server in default if server.version == version)


@dataclass(frozen=True)
class DnsRecords:
    """DNS records of a subnet's guests, or some of them.

    Attributes:
        subnet: name of the subnet.
        records: value by name (ovnhook.resources.subnet.dns).
    """

    subnet: str
    records: Mapping[str, str]

    @property
    def uuid(self) -> UUID:
        """UUID of their DNS row."""
        return uuids.dns_records(self.subnet)


def dhcp_uuid(subnet: str, version: int) -> UUID:
    """UUID of the DHCP_Options row of a subnet for an IP version."""
    return uuids.dhcp_options(subnet) if version == 4 else uuids.dhcpv6_options(subnet)


def server_mac(subnet: str) -> str:
    """MAC address of the DHCP server and router of a subnet: locally administered, derived from the name."""
    return _mac(uuids.switch(subnet))


def resolver_mac(subnet: str) -> str:
    """MAC address of the resolver of a subnet: locally administered, derived from the name."""
    return _mac(uuids.part("resolver", subnet))


def resolver_port(subnet: str) -> str:
    """Name of the resolver's Logical_Switch_Port, and iface-id of its interface on each host."""
    return f"dns:{subnet}"


def _mac(uuid: UUID) -> str:
    return ":".join(f"{octet:02x}" for octet in (0x0A, *uuid.bytes[:5]))
