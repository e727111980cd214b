"""A floating IP as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids


@dataclass(frozen=True)
class FloatingIp:
    """1:1 NAT between an external address and a leased one, for as long as the lease is there.

    Attributes:
        address: the external one.
        router: name of the router whose external network has it.
        subnet: name of the subnet.
        inside: the leased address.
        domain: UUID of the domain.
        domain_name: its name when it was last attached.
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
        """Its NAT row."""
        return floating_ip_uuid(self.subnet, self.inside)


def floating_ip_uuid(subnet: str, address: IPAddress) -> UUID:
    """The NAT row of the floating IP of a leased address: there is one at most."""
    return uuids.part("floating", subnet, str(address))
