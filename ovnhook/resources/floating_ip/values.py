"""A floating IP as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids


@dataclass(frozen=True)
class FloatingIp:
    """Floating IP: 1:1 NAT between an external and a leased address. It is deleted with the lease.

    Attributes:
        address: the external address.
        router: name of the router.
        subnet: name of the subnet.
        inside: the leased address.
        domain: UUID of the domain.
        domain_name: the domain's name at its last attach.
        mac: MAC address of the interface.
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
        """UUID of its NAT row."""
        return floating_ip_uuid(self.subnet, self.inside)


def floating_ip_uuid(subnet: str, address: IPAddress) -> UUID:
    """UUID of the NAT row for a leased address, which has one floating IP at most."""
    return uuids.part("floating", subnet, str(address))
