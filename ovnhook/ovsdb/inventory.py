"""All that the northbound database has of one host: read as a whole, to be compared with what the host says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar
from uuid import UUID

from ovnhook import identity
from ovnhook.deadline import Deadline
from ovnhook.differences import Inventory, Known
from ovnhook.errors import OvnhookError
from ovnhook.ovsdb import rows
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Operation, Row, includes, key, map_of, select

_log = logging.getLogger(__name__)

T = TypeVar("T")


def read(database: Database, host: str, deadline: Deadline) -> Inventory:
    """Everything that says that it is a host's, in one transaction.

    Args:
        database: the northbound one.
        host: its chassis.
        deadline: when to give up.
    """
    ports, coming, holdings, arriving, leases = database.transact(
        [
            select(rows.PORT, includes("external_ids", rows.kind("port", host=host))),
            select(rows.PORT, includes("external_ids", rows.kind("port", moving_to=host))),
            select(rows.DNS, includes("external_ids", rows.kind("domain", host=host))),
            select(rows.DNS, includes("external_ids", rows.kind("domain", moving_to=host))),
            select(rows.DNS, includes("external_ids", rows.kind("lease", host=host))),
        ],
        deadline,
    )
    broken: list[OvnhookError] = []
    return Inventory(
        ports={(port.domain, port.mac): port for port in _each(rows.port, (*ports, *coming), broken)},
        holdings={holding.domain: holding for holding in _each(rows.holding, (*holdings, *arriving), broken)},
        leases={(lease.subnet, lease.address): lease for lease in _each(rows.lease, leases, broken)},
        broken=tuple(broken),
    )


def look_up(
    database: Database,
    subnets: Iterable[str],
    domains: Iterable[UUID],
    interfaces: Iterable[tuple[UUID, str]],
    deadline: Deadline,
) -> Known:
    """What has to be known beside that, in one transaction too, or none.

    Args:
        database: the northbound one.
        subnets: whose names are wanted.
        domains: of which it is wanted what they hold, on whichever host.
        interfaces: domain and MAC of those whose port is wanted, on whichever host.
        deadline: when to give up.
    """
    names, holders, pairs = list(subnets), list(domains), list(interfaces)
    wanted: list[Operation] = []
    for name in names:
        wanted += [
            select(rows.SWITCH, key(identity.switch(name)), columns=rows.SUBNET_COLUMNS),
            select(rows.DNS, key(identity.names(name)), columns=["records"]),
            select(rows.DNS, includes("external_ids", rows.kind("lease", subnet=name)), columns=["_uuid"]),
        ]
    wanted += [select(rows.DNS, key(identity.domain(domain))) for domain in holders]
    wanted += [select(rows.PORT, key(identity.port(domain, mac))) for domain, mac in pairs]
    found = iter(database.transact(wanted, deadline) if wanted else ())
    known = Known()
    broken: list[OvnhookError] = []
    for name in names:
        switches, records, leased = next(found), next(found), next(found)
        for subnet in _each(partial(rows.subnet, default=""), switches if records else [], broken):
            known.domains[name] = subnet.domain
            known.names[name] = map_of(records[0]["records"])
            known.leased[name] = frozenset(UUID(row["_uuid"][1]) for row in leased)
    holdings = [holding for _ in holders for holding in _each(rows.holding, next(found), broken)]
    known.holdings.update({holding.domain: holding for holding in holdings})
    ports = [port for _ in pairs for port in _each(rows.port, next(found), broken)]
    known.ports.update({(port.domain, port.mac): port for port in ports})
    for error in broken:
        _log.warning("passed over: %s", error)
    return known


def _each(read: Callable[[Row], T], found: Iterable[Row], broken: list[OvnhookError]) -> Iterator[T]:
    """What rows are; why they can't be read is added to `broken`."""
    for row in found:
        try:
            yield read(row)
        except rows.BrokenRow as error:
            broken.append(error)
