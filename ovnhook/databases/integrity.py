"""Check and repair of ovnhook's rows.

The row of a subnet or router has its settings, of which all other rows are a function
(ovnhook.resources.router.topology). A second row has a copy of the settings: the DNS row of a subnet, the HA group of a
router. So any row that was deleted or changed by hand can be recreated. One transaction reads all rows, and one repairs
them; it fails if subnets or routers have changed since, so that concurrent operations are not taken for defects.
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
from ovnhook.resources.security_group.kind import ARRIVALS, SECURITY_GROUP
from ovnhook.resources.security_group.rows import RESOLVERS_UUID

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

_IN_PART = (tables.SWITCH, tables.PORT_GROUP)
_WHOLE = tuple(
    dict.fromkeys((*_OF_NETWORKS, tables.ACL, *(kind.table for kind in SHARED if kind.table not in _IN_PART)))
)
"""Tables that are read as a whole. Those below also have rows of domains, and are read in part."""

_OF_PORTS = ("router-peer", "external", "resolver")

_PARTS: tuple[Operation, ...] = (
    select(tables.SWITCH, columns=["_uuid", "name", "dns_records", "qos_rules", "external_ids"]),
    *(select(tables.PORT, includes("external_ids", owned.kind(kind))) for kind in _OF_PORTS),
    select(tables.QOS, includes("external_ids", owned.kind("external-limit"))),
    select(tables.DNS, includes("external_ids", owned.kind("names")), columns=["_uuid", "external_ids"]),
    select(tables.PORT_GROUP, key(RESOLVERS_UUID)),
    *(
        select(
            tables.PORT_GROUP,
            includes("external_ids", owned.kind(kind.name)),
            columns=["_uuid", "name", "acls", "external_ids"],
        )
        for kind in (SECURITY_GROUP, ARRIVALS)
    ),
    select(tables.DNS, key(uuids.REGISTRY), columns=["_uuid", "external_ids", "records"]),
)


def read(database: Northbound, previous: Integrity, deadline: Deadline) -> Integrity:
    """Check all rows.

    Args:
        database: the northbound database.
        previous: result of the previous check: it has resources that the database has no copy of, as long as the
            registry's serial number is the same.
        deadline: of the reads.
    """
    names = [operation["table"] for operation in _PARTS] + [*_WHOLE]
    found = database.database.transact([*_PARTS, *map(select, _WHOLE)], deadline)
    rows: dict[str, dict[UUID, Row]] = {table: {} for table in names}
    for table, some in zip(names, found, strict=True):
        rows[table].update({UUID(row["_uuid"][1]): row for row in some})
    return Comparison(database, rows, previous, deadline).result()


def repair(database: Northbound, found: Integrity, deadline: Deadline) -> None:
    """Repair all repairable defects in one transaction.

    Raises:
        Conflict: rows have changed since the check. Nothing was written.
    """
    operations = [operation for one in found.repairable for operation in one.operations]
    # Order: rows are inserted before references to them, and deleted after.
    ranks = {"insert": 1, "update": 2, "mutate": 3, "delete": 4}
    operations.sort(key=lambda one: ranks.get(one["op"], 0))
    database.database.transact([*found.guard, *operations], deadline)
