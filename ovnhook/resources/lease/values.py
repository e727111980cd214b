"""What domains hold while they are defined, as immutable values. MAC addresses are lower case with colons."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.resources.port.values import Owner


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

    def belongs_to(self, domain: UUID, mac: str) -> bool:
        """Whether it is of this interface."""
        return self.domain == domain and self.mac == mac


@dataclass(frozen=True)
class LeaseIndex:
    """Index of a domain's leases, so that they are found without a search.

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
    kept_by: Owner = Owner.LIBVIRT
    moving_to: str = ""
    others: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def uuid(self) -> UUID:
        """Its DNS row."""
        return uuids.domain(self.domain)
