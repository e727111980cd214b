"""A subnet as an immutable value. Names of subnets are unique in a cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.resources.ip import Range


def isolated_subnet(domain: UUID) -> str:
    """The name of a domain's own subnet."""
    return f"{_OWN}{domain}"


def is_isolated_subnet(name: str) -> bool:
    """Whether a subnet of that name is some domain's own."""
    try:
        return name.startswith(_OWN) and isolated_subnet(UUID(name.removeprefix(_OWN))) == name
    except ValueError:
        return False


_OWN = "isolated-"


@dataclass(frozen=True)
class Subnet:
    """A logical switch with its addresses.

    Attributes:
        name: unique.
        cidr: the network, IPv4 or IPv6.
        gateway: the address that no guest gets: the first one unless chosen. It is the router's, and the DHCP server's
            identity.
        cidr6: the IPv6 network beside an IPv4 one, or None.
        gateway6: the router's address there, the first one.
        router: name of the router that it is on, or "". Guests have a default route where there is one.
        ranges: where addresses are taken from when a domain asks for none; empty: all of cidr.
        dns: servers that guests are given.
        dns_domain: the DNS domain that guests are given, or "".
        mtu: in bytes, what guests are given.
        default: whether it is where domains go that name none.
        isolated: whether the other subnets of its router are kept from it, and it from them.

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
        """Refuse host bits: IPNetwork does not compare them."""
        for network in self.gateways:
            if network.ip != network.network:
                raise ValueError(f"network {network} has host bits set")

    @property
    def uuid(self) -> UUID:
        """Its Logical_Switch row."""
        return uuids.switch(self.name)

    @property
    def gateways(self) -> dict[IPNetwork, IPAddress]:
        """Its networks, of one IP version each, with the gateway's address. An interface has an address of each."""
        beside = {self.cidr6: self.gateway6} if self.cidr6 else {}
        return {self.cidr: self.gateway, **beside}

    def network(self, version: int) -> IPNetwork | None:
        """Its network of an IP version, or None."""
        return next((network for network in self.gateways if network.version == version), None)

    def servers(self, version: int) -> tuple[IPAddress, ...]:
        """The DNS servers of an IP version that guests are told.

        OVN answers for the names of guests whatever server is asked, so one has to be: the router, where none is set
        that such guests can reach.
        """
        chosen = tuple(server for server in self.dns if server.version == version)
        return chosen or tuple(
            gateway for gateway in self.gateways.values() if self.router and gateway.version == version
        )


@dataclass(frozen=True)
class DnsRecords:
    """The records of a subnet's guests, or some of them.

    Attributes:
        subnet: name of the subnet.
        records: by name, as guests get them (ovnhook.resources.subnet.dns).
    """

    subnet: str
    records: Mapping[str, str]

    @property
    def uuid(self) -> UUID:
        """Their DNS row."""
        return uuids.dns_records(self.subnet)


def dhcp_uuid(subnet: str, version: int) -> UUID:
    """The DHCP_Options row of a subnet's addresses of an IP version."""
    return uuids.dhcp_options(subnet) if version == 4 else uuids.dhcpv6_options(subnet)


def server_mac(subnet: str) -> str:
    """The MAC address that answers DHCP on a subnet, by its name: locally administered, the same for ever."""
    return ":".join(f"{octet:02x}" for octet in (0x0A, *uuids.switch(subnet).bytes[:5]))
