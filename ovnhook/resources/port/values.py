"""Ports as immutable values. MAC addresses are lower case with colons."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.resources.limits import NO_LIMITS, Limits
from ovnhook.resources.port.options import DEFAULTS, PortOptions


class Owner(Enum):
    """Owner of a domain: libvirt, or the API client that attached it."""

    LIBVIRT = "libvirt"
    CLIENT = "client"

    @classmethod
    def _missing_(cls, value: object) -> Owner:
        """Treat an unknown owner as a client: agents remove only ports of libvirt's domains."""
        return cls.CLIENT


@dataclass(frozen=True)
class Port:
    """A logical switch port: one interface of a running domain.

    Attributes:
        id: name of the Logical_Switch_Port, and iface-id of the tap.
        subnet: name of the subnet.
        mac: MAC address of the interface.
        addresses: the leased addresses.
        domain: UUID of the domain.
        domain_name: name of the domain.
        host: chassis on which the domain runs; only its agent may remove the port.
        kept_by: the domain's owner.
        moving_to: destination chassis of a migration, which may bind the port too, or "".
        security_groups: sorted names of its security groups.
        names_groups: its interface names them; otherwise they are those of the subnet.
        index: index among all interfaces of the domain, or None if an older version created the port.
        options: as its interface requests them.
        limits: rate limits, as requested or by the subnet.
        foreign: settings of its row that are not ovnhook's; only in values that were read.
        intact: False if the row was changed by hand; only in values that were read.
        up: bound by OVN; only in values that were read.
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
    options: PortOptions = DEFAULTS
    limits: Limits = NO_LIMITS
    foreign: tuple[str, ...] = field(default=(), compare=False)
    security_groups: tuple[str, ...] = ()
    names_groups: bool = False
    intact: bool = True
    up: bool = field(default=False, compare=False)

    @property
    def uuid(self) -> UUID:
        """UUID of its Logical_Switch_Port row."""
        return uuids.port(self.domain, self.mac)


@dataclass(frozen=True)
class Claim:
    """Reservation of a MAC address in a subnet, for the port that has it.

    Attributes:
        subnet: name of the subnet.
        mac: the MAC address.
        domain: UUID of the domain; its port has name and host.
    """

    subnet: str
    mac: str
    domain: UUID

    @property
    def uuid(self) -> UUID:
        """UUID of its DNS row."""
        return uuids.claim(self.subnet, self.mac)
