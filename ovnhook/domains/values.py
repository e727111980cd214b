"""Domains and their interfaces as libvirt has them, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.resources.port.values import Owner


class InterfaceType(Enum):
    """How libvirt connects an interface: the ``type`` attribute of ``<interface>``."""

    BRIDGE = "bridge"
    NETWORK = "network"
    ETHERNET = "ethernet"


@dataclass(frozen=True)
class InterfaceRequest:
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
        request: what the domain's metadata says of it.
        interface_id: the ``interfaceid`` that the domain itself keeps, or "" where libvirt makes one up at each start.
        device: the tap on this host (``vnet3``), known from the ``start`` hook on, else "".
        network: the libvirt network it comes from, else "".
        portgroup: the portgroup of that network, else "".
        mtu: in bytes, as its XML sets it, else 0.
    """

    mac: str
    kind: InterfaceType
    request: InterfaceRequest = InterfaceRequest()
    interface_id: str = ""
    device: str = ""
    network: str = ""
    portgroup: str = ""
    mtu: int = 0


@dataclass(frozen=True)
class Unsupported:
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
        defined_only_macs: those that only its stored definition has, not the running domain; their leases are kept.
        unsupported: what keeps interfaces from a start, ours or those that were meant to be.
        kept_by: who says when it ends.
        hostnames: (MAC, host name) of those interfaces whose metadata asks for one; only of a domain that is off.
    """

    uuid: UUID
    name: str
    id: int = -1
    interfaces: tuple[Interface, ...] = ()
    macs: tuple[str, ...] = ()
    defined_only_macs: tuple[str, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    kept_by: Owner = Owner.LIBVIRT
    hostnames: tuple[tuple[str, str], ...] = ()

    def port_uuid(self, mac: str) -> UUID:
        """The row of the port that belongs to one of its interfaces."""
        return uuids.port(self.uuid, mac)


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
