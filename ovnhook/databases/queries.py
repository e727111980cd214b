"""Queries by key for the state of a domain, as values that are combined into one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, Row, key, select
from ovnhook.resources import tables
from ovnhook.resources.lease.rows import read_lease, read_lease_index
from ovnhook.resources.port.rows import read_claim, read_port
from ovnhook.resources.port.values import Claim
from ovnhook.resources.registry import read_registry
from ovnhook.resources.security_group.kind import SECURITY_GROUP
from ovnhook.resources.security_group.values import group_uuid
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS
from ovnhook.resources.virtual_address.rows import read_virtual_address, read_virtual_port
from ovnhook.resources.virtual_address.values import virtual_port_uuid

Rows = Sequence[list[Row]]


@dataclass(frozen=True)
class Query:
    """A query of some rows.

    Attributes:
        operations: the selects.
        add: adds their results to an earlier observation.
    """

    operations: Sequence[Operation]
    add: Callable[[Observed, Rows], Observed]


def registry() -> Query:
    """The registry. Query it before subnets, or with them: it has the default subnet."""

    def add(observed: Observed, found: Rows) -> Observed:
        return replace(observed, registry=next(map(read_registry, _all(found)), None))

    return Query([select(tables.DNS, key(uuids.REGISTRY))], add)


def lease_index(domain: UUID) -> Query:
    """The leases that a domain holds."""

    def add(observed: Observed, found: Rows) -> Observed:
        return replace(observed, lease_index=next(map(read_lease_index, _all(found)), None))

    return Query([select(tables.DNS, key(uuids.domain(domain)))], add)


def ports(domain: UUID, macs: Iterable[str]) -> Query:
    """The ports of some interfaces of a domain."""

    def add(observed: Observed, found: Rows) -> Observed:
        there = {port.mac: port for port in map(read_port, _all(found))}
        return observed.having(ports={**observed.ports, **there})

    return Query([select(tables.PORT, key(uuids.port(domain, mac))) for mac in macs], add)


def subnets(names: Iterable[str]) -> Query:
    """Some subnets by name."""

    def add(observed: Observed, found: Rows) -> Observed:
        default = observed.registry.default_subnet if observed.registry else ""
        there = {one.name: replace(one, default=one.name == default) for one in map(SUBNET.read, _all(found))}
        return observed.having(subnets={**observed.subnets, **there})

    return Query([select(tables.SWITCH, key(uuids.switch(name)), columns=SUBNET.selected) for name in names], add)


def missing_switches(names: Iterable[str]) -> Query:
    """Subnets whose switch is missing: their DNS row has a copy of the settings (ovnhook.databases.integrity).

    Query it after the subnets, or with them.
    """
    queried = tuple(names)

    def add(observed: Observed, found: Rows) -> Observed:
        copies = zip(queried, found, strict=True)
        copied = {name for name, rows in copies if any("cidr" in owned.own(row) for row in rows)}
        return observed.having(missing_switches=observed.missing_switches | (copied - observed.subnets.keys()))

    return Query([select(tables.DNS, key(uuids.dns_records(name)), columns=["external_ids"]) for name in queried], add)


def security_groups(names: Iterable[str]) -> Query:
    """Those of some security groups that exist."""

    def add(observed: Observed, found: Rows) -> Observed:
        there = {SECURITY_GROUP.read(row).name for row in _all(found)}
        return replace(observed, security_groups=observed.security_groups | there)

    selects = [select(tables.PORT_GROUP, key(group_uuid(name)), columns=SECURITY_GROUP.selected) for name in names]
    return Query(selects, add)


def leases(places: Iterable[tuple[str, IPAddress]]) -> Query:
    """The leases of some addresses, by subnet and address; and virtual addresses, whose rows have the same UUIDs."""

    def add(observed: Observed, found: Rows) -> Observed:
        rows: dict[bool, list[Row]] = {False: [], True: []}
        for row in _all(found):
            rows[owned.own(row).get("kind") == VIRTUAL_ADDRESS.name].append(row)
        there = {(lease.subnet, lease.address): lease for lease in map(read_lease, rows[False])}
        virtual = {(one.subnet, one.address): one for one in map(read_virtual_address, rows[True])}
        observed = observed.having(leases={**observed.leases, **there})
        return replace(observed, virtual_addresses={**observed.virtual_addresses, **virtual})

    return Query([select(tables.DNS, key(uuids.lease(name, str(address)))) for name, address in places], add)


def virtual_addresses(places: Iterable[tuple[str, IPAddress]]) -> tuple[Query, Query]:
    """Some virtual addresses with their ports, by subnet and address."""
    queried = tuple(places)

    def add(observed: Observed, found: Rows) -> Observed:
        there = {(port.subnet, port.address): port for port in map(read_virtual_port, _all(found))}
        return replace(observed, virtual_ports={**observed.virtual_ports, **there})

    return leases(queried), Query([select(tables.PORT, key(virtual_port_uuid(*place))) for place in queried], add)


def claims(places: Iterable[tuple[str, str]]) -> Query:
    """Reservations of some MAC addresses, by subnet and MAC address."""

    def add(observed: Observed, found: Rows) -> Observed:
        there = {(claim.subnet, claim.mac): claim for claim in map(read_claim, _all(found))}
        return observed.having(claims={**observed.claims, **there})

    return Query([select(tables.DNS, key(uuids.claim(name, mac))) for name, mac in places], add)


def conflicting_ports(theirs: Iterable[Claim]) -> Query:
    """The ports that have some MAC reservations. A reservation without a port in its subnet is void."""
    queried = tuple(theirs)

    def add(observed: Observed, found: Rows) -> Observed:
        there = {(port.subnet, port.mac): port for port in map(read_port, _all(found))}
        claimed = {(claim.subnet, claim.mac) for claim in queried}
        return observed.having(conflicting_ports={place: port for place, port in there.items() if place in claimed})

    return Query([select(tables.PORT, key(uuids.port(claim.domain, claim.mac))) for claim in queried], add)


def _all(found: Rows) -> Iterable[Row]:
    return (row for rows in found for row in rows)
