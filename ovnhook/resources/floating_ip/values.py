"""A floating IP address as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids


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
