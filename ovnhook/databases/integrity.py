"""Our own rows compared with what they are to be, and what repairs them.

What a subnet or a router is, its row says; all other rows are a function of that (ovnhook.resources.router.topology). A
second row keeps a copy of it: the names row of a subnet, the HA group of a router. So a row that somebody has deleted
or changed is made anew. All is read in one transaction and repaired in one, which fails if subnets or routers have
changed since: no operation that is under way looks like a difference.
"""

from __future__ import annotations

from uuid import UUID

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.databases.comparison import Comparison
from ovnhook.databases.defects import Integrity
from ovnhook.databases.northbound import Northbound
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import (
    Operation,
    Row,
    includes,
    key,
    select,
)
from ovnhook.resources import tables
from ovnhook.resources.kinds import SHARED

_OF_NETWORKS = (
    tables.DHCP_OPTIONS,
    tables.ROUTER,
    tables.ROUTER_PORT,
    tables.ROUTE,
    tables.NAT,
    tables.POLICY,
    tables.GATEWAY_GROUP,
    tables.GATEWAY,
)

_WHOLE = tuple(dict.fromkeys((*_OF_NETWORKS, *(kind.table for kind in SHARED if kind.table != tables.SWITCH))))
"""Tables that are read as a whole; of those below, which have guests' rows too, a part."""

_OF_PORTS = ("router-peer", "external")

_PARTS: tuple[Operation, ...] = (
    select(tables.SWITCH, columns=["_uuid", "name", "dns_records", "external_ids"]),
    *(select(tables.PORT, includes("external_ids", owned.kind(kind))) for kind in _OF_PORTS),
    select(tables.DNS, includes("external_ids", owned.kind("names")), columns=["_uuid", "external_ids"]),
    select(tables.DNS, key(uuids.REGISTRY), columns=["_uuid", "external_ids", "records"]),
)


def read(database: Northbound, known: Integrity, deadline: Deadline) -> Integrity:
    """Read our rows, and compare.

    Args:
        database: where they are.
        known: an earlier reading: it tells what was lost that the database has no copy of, as long as no operation has
            been counted since.
        deadline: when to give up.
    """
    names = [operation["table"] for operation in _PARTS] + [*_WHOLE]
    found = database.database.transact([*_PARTS, *map(select, _WHOLE)], deadline)
    there: dict[str, dict[UUID, Row]] = {table: {} for table in names}
    for table, some in zip(names, found, strict=True):
        there[table].update({UUID(row["_uuid"][1]): row for row in some})
    return Comparison(database, there, known, deadline).result()


def repair(database: Northbound, found: Integrity, deadline: Deadline) -> None:
    """Repair what can be, in one transaction.

    Raises:
        Conflict: something has changed meanwhile. Nothing was written.
    """
    operations = [operation for one in found.repairable for operation in one.operations]
    # Rows are there before something refers to them, and go after nothing does any more.
    ranks = {"insert": 1, "update": 2, "mutate": 3, "delete": 4}
    operations.sort(key=lambda one: ranks.get(one["op"], 0))
    database.database.transact([*found.guard, *operations], deadline)
