"""Subnets, names and routers as every host knows them, as immutable values: what the host's own network needs."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.router.values import InterfaceAddress, Router
from ovnhook.resources.subnet.values import Subnet, resolver_mac, resolver_port


def name_scope(subnet: str, router: str, *, isolated: bool) -> str:
    """Name scope of a subnet: guests resolve the names of their scope.

    Args:
        subnet: name of the subnet.
        router: name of its router, or "".
        isolated: no traffic to and from the router's other subnets.

    Returns:
        The scope's name, ``router/NAME`` or ``subnet/NAME``.
    """
    return f"router/{router}" if router and not isolated else f"subnet/{subnet}"


@dataclass(frozen=True, slots=True)
class HostResolver:
    """DNS server of a subnet: a port of type ``localport`` (ovn-nb(5)), which each hypervisor has.

    Attributes:
        port: name of the Logical_Switch_Port, the ``iface-id`` of the interface.
        mac: its MAC address.
        addresses: one in each network of the subnet.
    """

    port: str
    mac: str
    addresses: tuple[IPAddress, ...]

    @classmethod
    def of(cls, subnet: Subnet) -> HostResolver | None:
        """The resolver of a subnet, if it has one."""
        if not subnet.resolvers:
            return None
        return cls(resolver_port(subnet.name), resolver_mac(subnet.name), subnet.resolvers)


@dataclass(frozen=True, slots=True)
class HostSubnet:
    """A subnet.

    Attributes:
        name: unique name.
        mtu: MTU for guests, in bytes.
        networks: one of each IP version that it has; none if the control service is of an earlier version.
        gateways: address of router and DHCP server in each of the networks, reserved even without a router.
        router: name of its router, or "".
        dns_domain: DNS domain for guests, or "".
        isolated: no traffic to and from the router's other subnets.
        default: it is the default subnet.
        dns: DNS servers for guests that were set, instead of the resolver.
        resolver: its DNS server, or None.
    """

    name: str
    mtu: int
    networks: tuple[IPNetwork, ...] = ()
    gateways: tuple[IPAddress, ...] = ()
    router: str = ""
    dns_domain: str = ""
    isolated: bool = False
    default: bool = False
    dns: tuple[IPAddress, ...] = ()
    resolver: HostResolver | None = None

    @classmethod
    def of(cls, subnet: Subnet) -> HostSubnet:
        """Excerpt of a subnet."""
        return cls(
            name=subnet.name,
            mtu=subnet.mtu,
            networks=tuple(subnet.gateways),
            gateways=tuple(subnet.gateways.values()),
            router=subnet.router,
            dns_domain=subnet.dns_domain,
            isolated=subnet.isolated,
            default=subnet.default,
            dns=subnet.dns,
            resolver=HostResolver.of(subnet),
        )

    @property
    def uuid(self) -> UUID:
        """UUID of its Logical_Switch row."""
        return uuids.switch(self.name)

    @property
    def scope(self) -> str:
        """Its name scope."""
        return name_scope(self.name, self.router, isolated=self.isolated)


@dataclass(frozen=True, slots=True)
class HostName:
    """A host name of a leased address.

    Attributes:
        subnet: name of the subnet.
        hostname: a DNS label.
        address: IPv4 or IPv6.
    """

    subnet: str
    hostname: str
    address: IPAddress

    @classmethod
    def of(cls, lease: Lease) -> HostName:
        """Name of a lease."""
        return cls(lease.subnet, lease.hostname, lease.address)

    @property
    def uuid(self) -> UUID:
        """UUID of the lease's row."""
        return uuids.lease(self.subnet, str(self.address))


@dataclass(frozen=True, slots=True)
class HostRouter:
    """A router.

    Attributes:
        name: unique name.
        physical_network: of its external gateway, or "" without one.
        vlan: VLAN ID on the physical network, or 0.
        addresses: external addresses, of each IP version one at most.
        next_hops: default gateway for each of them.
        mac: MAC address of its external gateway port, or "".
    """

    name: str
    physical_network: str = ""
    vlan: int = 0
    addresses: tuple[InterfaceAddress, ...] = ()
    next_hops: tuple[IPAddress, ...] = ()
    mac: str = ""

    @classmethod
    def of(cls, router: Router) -> HostRouter:
        """Excerpt of a router."""
        external = router.external
        if external is None:
            return cls(router.name)
        return cls(
            router.name,
            external.physical_network,
            external.vlan,
            external.addresses,
            external.next_hops,
            external.mac,
        )

    @property
    def uuid(self) -> UUID:
        """UUID of its Logical_Router row."""
        return uuids.router(self.name)
