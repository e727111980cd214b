"""A floating IP as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids


@dataclass(frozen=True)
class FloatingIp:
    """Floating IP: 1:1 NAT between an external and a leased or virtual address, with which it is deleted.

    Attributes:
        address: the external address.
        router: name of the router.
        subnet: name of the subnet.
        inside: the leased or virtual address.
        domain: UUID of the domain; None for a virtual address, which may have several.
        domain_name: the domain's name at its last attach, or "".
        mac: MAC address of the interface, or "".
    """

    address: IPAddress
    router: str
    subnet: str
    inside: IPAddress
    domain: UUID | None
    domain_name: str
    mac: str

    @property
    def uuid(self) -> UUID:
        """UUID of its NAT row."""
        return floating_ip_uuid(self.subnet, self.inside)

    @property
    def owner(self) -> str:
        """Description of what it leads to, for messages."""
        return f"domain {self.domain_name}" if self.domain else f"virtual address {self.inside}"


def floating_ip_uuid(subnet: str, address: IPAddress) -> UUID:
    """UUID of the NAT row for a leased or virtual address, which has one floating IP at most."""
    return uuids.part("floating", subnet, str(address))
