"""Domains, interfaces and taps, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.errors import InvalidRequest
from ovnhook.resources.port.options import DEFAULTS, PortOptions
from ovnhook.resources.port.values import Owner


class InterfaceType(Enum):
    """Type of an interface in libvirt: the ``type`` attribute of ``<interface>``."""

    BRIDGE = "bridge"
    NETWORK = "network"
    ETHERNET = "ethernet"


@dataclass(frozen=True)
class InterfaceRequest:
    """Settings of one interface from the domain's metadata or the API. Empty fields have defaults.

    Attributes:
        subnet: name of the subnet.
        isolated: whether that is an isolated subnet of the domain's own, created at its first start.
        addresses: at most one for each IP version.
        hostname: a DNS label; default: derived from the domain's name.
        options: of its port.
        keep: whether its leases outlive the domain's definition.
        security_groups: sorted names of its security groups; None: those of the subnet.
    """

    subnet: str = ""
    isolated: bool = False
    addresses: tuple[IPAddress, ...] = ()
    hostname: str = ""
    options: PortOptions = DEFAULTS
    keep: bool = False
    security_groups: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Interface:
    """A managed interface of a domain.

    Attributes:
        mac: the MAC address.
        kind: its type in libvirt.
        request: its settings from the domain's metadata.
        interface_id: the ``interfaceid`` in the domain's definition, or "" if libvirt generates one at each start.
        device: its tap on this host (``vnet3``), known from the ``start`` hook on, else "".
        network: its libvirt network, else "".
        portgroup: its portgroup in that network, else "".
        mtu: in bytes, as in its XML, else 0.
        unlimited: ``average`` of an ``<inbound>`` without ``peak``, which limits nothing in Open vSwitch, else 0.
    """

    mac: str
    kind: InterfaceType
    request: InterfaceRequest = InterfaceRequest()
    interface_id: str = ""
    device: str = ""
    network: str = ""
    portgroup: str = ""
    mtu: int = 0
    unlimited: int = 0


@dataclass(frozen=True)
class Unsupported:
    """A setting in an interface's XML that OVN ports do not support.

    Attributes:
        mac: the interface's.
        what: description.
        hint: the supported alternative.
    """

    mac: str
    what: str
    hint: str


@dataclass(frozen=True)
class Domain:
    """A libvirt domain as its XML describes it.

    Attributes:
        uuid: its UUID, unchanged by start, migration and rename.
        name: its name.
        id: libvirt's ID of the running domain, or -1.
        interfaces: the managed interfaces, in the order of the XML.
        macs: those of all interfaces, managed or not. A port with any other MAC belongs to a removed interface.
        defined_only_macs: those that only its stored definition has, not the running domain; their leases are kept.
        unsupported: settings that prevent a start, of managed interfaces or those meant to be.
        kept_by: its owner, which decides when it ends.
        hostnames: (MAC, host name) of interfaces that request one; only of a domain that is shut off.
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
        """UUID of the row of an interface's port."""
        return uuids.port(self.uuid, mac)

    def port_id(self, interface: Interface) -> str:
        """Port ID of an interface: the interfaceid in the domain's XML, or a derived one."""
        return interface.interface_id or str(self.port_uuid(interface.mac))

    def refuse_unsupported(self) -> None:
        """Raise InvalidRequest if the XML of an interface has settings that OVN ports do not support."""
        for one in self.unsupported:
            raise InvalidRequest(f"domain {self.name}: interface {one.mac}: {one.what}", one.hint)


@dataclass(frozen=True)
class Tap:
    """A guest's port in Open vSwitch.

    Attributes:
        iface_id: name of the logical switch port that it is bound to.
        domain: UUID of the domain, as written by whatever plugged it, or "".
        mac: the guest's MAC address, likewise.
        ours: whether ovnhook has bound it.
    """

    iface_id: str
    domain: str
    mac: str
    ours: bool
