"""Subnets and DNS records as immutable values. Names of subnets are unique in a cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.resources.ip import Range


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


@dataclass(frozen=True)
class Subnet:
    """A subnet: a logical switch with addresses.

    Attributes:
        name: unique name.
        cidr: IPv4 or IPv6 network.
        gateway: address of the router and of the DHCP server, reserved even without a router. Default: the first one.
        cidr6: IPv6 network in addition to an IPv4 one, or None.
        gateway6: address of the router in cidr6, the first one.
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

    def network(self, version: int) -> IPNetwork | None:
        """The network of an IP version, or None."""
        return next((network for network in self.gateways if network.version == version), None)

    def servers(self, version: int) -> tuple[IPAddress, ...]:
        """DNS servers of an IP version for guests. The default is the router's address.

        OVN answers queries for host names itself, to whatever server they are sent; guests send none without a server.
        """
        chosen = tuple(server for server in self.dns if server.version == version)
        return chosen or tuple(
            gateway for gateway in self.gateways.values() if self.router and gateway.version == version
        )


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
    return ":".join(f"{octet:02x}" for octet in (0x0A, *uuids.switch(subnet).bytes[:5]))
