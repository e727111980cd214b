"""Leases and lease indexes as immutable values. MAC addresses are lower case with colons."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.resources.port.values import Owner


@dataclass(frozen=True)
class Lease:
    """An address reserved for one interface while its domain is defined.

    Attributes:
        subnet: name of the subnet.
        address: IPv4 or IPv6.
        domain: UUID of the domain.
        domain_name: the domain's name at its last attach.
        mac: MAC address of the interface.
        hostname: a DNS label.
        host: the chassis that attached it last; only its agent may release the lease.
        run: ``CHASSIS/ID`` of the run of the domain that acquired the lease, which is released if that run fails to
            start.
        by_default: the interface names no subnet; it stays here when another subnet becomes the default.
        keep: it outlives the domain's definition, until it is released by hand.
        virtual: virtual addresses, of the same IP version, that the interface may take over.
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
    keep: bool = False
    virtual: tuple[IPAddress, ...] = ()

    @property
    def uuid(self) -> UUID:
        """Its DNS row."""
        return uuids.lease(self.subnet, str(self.address))

    def belongs_to(self, domain: UUID, mac: str) -> bool:
        """Check for an interface of a domain."""
        return self.domain == domain and self.mac == mac


@dataclass(frozen=True)
class LeaseIndex:
    """Index of a domain's leases, so that they are found without a search.

    Attributes:
        domain: UUID of the domain.
        domain_name: the domain's name at its last attach.
        host: the chassis that attached it last, or "" if the domain is no longer defined there.
        leases: (MAC, subnet, address) of each lease.
        kept_by: the domain's owner.
        moving_to: destination chassis of a migration, or "".
        requested_by: destination chassis of a migration that the source has not confirmed yet, or "".
        requested_until: time at which that request ends, in seconds since 1970.
        others: foreign records of the row; only in values that were read.
    """

    domain: UUID
    domain_name: str
    host: str
    leases: tuple[tuple[str, str, IPAddress], ...]
    kept_by: Owner = Owner.LIBVIRT
    moving_to: str = ""
    requested_by: str = ""
    requested_until: int = 0
    others: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def uuid(self) -> UUID:
        """Its DNS row."""
        return uuids.domain(self.domain)
