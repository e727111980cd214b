"""Database snapshots, and the transaction that restores one. Pure.

A snapshot is a file of ``ovsdb-client backup`` (ovsdb(5), "Standalone Format"). ``ovsdb-client restore`` assigns new
UUIDs, but ours are derived (ovnhook.base.uuids). Instead one transaction inserts missing rows, updates changed ones and
deletes newer ones. That keeps UUIDs, and works with clusters and while clients are connected.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ovnhook.base.errors import InvalidRequest
from ovnhook.ovsdb.operation import Operation, Row, delete, insert, key, map_of, ref, require, update
from ovnhook.ovsdb.owned import KIND

NORTHBOUND = "OVN_Northbound"

_HEADER = re.compile(rb"OVSDB JSON (\d+) ([0-9a-f]{40})\n")
_GLOBAL = "NB_Global"  # has one row, whose UUID differs in each database
_TRUST = "trust"  # kind of the row that is never restored: a revocation is final
_HOST_TABLES = {"Connection", "SSL"}  # configuration of the server, set up per host
_NOT_RESTORED = {
    _GLOBAL: {
        *("connections", "ssl"),
        *("nb_cfg", "nb_cfg_timestamp", "sb_cfg", "sb_cfg_timestamp", "hv_cfg", "hv_cfg_timestamp"),
    },
    "Logical_Switch_Port": {"up"},
    "Logical_Router_Port": {"status"},
}
"""Columns with status or host configuration instead of a desired state."""

Rows = Mapping[str, Mapping[str, Row]]
"""Rows by table and UUID."""


@dataclass(frozen=True)
class Snapshot:
    """Schema and rows of a database.

    Attributes:
        name: name of the database.
        version: version of its schema.
        tables: schema of each table.
        rows: rows of all tables.
    """

    name: str
    version: str
    tables: Mapping[str, Mapping[str, Any]]
    rows: Rows

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))


@dataclass(frozen=True)
class DatabaseDifference:
    """Difference between a database and a snapshot.

    Attributes:
        missing: rows to insert.
        changed: columns to update.
        newer: rows to delete.
    """

    missing: Rows
    changed: Rows
    newer: Rows

    def __bool__(self) -> bool:
        return any((self.missing, self.changed, self.newer))

    def __str__(self) -> str:
        counts = (sum(map(len, rows.values())) for rows in (self.missing, self.changed, self.newer))
        return "{} rows missing, {} changed, {} newer than the snapshot".format(*counts)


def parse(data: bytes) -> Snapshot:
    """Parse the content of a snapshot file.

    Raises:
        InvalidRequest: not a snapshot, or a damaged one.
    """
    records = list(_records(data))
    if len(records) != 2:  # the schema and all rows
        raise InvalidRequest(f"not a database snapshot: expected 2 records, found {len(records)}")
    schema, rows = records
    try:
        tables = schema["tables"]
        return Snapshot(schema["name"], schema["version"], tables, {table: rows.get(table, {}) for table in tables})
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"not a database snapshot: {error!r}") from error


def check_fits(then: Snapshot, now: Snapshot) -> None:
    """Refuse a snapshot that the database cannot store completely.

    Args:
        then: the snapshot.
        now: the present state.

    Raises:
        InvalidRequest: a snapshot of another database, or of a newer schema.
    """
    if then.name != now.name:
        raise InvalidRequest(f"expected a snapshot of {now.name}, found one of {then.name}")
    for table, schema in then.tables.items():
        unknown = schema["columns"].keys() - now.tables.get(table, {"columns": {}})["columns"].keys()
        if unknown:
            raise InvalidRequest(
                f"snapshot with schema version {then.version} of {then.name}: version {now.version} here has no"
                f" {table}.{min(unknown)}",
                "restore it with the same or a newer version of OVN",
            )


def difference(then: Snapshot, now: Snapshot) -> DatabaseDifference:
    """Difference to restore. Foreign rows are restored if missing, and otherwise left alone.

    Args:
        then: the snapshot, which has passed check_fits.
        now: the present state.
    """
    missing: dict[str, dict[str, Row]] = {}
    changed: dict[str, dict[str, Row]] = {}
    for table, uuid, row in (*_restored(then, now), *_global(then, now)):
        desired = {name: value for name, value in row.items() if name not in _NOT_RESTORED.get(table, ())}
        if uuid not in now.rows[table]:
            missing.setdefault(table, {})[uuid] = desired
            continue
        present = now.rows[table][uuid]
        if columns := {name: value for name, value in desired.items() if present[name] != value}:
            changed.setdefault(table, {})[uuid] = columns
    newer = {
        table: found
        for table in _roots(now)
        if (found := {
            uuid: row
            for uuid, row in now.rows[table].items()
            if uuid not in then.rows.get(table, {}) and _kind(row) not in ("", _TRUST)
        })
    }  # fmt: skip
    return DatabaseDifference(missing, changed, newer)


def operations(change: DatabaseDifference, now: Snapshot) -> list[Operation]:
    """Transaction that applies a difference. It fails if rows were added or deleted since `now`."""
    return [
        *(
            require(table, [], [{"_uuid": ref(UUID(one))} for one in rows], ["_uuid"])
            for table, rows in now.rows.items()
        ),
        *(delete(table, key(UUID(uuid))) for table, rows in change.newer.items() for uuid in rows),
        *(insert(table, UUID(uuid), row) for table, rows in change.missing.items() for uuid, row in rows.items()),
        *(update(table, key(UUID(uuid)), row) for table, rows in change.changed.items() for uuid, row in rows.items()),
    ]


def _records(data: bytes) -> Iterator[Any]:
    place = 0
    while place < len(data):
        header = _HEADER.match(data, place)
        if not header:
            raise InvalidRequest("not a database snapshot, or a damaged one")
        place = header.end() + int(header[1])
        record = data[header.end() : place]
        if hashlib.sha1(record, usedforsecurity=False).hexdigest().encode() != header[2]:
            raise InvalidRequest("damaged or truncated database snapshot")
        yield json.loads(record)


def _restored(then: Snapshot, now: Snapshot) -> Iterator[tuple[str, str, Row]]:
    """Rows of the snapshot to restore: ours and missing ones, with their parts."""
    tables = {uuid: table for table, rows in then.rows.items() for uuid in rows}
    roots = {table for table in _roots(then) if table != _GLOBAL}
    todo = []
    for table in roots:
        for uuid, row in then.rows[table].items():
            present = now.rows[table].get(uuid)
            if present is None or (_kind(present) != _TRUST and (_kind(row) or _kind(present))):
                todo.append(uuid)
    seen = set(todo)
    while todo:
        uuid = todo.pop()
        row = then.rows[tables[uuid]][uuid]
        yield tables[uuid], uuid, row
        for part in _references(list(row.values())):
            if part not in seen and part in tables and not then.tables[tables[part]].get("isRoot"):
                seen.add(part)
                todo.append(part)


def _global(then: Snapshot, now: Snapshot) -> Iterator[tuple[str, str, Row]]:
    """Row of NB_Global, with its present UUID."""
    for uuid, row in then.rows.get(_GLOBAL, {}).items():
        yield _GLOBAL, next(iter(now.rows[_GLOBAL]), uuid), row


def _roots(snapshot: Snapshot) -> Iterator[str]:
    """Root tables; rows of others are garbage-collected when unreferenced (RFC 7047, 3.2)."""
    return (table for table, schema in snapshot.tables.items() if schema.get("isRoot") and table not in _HOST_TABLES)


def _kind(row: Row) -> str:
    """Kind of a row of ours, or "" for a foreign row."""
    return map_of(row.get("external_ids", ["map", []])).get(KIND, "")


def _references(value: Any) -> Iterator[str]:
    """UUIDs in a value."""
    if isinstance(value, list):
        if len(value) == 2 and value[0] == "uuid":
            yield value[1]
        else:
            for one in value:
                yield from _references(one)
