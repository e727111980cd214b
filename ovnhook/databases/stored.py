"""What the northbound database has of domains, and what is missing of it."""

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
    """What domains have.

    Attributes:
        ports: all of them.
        leases: all of them.
        lost: ports of clients that somebody has deleted, as far as is known: libvirt's are made anew by agents.
        broken: why rows of these, of lease indexes and of claims can't be read.
    """

    ports: tuple[Port, ...]
    leases: tuple[Lease, ...]
    lost: tuple[Port, ...] = ()
    broken: tuple[BrokenRow, ...] = ()


def lost_ports(
    ports: Iterable[Port], unreadable: Collection[UUID], lease_indexes: Iterable[LeaseIndex], claims: Iterable[Claim]
) -> Iterator[Port]:
    """Ports that are gone though nobody has detached them: the MAC address is given back with the port.

    Args:
        ports: those that are there.
        unreadable: the UUIDs of ports that are there and can't be read.
        lease_indexes: those of domains.
        claims: the MAC addresses that are reserved for ports.
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
