"""Reads by key of what one domain has and may need, as values: some of them together are one transaction."""

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
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet.kind import SUBNET

Rows = Sequence[list[Row]]


@dataclass(frozen=True)
class Query:
    """Some rows to read, and what was observed before with what they say.

    Attributes:
        operations: select the rows.
        add: is told what was observed before, and what each operation has selected.
    """

    operations: Sequence[Operation]
    add: Callable[[Observed, Rows], Observed]


def registry() -> Query:
    """The cloud-wide row. Subnets that are read after it, or together with it, know whether they are the default."""

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
    """Subnets that exist without a switch, of some that are read before or together with it.

    A copy says so (ovnhook.databases.integrity).
    """
    asked = tuple(names)

    def add(observed: Observed, found: Rows) -> Observed:
        copies = zip(asked, found, strict=True)
        copied = {name for name, rows in copies if any("cidr" in owned.own(row) for row in rows)}
        return observed.having(missing_switches=observed.missing_switches | (copied - observed.subnets.keys()))

    return Query([select(tables.DNS, key(uuids.dns_records(name)), columns=["external_ids"]) for name in asked], add)


def leases(places: Iterable[tuple[str, IPAddress]]) -> Query:
    """The leases of some addresses, by subnet and address."""

    def add(observed: Observed, found: Rows) -> Observed:
        there = {(lease.subnet, lease.address): lease for lease in map(read_lease, _all(found))}
        return observed.having(leases={**observed.leases, **there})

    return Query([select(tables.DNS, key(uuids.lease(name, str(address)))) for name, address in places], add)


def claims(places: Iterable[tuple[str, str]]) -> Query:
    """The claims of some MAC addresses, by subnet and MAC address."""

    def add(observed: Observed, found: Rows) -> Observed:
        there = {(claim.subnet, claim.mac): claim for claim in map(read_claim, _all(found))}
        return observed.having(claims={**observed.claims, **there})

    return Query([select(tables.DNS, key(uuids.claim(name, mac))) for name, mac in places], add)


def conflicting_ports(theirs: Iterable[Claim]) -> Query:
    """The ports that some claims are of, where they are on the claim's subnet. A claim without one is void."""
    asked = tuple(theirs)

    def add(observed: Observed, found: Rows) -> Observed:
        there = {(port.subnet, port.mac): port for port in map(read_port, _all(found))}
        claimed = {(claim.subnet, claim.mac) for claim in asked}
        return observed.having(conflicting_ports={place: port for place, port in there.items() if place in claimed})

    return Query([select(tables.PORT, key(uuids.port(claim.domain, claim.mac))) for claim in asked], add)


def _all(found: Rows) -> Iterable[Row]:
    return (row for rows in found for row in rows)
