"""What ovnhook speaks of: domains with their interfaces, subnets, ports and leases, as immutable values.

Nothing here reads or writes anything. MAC addresses are lower case with colons; names of subnets are unique in a cloud.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids


class Kind(Enum):
    """How libvirt connects an interface: the ``type`` attribute of ``<interface>``."""

    BRIDGE = "bridge"
    NETWORK = "network"
    ETHERNET = "ethernet"


class Keeper(Enum):
    """Who says when a domain ends: its host's libvirt, or the client that attached it over gRPC."""

    LIBVIRT = "libvirt"
    CLIENT = "client"


@dataclass(frozen=True)
class Wish:
    """What a domain's metadata asks for one interface. Empty: whatever is usual.

    Attributes:
        subnet: name of the subnet.
        isolated: whether that is the domain's own, which is made with its first start.
        addresses: at most one for each IP version.
        hostname: a DNS label; without one it is derived from the domain's name.
    """

    subnet: str = ""
    isolated: bool = False
    addresses: tuple[IPAddress, ...] = ()
    hostname: str = ""


@dataclass(frozen=True)
class Interface:
    """One interface of a domain that is ours to attach.

    Attributes:
        mac: the MAC address.
        kind: how libvirt connects it.
        wish: what the domain's metadata says of it.
        interface_id: the ``interfaceid`` that the domain itself keeps, or "" where libvirt makes one up at each start.
        device: the tap on this host (``vnet3``), known from the ``start`` hook on, else "".
        network: the libvirt network it comes from, else "".
        portgroup: the portgroup of that network, else "".
        mtu: in bytes, as its XML sets it, else 0.
    """

    mac: str
    kind: Kind
    wish: Wish = Wish()
    interface_id: str = ""
    device: str = ""
    network: str = ""
    portgroup: str = ""
    mtu: int = 0


@dataclass(frozen=True)
class Unfit:
    """What the XML of an interface asks for that no port of OVN can give.

    Attributes:
        mac: the interface's.
        what: in words.
        hint: what to write instead.
    """

    mac: str
    what: str
    hint: str


@dataclass(frozen=True)
class Domain:
    """A libvirt domain as its XML describes it.

    Attributes:
        uuid: stays over start, migration and rename.
        name: as the user knows it.
        id: libvirt's number of this run on this host, or -1 when the XML is not of a running domain.
        interfaces: those that are ours, in the order of the XML.
        macs: those of every interface, ours or not: a port of any other MAC is of an interface that is gone.
        spare: those that it does not have now and may have again, because its definition has them: their leases stay.
        unfit: what keeps interfaces from a start, ours or those that were meant to be.
        kept_by: who says when it ends.
        hostnames: (MAC, host name) of those interfaces whose metadata asks for one; only of a domain that is off.
    """

    uuid: UUID
    name: str
    id: int = -1
    interfaces: tuple[Interface, ...] = ()
    macs: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    unfit: tuple[Unfit, ...] = ()
    kept_by: Keeper = Keeper.LIBVIRT
    hostnames: tuple[tuple[str, str], ...] = ()

    def port_uuid(self, mac: str) -> UUID:
        """The row of the port that belongs to one of its interfaces."""
        return uuids.port(self.uuid, mac)


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
class Range:
    """Addresses from first to last, both included."""

    first: IPAddress
    last: IPAddress

    def __str__(self) -> str:
        """As a user writes it: ``10.0.0.10-10.0.0.99``."""
        return f"{self.first}-{self.last}"


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

    @property
    def cidr(self) -> IPNetwork:
        """The network that it is in."""
        return IPNetwork(str(self)).cidr

    def __str__(self) -> str:
        """As a user writes it."""
        return f"{self.ip}/{self.prefixlen}"


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
        domain: the DNS domain that guests are given, or "".
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
    domain: str = ""
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

    def hides(self, version: int) -> bool:
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


DEFAULT_ROUTER = "gateway"
"""The router that subnets are on unless another one is named, or none."""


@dataclass(frozen=True)
class Lease:
    """An address kept for one interface of one domain, for as long as the domain is defined.

    Attributes:
        subnet: name of the subnet.
        address: in its canonical spelling.
        domain: UUID of the domain.
        domain_name: its name when it was last attached.
        mac: the interface.
        hostname: a DNS label.
        host: the chassis that attached it last; only its agent may drop it.
        run: ``CHASSIS/ID`` of the run of the domain that took the lease. If that very run fails to start it is dropped.
        by_default: whether the interface named no subnet: it stays where it is when another one becomes the default.
    """

    subnet: str
    address: IPAddress
    domain: UUID
    domain_name: str
    mac: str
    hostname: str
    host: str
    run: str
    by_default: bool = False

    @property
    def uuid(self) -> UUID:
        """Its DNS row."""
        return uuids.lease(self.subnet, str(self.address))

    def is_held_by(self, domain: UUID, mac: str) -> bool:
        """Whether it is of this interface."""
        return self.domain == domain and self.mac == mac


@dataclass(frozen=True)
class Floating:
    """An address outside that leads to one interface of a domain, both ways, for as long as its lease is there.

    Attributes:
        address: the one outside.
        router: name of the router that leads there.
        subnet: name of the subnet.
        inside: the leased address.
        domain: UUID of the domain.
        domain_name: its name when the address was given.
        mac: the interface.
    """

    address: IPAddress
    router: str
    subnet: str
    inside: IPAddress
    domain: UUID
    domain_name: str
    mac: str

    @property
    def uuid(self) -> UUID:
        """Its NAT row, which goes with the lease."""
        return uuids.floating(self.subnet, str(self.inside))


@dataclass(frozen=True)
class Port:
    """A logical switch port: one interface of a running domain.

    Attributes:
        id: the LSP's name, which is the iface-id of the tap.
        subnet: name of the subnet.
        mac: the interface.
        addresses: the leased ones.
        domain: UUID of the domain.
        domain_name: its name.
        host: the chassis that it runs on, which alone may remove the port.
        kept_by: who says when it ends.
        moving_to: the chassis that the domain is migrating to, which may bind it as well, or "".
        index: its place among the domain's interfaces, ours or not, or None where an older version made the port.
        intact: whether its row says just this: somebody may have changed a part of it. Only in what was read.
        up: whether OVN has bound it; only in what was read.
    """

    id: str
    subnet: str
    mac: str
    addresses: tuple[IPAddress, ...]
    domain: UUID
    domain_name: str
    host: str
    kept_by: Keeper = Keeper.LIBVIRT
    moving_to: str = ""
    index: int | None = None
    intact: bool = True
    up: bool = field(default=False, compare=False)

    @property
    def uuid(self) -> UUID:
        """Its Logical_Switch_Port row."""
        return uuids.port(self.domain, self.mac)


@dataclass(frozen=True)
class Claim:
    """A MAC address of a subnet, reserved for as long as a domain has a port with it there.

    Attributes:
        subnet: name of the subnet.
        mac: the MAC address.
        domain: UUID of the domain; its port says what the domain is called, and where it runs.
    """

    subnet: str
    mac: str
    domain: UUID

    @property
    def uuid(self) -> UUID:
        """Its DNS row."""
        return uuids.claim(self.subnet, self.mac)


@dataclass(frozen=True)
class Tap:
    """A guest's device as Open vSwitch has it.

    Attributes:
        iface_id: name of the logical switch port that it is bound to.
        domain: UUID of the domain, as whoever plugged it wrote it, or "".
        mac: the guest's MAC, likewise.
        ours: whether we have bound it.
    """

    iface_id: str
    domain: str
    mac: str
    ours: bool


@dataclass(frozen=True)
class Holding:
    """What a domain holds while it is defined.

    Attributes:
        domain: UUID of the domain.
        domain_name: its name when it was last attached.
        host: the chassis that attached it last.
        leases: (MAC, subnet, address) of each lease.
        kept_by: who says when it ends.
        moving_to: the chassis that the domain is migrating to, or "".
        others: records of its row that are not ours. Only in what was read.
    """

    domain: UUID
    domain_name: str
    host: str
    leases: tuple[tuple[str, str, IPAddress], ...]
    kept_by: Keeper = Keeper.LIBVIRT
    moving_to: str = ""
    others: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def uuid(self) -> UUID:
        """Its DNS row."""
        return uuids.domain(self.domain)


@dataclass(frozen=True)
class Node:
    """A host that takes part in OVN, as it says of itself: by its ovn-controller, and by its agent.

    Attributes:
        name: its chassis, the system-id.
        hostname: of the host.
        encapsulations: (``geneve``, address) of each end of its tunnels.
        is_gateway: whether it says that it can be a gateway: ``ovn-cms-options`` has ``enable-chassis-as-gw``.
        physical_networks: those that it has a bridge for: ``ovn-bridge-mappings``.
        uplinks_down: those of them whose bridge has no link outside now. Only an agent tells.
        nb_cfg: the last count of NB_Global.nb_cfg whose flows it has.
        nb_cfg_at: when that was, in seconds since 1970 by its clock, or 0.
        agent: the version of its agent, or "" where none has ever told.
        agent_seen: when the agent told last, in seconds since 1970 by its clock.
        ovs: the version of its Open vSwitch, or "".
        problems: what its agent can't repair there, a sentence each.
        mtu: bytes of a guest's IP packet that its tunnels carry, or 0 where its agent doesn't know.
    """

    name: str
    hostname: str = ""
    encapsulations: tuple[tuple[str, str], ...] = ()
    is_gateway: bool = False
    physical_networks: frozenset[str] = frozenset()
    uplinks_down: frozenset[str] = frozenset()
    nb_cfg: int = 0
    nb_cfg_at: float = 0.0
    agent: str = ""
    agent_seen: int = 0
    ovs: str = ""
    problems: tuple[str, ...] = ()
    mtu: int = 0
