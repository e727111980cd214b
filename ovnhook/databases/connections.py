"""Tables Connection and SSL of OVN's databases (ovn-nb(5), ovn-sb(5))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Operation, as_set, insert_named, ref, select
from ovnhook.pki.remotes import Connection, Keys, Row

_CONNECTION, _SSL = "Connection", "SSL"
_GLOBAL = {"OVN_Northbound": "NB_Global", "OVN_Southbound": "SB_Global"}
_HAS_ROLES = "OVN_Southbound"


def read(database: Database, deadline: Deadline) -> dict[UUID, Row]:
    """Read all rows, by UUID."""
    columns = ["_uuid", "target", *(["role"] if database.name == _HAS_ROLES else [])]
    connections, keys = database.transact([select(_CONNECTION, columns=columns), select(_SSL)], deadline)
    found: dict[UUID, Row] = {_uuid(row): Connection(row["target"], row.get("role", "")) for row in connections}
    for row in keys:
        paths = (row["private_key"], row["certificate"], row["ca_cert"])
        found[_uuid(row)] = Keys(*paths, row["bootstrap_ca_cert"])
    return found


def change(database: Database, old: Mapping[UUID, Row], new: Sequence[Row], deadline: Deadline) -> None:
    """Delete and insert rows in one transaction. A retry is safe."""
    table = _GLOBAL[database.name]
    dropped = [ref(uuid) for uuid, row in old.items() if isinstance(row, Connection)]
    operations: list[Operation] = [_mutate(table, "connections", "delete", dropped)] if dropped else []
    if any(isinstance(row, Keys) for row in old.values()):
        operations.append({"op": "update", "table": table, "where": [], "row": {"ssl": as_set([])}})
    for number, row in enumerate(new):
        name = f"new{number}"
        if isinstance(row, Connection):
            role = {"role": row.role} if row.role else {}
            operations.append(insert_named(_CONNECTION, name, {"target": row.target, **role}))
            operations.append(_mutate(table, "connections", "insert", [["named-uuid", name]]))
        else:
            paths = {"private_key": row.private_key, "certificate": row.certificate, "ca_cert": row.ca}
            operations.append(insert_named(_SSL, name, {**paths, "bootstrap_ca_cert": row.bootstrap}))
            operations.append({"op": "update", "table": table, "where": [], "row": {"ssl": ["named-uuid", name]}})
    database.transact(operations, deadline)


def _mutate(table: str, column: str, verb: str, values: Sequence[Any]) -> Operation:
    return {"op": "mutate", "table": table, "where": [], "mutations": [[column, verb, as_set(values)]]}


def _uuid(row: Mapping[str, Any]) -> UUID:
    return UUID(row["_uuid"][1])
