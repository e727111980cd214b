"""Rows of domains in the northbound database, and ports that were deleted by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Claim, Owner, Port
from ovnhook.resources.reading import BrokenRow


@dataclass(frozen=True)
class DomainRows:
    """Rows of all domains.

    Attributes:
        ports: all ports.
        leases: all leases.
        lost: client ports that were deleted by hand, as far as is known; agents recreate those of libvirt's domains.
        broken: errors of rows that can't be read, also of lease indexes and MAC reservations.
    """

    ports: tuple[Port, ...]
    leases: tuple[Lease, ...]
    lost: tuple[Port, ...] = ()
    broken: tuple[BrokenRow, ...] = ()


def lost_ports(
    ports: Iterable[Port], unreadable: Collection[UUID], lease_indexes: Iterable[LeaseIndex], claims: Iterable[Claim]
) -> Iterator[Port]:
    """Client ports that were deleted by hand: their MAC reservations exist, which are released when a port is detached.

    Args:
        ports: existing ports.
        unreadable: UUIDs of existing ports that can't be read.
        lease_indexes: of all domains.
        claims: all MAC reservations.
    """
    held = {lease_index.domain: lease_index for lease_index in lease_indexes if lease_index.kept_by is Owner.CLIENT}
    there = {(port.subnet, port.mac, port.domain) for port in ports}
    for claim in claims:
        if uuids.port(claim.domain, claim.mac) in unreadable:
            continue
        if claim.domain in held and (claim.subnet, claim.mac, claim.domain) not in there:
            of = held[claim.domain]
            addresses = tuple(where for mac, name, where in of.leases if (mac, name) == (claim.mac, claim.subnet))
            name = str(uuids.port(claim.domain, claim.mac))
            yield Port(name, claim.subnet, claim.mac, addresses, claim.domain, of.domain_name, of.host, Owner.CLIENT)
