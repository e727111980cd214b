"""Routers, their external gateways and networks as immutable values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.resources.limits import NO_LIMITS, Limits
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class InterfaceAddress:
    """An interface address with its prefix length, ``203.0.113.10/24``.

    netaddr's IPNetwork does not distinguish ``203.0.113.10/24`` from ``203.0.113.11/24``.
    """

    ip: IPAddress
    prefixlen: int

    @property
    def version(self) -> int:
        """IP version, 4 or 6."""
        return int(self.ip.version)

    @cached_property
    def cidr(self) -> IPNetwork:
        """Its network."""
        return IPNetwork(str(self)).cidr

    def __str__(self) -> str:
        """The syntax of the command."""
        return f"{self.ip}/{self.prefixlen}"


@dataclass(frozen=True)
class External:
    """A router's external gateway.

    Attributes:
        physical_network: name in the gateway hosts' ``ovn-bridge-mappings`` (ovn-controller(8)).
        address: external IPv4 address with prefix length, ``203.0.113.10/24``, or None.
        next_hop: IPv4 default gateway, or None.
        vlan: VLAN ID on the physical network, or 0.
        snat: guests use the router's IPv4 address externally.
        address6: external IPv6 address, ``2001:db8::10/64``, or None.
        next_hop6: IPv6 default gateway, or None.
        snat6: guests use the router's IPv6 address externally.
        limits: rate limits of all external traffic.
        mac: MAC address of the external gateway port, different in each cloud; "" before it is assigned.
    """

    physical_network: str
    address: InterfaceAddress | None = None
    next_hop: IPAddress | None = None
    vlan: int = 0
    snat: bool = True
    address6: InterfaceAddress | None = None
    next_hop6: IPAddress | None = None
    snat6: bool = False
    limits: Limits = NO_LIMITS
    mac: str = ""

    @property
    def is_host(self) -> bool:
        """Check for an external gateway that is the gateway host itself (ovnhook.resources.router.hostlink)."""
        return self.physical_network == HOST

    @property
    def addresses(self) -> tuple[InterfaceAddress, ...]:
        """External addresses, one of each IP version that has an external gateway."""
        return tuple(filter(None, (self.address, self.address6)))

    @property
    def next_hops(self) -> tuple[IPAddress, ...]:
        """Default gateways, one for each external address."""
        return tuple(filter(None, (self.next_hop, self.next_hop6)))

    def has_snat(self, version: int) -> bool:
        """Check for SNAT of an IP version."""
        return self.snat if version == 4 else self.snat6


@dataclass(frozen=True)
class Router:
    """A logical router: connects its subnets, and an external network if it has an external gateway."""

    name: str
    external: External | None = None

    @property
    def uuid(self) -> UUID:
        """UUID of its Logical_Router row."""
        return uuids.router(self.name)


@dataclass(frozen=True)
class Network:
    """A router with its subnets, sorted by name."""

    router: Router
    subnets: tuple[Subnet, ...] = ()

    @property
    def mtu(self) -> int:
        """Size in bytes of the largest packet that its guests accept."""
        return max((subnet.mtu for subnet in self.subnets), default=Subnet.mtu)


@dataclass(frozen=True)
class GatewayHosts:
    """The gateways of a router: hosts that may have its external gateway port.

    Attributes:
        router: name of the router.
        hosts: their chassis, in descending priority.
        priority: of the only host, in a value that was read from one row.
    """

    router: str
    hosts: tuple[str, ...]
    priority: int = field(default=0, compare=False)


HOST = "host"
"""Physical network of routers whose external gateway is the gateway host."""

EXTERNAL_NETWORK = "external"
"""Physical network that ``ovnhook node init`` sets up for an interface."""

DEFAULT_ROUTER = "gateway"
"""Router of subnets that do not name another one, or none."""
