"""Inventory of one host in the northbound database, for comparison with the host's state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.diagnosis.differences import required_claims
from ovnhook.domains.inventory import Inventory, RelatedRows
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Operation, Row, includes, key, map_of, select
from ovnhook.resources import tables
from ovnhook.resources.lease.rows import read_lease, read_lease_index
from ovnhook.resources.port.rows import read_claim, read_port
from ovnhook.resources.port.values import Claim
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import SUBNET

_log = logging.getLogger(__name__)

_BATCH = 500  # leases that are looked up in one transaction

T = TypeVar("T")


def read(
    database: Database, host: str, deadline: Deadline, domains: Mapping[str, str] = MappingProxyType({})
) -> Inventory:
    """Read all rows of a host in one transaction.

    Args:
        database: the northbound database.
        host: name of the chassis.
        deadline: deadline of the transaction.
        domains: DNS domain by subnet, of subnets whose DNS version is requested.

    Raises:
        NewerFormat: rows were written by a newer version.
    """
    queries: list[Operation] = [
        select(tables.DNS, key(uuids.REGISTRY)),
        select(tables.PORT, includes("external_ids", owned.kind("port", host=host))),
        select(tables.PORT, includes("external_ids", owned.kind("port", moving_to=host))),
        select(tables.DNS, includes("external_ids", owned.kind("domain", host=host))),
        select(tables.DNS, includes("external_ids", owned.kind("domain", moving_to=host))),
        select(tables.DNS, includes("external_ids", owned.kind("lease", host=host))),
    ]
    for name, domain in domains.items():
        same = includes("external_ids", owned.kind("subnet", subnet=name, dns_domain=domain))
        queries += [
            select(tables.SWITCH, key(uuids.switch(name)), same, columns=["_uuid"]),
            select(tables.DNS, key(uuids.dns_records(name)), columns=["_version"]),
        ]
    registry, ports, coming, lease_indexes, arriving, leases, *more = database.transact(queries, deadline)
    list(_each(read_registry, registry, []))  # checks its format; the control service repairs a broken one
    versions = {
        name: names[0]["_version"][1]
        for name, switches, names in zip(domains, more[::2], more[1::2], strict=True)
        if switches and names
    }
    broken: list[OvnhookError] = []
    return Inventory(
        ports={(port.domain, port.mac): port for port in _each(read_port, (*ports, *coming), broken)},
        lease_indexes={index.domain: index for index in _each(read_lease_index, (*lease_indexes, *arriving), broken)},
        leases={(lease.subnet, lease.address): lease for lease in _each(read_lease, leases, broken)},
        broken=tuple(broken),
        versions=versions,
    )


def read_domain(
    database: Database,
    host: str,
    domain: UUID,
    macs: Iterable[str],
    places: Iterable[tuple[str, IPAddress]],
    deadline: Deadline,
) -> tuple[Inventory, RelatedRows]:
    """Read all rows of a domain on a host, by key.

    Args:
        database: the northbound database.
        host: name of the chassis.
        domain: UUID of the domain.
        macs: MACs of its interfaces, in addition to those with leases.
        places: subnet and address of possible leases, in addition to those in its index.
        deadline: deadline of the transactions.
    """
    broken: list[OvnhookError] = []
    (found,) = database.transact([select(tables.DNS, key(uuids.domain(domain)))], deadline)
    lease_index = next(_each(read_lease_index, found, broken), None)
    held = lease_index.leases if lease_index else ()
    every = sorted({*macs, *(mac for mac, _, _ in held)})
    queries = [select(tables.PORT, key(uuids.port(domain, mac))) for mac in every]
    found = [row for result in (database.transact(queries, deadline) if queries else ()) for row in result]
    ports = list(_each(read_port, found, broken))
    where = {*places, *((subnet, address) for _, subnet, address in held)}
    where |= {(port.subnet, address) for port in ports for address in port.addresses}
    queries = [select(tables.DNS, key(uuids.lease(subnet, str(address)))) for subnet, address in sorted(where)]
    found = [row for result in (database.transact(queries, deadline) if queries else ()) for row in result]
    leases = [lease for lease in _each(read_lease, found, broken) if lease.host == host]
    ours = lease_index is not None and host in (lease_index.host, lease_index.moving_to)
    there = Inventory(
        ports={(port.domain, port.mac): port for port in ports if host in (port.host, port.moving_to)},
        lease_indexes={domain: lease_index} if lease_index and ours else {},
        leases={(lease.subnet, lease.address): lease for lease in leases},
        broken=tuple(broken),
    )
    known = look_up(database, (), (), (), required_claims(host, there), (), deadline)
    known.ports.update({(port.domain, port.mac): port for port in ports if (port.domain, port.mac) not in there.ports})
    known.lease_indexes.update({domain: lease_index} if lease_index and not ours else {})
    return there, known


def read_dns_records(database: Database, host: str, subnet: str, deadline: Deadline) -> tuple[Inventory, RelatedRows]:
    """Read a host's leases in a subnet, and the subnet's DNS records."""
    match = includes("external_ids", owned.kind("lease", host=host, subnet=subnet))
    (found,) = database.transact([select(tables.DNS, match)], deadline)
    broken: list[OvnhookError] = []
    leases = {(lease.subnet, lease.address): lease for lease in _each(read_lease, found, broken)}
    return Inventory(leases=leases, broken=tuple(broken)), look_up(database, [subnet], (), (), (), (), deadline)


def look_up(
    database: Database,
    subnets: Iterable[str],
    domains: Iterable[UUID],
    interfaces: Iterable[tuple[UUID, str]],
    claims: Iterable[Claim],
    measured: Iterable[str],
    deadline: Deadline,
) -> RelatedRows:
    """Read related rows by key, without table scans.

    Args:
        database: the northbound database.
        subnets: subnets whose DNS records are requested.
        domains: domains whose lease index is requested, on any host.
        interfaces: domain and MAC of requested ports, on any host.
        claims: expected MAC reservations, whose present owners are requested.
        measured: subnets whose MTU is requested.
        deadline: deadline of the transactions.
    """
    holders, pairs, expected, sized = list(domains), list(interfaces), list(claims), list(measured)
    queries = [select(tables.DNS, key(uuids.domain(domain))) for domain in holders]
    queries += [select(tables.PORT, key(uuids.port(domain, mac))) for domain, mac in pairs]
    queries += [select(tables.DNS, key(claim.uuid)) for claim in expected]
    queries += [select(tables.SWITCH, key(uuids.switch(name)), columns=SUBNET.selected) for name in sized]
    found = iter(database.transact(queries, deadline) if queries else ())
    known = RelatedRows()
    broken: list[OvnhookError] = []
    lease_indexes = [lease_index for _ in holders for lease_index in _each(read_lease_index, next(found), broken)]
    known.lease_indexes.update({lease_index.domain: lease_index for lease_index in lease_indexes})
    ports = [port for _ in pairs for port in _each(read_port, next(found), broken)]
    known.ports.update({(port.domain, port.mac): port for port in ports})
    claimed = [claim for _ in expected for claim in _each(read_claim, next(found), broken)]
    known.claims.update({(claim.subnet, claim.mac): claim for claim in claimed})
    there = [subnet for _ in sized for subnet in _each(SUBNET.read, next(found), broken)]
    known.mtus.update({subnet.name: subnet.mtu for subnet in there})
    others = [claim for claim in claimed if claim not in expected]
    queries = [select(tables.PORT, key(uuids.port(claim.domain, claim.mac))) for claim in others]
    found = iter(database.transact(queries, deadline) if queries else ())
    for claim in others:
        for port in _each(read_port, next(found), broken):
            if port.subnet == claim.subnet:
                known.conflicting_ports[port.subnet, port.mac] = port
    for name in subnets:
        _look_up_names(database, name, known, broken, deadline)
    for error in broken:
        _log.warning("skipped: %s", error)
    return known


def _look_up_names(
    database: Database, name: str, known: RelatedRows, broken: list[OvnhookError], deadline: Deadline
) -> None:
    """Read a subnet's DNS records, and which of their addresses are leased. One subnet at a time limits memory."""
    switches, found = database.transact(
        [
            select(tables.SWITCH, key(uuids.switch(name)), columns=SUBNET.selected),
            select(tables.DNS, key(uuids.dns_records(name)), columns=["_version", "records"]),
        ],
        deadline,
    )
    for subnet in _each(SUBNET.read, switches if found else [], broken):
        records = map_of(found[0]["records"])
        places = sorted({place for record, value in records.items() for place in dns.addresses_of(record, value)})
        leased: set[str] = set()
        for start in range(0, len(places), _BATCH):
            some = places[start : start + _BATCH]
            queries = [select(tables.DNS, key(uuids.lease(name, place)), columns=["_uuid"]) for place in some]
            results = database.transact(queries, deadline)
            leased |= {place for place, there in zip(some, results, strict=True) if there}
        known.dns_domains[name] = subnet.dns_domain
        known.names[name] = records
        known.versions[name] = found[0]["_version"][1]
        known.leased[name] = frozenset(leased)


def _each(read: Callable[[Row], T], found: Iterable[Row], broken: list[OvnhookError]) -> Iterator[T]:
    """Parse rows; errors are added to `broken`."""
    for row in found:
        try:
            yield read(row)
        except BrokenRow as error:
            broken.append(error)
