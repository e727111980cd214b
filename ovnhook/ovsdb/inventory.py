"""All that the northbound database has of one host: read as a whole, to be compared with what the host says."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from ovnhook import identity
from ovnhook.deadline import Deadline
from ovnhook.differences import Inventory, Known
from ovnhook.ovsdb import rows
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Operation, includes, key, map_of, select


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
    return Inventory(
        ports={(port.domain, port.mac): port for port in map(rows.port, (*ports, *coming))},
        holdings={holding.domain: holding for holding in map(rows.holding, (*holdings, *arriving))},
        leases={(lease.subnet, lease.address): lease for lease in map(rows.lease, leases)},
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
            select(rows.SWITCH, key(identity.switch(name))),
            select(rows.DNS, key(identity.names(name)), columns=["records"]),
            select(rows.DNS, includes("external_ids", rows.kind("lease", subnet=name)), columns=["_uuid"]),
        ]
    wanted += [select(rows.DNS, key(identity.domain(domain))) for domain in holders]
    wanted += [select(rows.PORT, key(identity.port(domain, mac))) for domain, mac in pairs]
    found = iter(database.transact(wanted, deadline) if wanted else ())
    known = Known()
    for name in names:
        switches, records, leased = next(found), next(found), next(found)
        if switches and records:
            known.domains[name] = rows.subnet(switches[0], "").domain
            known.names[name] = map_of(records[0]["records"])
            known.leased[name] = frozenset(UUID(row["_uuid"][1]) for row in leased)
    holdings = [rows.holding(row) for _ in holders for row in next(found)]
    known.holdings.update({holding.domain: holding for holding in holdings})
    ports = [rows.port(row) for _ in pairs for row in next(found)]
    known.ports.update({(port.domain, port.mac): port for port in ports})
    return known
