"""Ports as immutable values. MAC addresses are lower case with colons."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids


class Owner(Enum):
    """Who says when a domain ends: its host's libvirt, or the client that attached it over gRPC."""

    LIBVIRT = "libvirt"
    CLIENT = "client"

    @classmethod
    def _missing_(cls, value: object) -> Owner:
        """Read an unknown owner as a client: agents remove nothing that is not libvirt's."""
        return cls.CLIENT


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
    kept_by: Owner = Owner.LIBVIRT
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
