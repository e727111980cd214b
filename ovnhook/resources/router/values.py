"""A router, its external gateway and the subnets on it, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class InterfaceAddress:
    """An address of an interface with the length of its network's prefix, ``203.0.113.10/24``.

    netaddr's IPNetwork is not this: ``203.0.113.10/24`` and ``203.0.113.11/24`` are equal to it.
    """

    ip: IPAddress
    prefixlen: int

    @property
    def version(self) -> int:
        """Its IP version, 4 or 6."""
        return int(self.ip.version)

    @cached_property
    def cidr(self) -> IPNetwork:
        """The network that it is in."""
        return IPNetwork(str(self)).cidr

    def __str__(self) -> str:
        """As a user writes it."""
        return f"{self.ip}/{self.prefixlen}"


@dataclass(frozen=True)
class External:
    """A router's leg to the outside.

    Attributes:
        physical_network: as the gateway hosts call it in ``ovn-bridge-mappings`` (ovn-controller(8)).
        address: the router's own IPv4 address there, with the network's length, ``203.0.113.10/24``; or None.
        next_hop: where all IPv4 goes that is not inside; or None.
        vlan: the tag on the physical network, or 0.
        snat: whether guests are seen outside with the router's IPv4 address.
        address6: its IPv6 address there, ``2001:db8::10/64``; or None.
        next_hop6: where all IPv6 goes; or None.
        snat6: whether guests are seen outside with its IPv6 address.
        mac: its MAC address there, which no other cloud on the physical network has; "" before it is given one.
    """

    physical_network: str
    address: InterfaceAddress | None = None
    next_hop: IPAddress | None = None
    vlan: int = 0
    snat: bool = True
    address6: InterfaceAddress | None = None
    next_hop6: IPAddress | None = None
    snat6: bool = False
    mac: str = ""

    @property
    def next_hops(self) -> dict[InterfaceAddress, IPAddress]:
        """Its addresses, one for each IP version that it leads outside, with where all goes from there."""
        pairs = ((self.address, self.next_hop), (self.address6, self.next_hop6))
        return {address: hop for address, hop in pairs if address}

    def has_snat(self, version: int) -> bool:
        """Whether guests' addresses of an IP version are not seen outside."""
        return self.snat if version == 4 else self.snat6


@dataclass(frozen=True)
class Router:
    """A logical router: the subnets on it reach each other, and the outside where it has a leg there."""

    name: str
    external: External | None = None

    @property
    def uuid(self) -> UUID:
        """Its Logical_Router row."""
        return uuids.router(self.name)


@dataclass(frozen=True)
class Network:
    """A router with the subnets on it, by name."""

    router: Router
    subnets: tuple[Subnet, ...] = ()

    @property
    def mtu(self) -> int:
        """Bytes of the largest packet that guests on it take, whatever host they run on."""
        return max((subnet.mtu for subnet in self.subnets), default=Subnet.mtu)


@dataclass(frozen=True)
class GatewayHosts:
    """The hosts that may have a router's external gateway port.

    Attributes:
        router: name of the router.
        hosts: their chassis, the preferred one first.
        priority: of the one host, where a single row was read.
    """

    router: str
    hosts: tuple[str, ...]
    priority: int = field(default=0, compare=False)


DEFAULT_ROUTER = "gateway"
"""The router that subnets are on unless another one is named, or none."""
