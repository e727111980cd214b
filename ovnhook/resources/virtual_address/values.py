"""Virtual addresses and their OVN ports as immutable values. MAC addresses are lower case with colons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids


class Holder(NamedTuple):
    """An interface whose domain names a virtual address, whether it runs or not.

    Attributes:
        domain: UUID of the domain.
        mac: MAC address of the interface.
        domain_name: the domain's name at its last attach.
    """

    domain: UUID
    mac: str
    domain_name: str


@dataclass(frozen=True)
class VirtualAddress:
    """An address that is reserved in a subnet while a domain names it: the ports of all of them may use it (VRRP).

    Its row has the UUID that a lease of the address would have, so that there is one of both at most.

    Attributes:
        subnet: name of the subnet.
        address: IPv4 or IPv6.
        holders: the interfaces that have it, sorted; at least one.
        run: ``CHASSIS/ID`` of the run of the domain that reserved it.
        others: foreign records of the row; only in values that were read.
    """

    subnet: str
    address: IPAddress
    holders: tuple[Holder, ...]
    run: str = ""
    others: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def uuid(self) -> UUID:
        """Its DNS row."""
        return uuids.lease(self.subnet, str(self.address))

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of its domains."""
        return tuple(sorted({holder.domain_name for holder in self.holders}))


@dataclass(frozen=True)
class VirtualPort:
    """The OVN port of a virtual address, of type ``virtual``: OVN binds it to the parent that announces the address.

    It exists while a parent does.

    Attributes:
        subnet: name of the subnet.
        address: the virtual address.
        parents: names of the ports that may take it over, sorted.
        intact: False if the row was changed by hand; only in values that were read.
    """

    subnet: str
    address: IPAddress
    parents: tuple[str, ...]
    intact: bool = True

    @property
    def name(self) -> str:
        """Name of the Logical_Switch_Port."""
        return f"virtual:{self.subnet}:{self.address}"

    @property
    def uuid(self) -> UUID:
        """UUID of its Logical_Switch_Port row."""
        return virtual_port_uuid(self.subnet, self.address)


def virtual_port_uuid(subnet: str, address: IPAddress) -> UUID:
    """UUID of the Logical_Switch_Port row of a virtual address."""
    return uuids.part("virtual", subnet, str(address))
