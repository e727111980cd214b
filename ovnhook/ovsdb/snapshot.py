"""A database at one moment, and what makes another one the same again. Pure.

As a file it is what ``ovsdb-client backup`` writes, a database file like any other (ovsdb(5), "Standalone Format"). Its
counterpart, ``ovsdb-client restore``, is of no use here: it gives rows new UUIDs, and ours are derived from what the
rows are. One transaction that makes what is missing, changes what differs and deletes what came later keeps them,
serves a cluster as well as a single server, and asks nobody to let go of the database.
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
_GLOBAL = "NB_Global"  # has one row, which has another UUID in each database
_STAYS = "trust"  # the kind of the row of those who are let in: one who was put out since is not let in again
_OF_HOSTS = {"Connection", "SSL"}  # where the servers listen, and with which files: set by whoever sets a host up
_OF_NORTHD = {
    _GLOBAL: {
        *("connections", "ssl"),
        *("nb_cfg", "nb_cfg_timestamp", "sb_cfg", "sb_cfg_timestamp", "hv_cfg", "hv_cfg_timestamp"),
    },
    "Logical_Switch_Port": {"up"},
    "Logical_Router_Port": {"status"},
}
"""Columns that say how things are, or belong to hosts; they are not what somebody wished."""

Rows = Mapping[str, Mapping[str, Row]]
"""Rows by table and UUID."""


@dataclass(frozen=True)
class Snapshot:
    """All rows of a database.

    Attributes:
        name: of the database.
        version: of its schema.
        tables: the schema of each table.
        rows: in every table.
    """

    name: str
    version: str
    tables: Mapping[str, Mapping[str, Any]]
    rows: Rows

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))


@dataclass(frozen=True)
class DatabaseDifference:
    """What a database has to have changed.

    Attributes:
        missing: rows to be made.
        changed: columns to be set.
        later: rows to be deleted.
    """

    missing: Rows
    changed: Rows
    later: Rows

    def __bool__(self) -> bool:
        return any((self.missing, self.changed, self.later))

    def __str__(self) -> str:
        counts = (sum(map(len, rows.values())) for rows in (self.missing, self.changed, self.later))
        return "{} rows missing, {} changed, {} that came later".format(*counts)


def parse(data: bytes) -> Snapshot:
    """A snapshot from its file.

    Raises:
        InvalidRequest: it is none, or not all of it is there.
    """
    records = list(_records(data))
    if len(records) != 2:  # the schema and all rows
        raise InvalidRequest(f"a snapshot of a database has two records, and this one {len(records)}")
    schema, rows = records
    try:
        tables = schema["tables"]
        return Snapshot(schema["name"], schema["version"], tables, {table: rows.get(table, {}) for table in tables})
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"no snapshot of a database: {error!r}") from error


def check_fits(then: Snapshot, now: Snapshot) -> None:
    """Refuse a snapshot of which a database could not hold everything.

    Args:
        then: the snapshot.
        now: what is in the database.

    Raises:
        InvalidRequest: it is of another database, or of a newer schema.
    """
    if then.name != now.name:
        raise InvalidRequest(f"a snapshot of the database {then.name}, and not of {now.name}")
    for table, schema in then.tables.items():
        unknown = schema["columns"].keys() - now.tables.get(table, {"columns": {}})["columns"].keys()
        if unknown:
            raise InvalidRequest(
                f"made with version {then.version} of the schema of {then.name}: version {now.version} here has no"
                f" {table}.{min(unknown)}",
                "restore it with the OVN that it was made with, or a newer one",
            )


def difference(then: Snapshot, now: Snapshot) -> DatabaseDifference:
    """What has to change so that a database is as it was.

    Rows that are not ovnhook's are brought back where they are missing, and else left as they are.

    Args:
        then: what is to be in it again; it fits (check_fits).
        now: what is in it.
    """
    missing: dict[str, dict[str, Row]] = {}
    changed: dict[str, dict[str, Row]] = {}
    for table, uuid, row in (*_wanted(then, now), *_of_all(then, now)):
        wished = {name: value for name, value in row.items() if name not in _OF_NORTHD.get(table, ())}
        if uuid not in now.rows[table]:
            missing.setdefault(table, {})[uuid] = wished
            continue
        present = now.rows[table][uuid]
        if columns := {name: value for name, value in wished.items() if present[name] != value}:
            changed.setdefault(table, {})[uuid] = columns
    later = {
        table: found
        for table in _roots(now)
        if (found := {
            uuid: row
            for uuid, row in now.rows[table].items()
            if uuid not in then.rows.get(table, {}) and _kind(row) not in ("", _STAYS)
        })
    }  # fmt: skip
    return DatabaseDifference(missing, changed, later)


def operations(change: DatabaseDifference, now: Snapshot) -> list[Operation]:
    """The difference as one transaction, which fails if rows have come or gone since `now`."""
    return [
        *(
            require(table, [], [{"_uuid": ref(UUID(one))} for one in rows], ["_uuid"])
            for table, rows in now.rows.items()
        ),
        *(delete(table, key(UUID(uuid))) for table, rows in change.later.items() for uuid in rows),
        *(insert(table, UUID(uuid), row) for table, rows in change.missing.items() for uuid, row in rows.items()),
        *(update(table, key(UUID(uuid)), row) for table, rows in change.changed.items() for uuid, row in rows.items()),
    ]


def _records(data: bytes) -> Iterator[Any]:
    place = 0
    while place < len(data):
        header = _HEADER.match(data, place)
        if not header:
            raise InvalidRequest("no snapshot of a database, or a damaged one")
        place = header.end() + int(header[1])
        record = data[header.end() : place]
        if hashlib.sha1(record, usedforsecurity=False).hexdigest().encode() != header[2]:
            raise InvalidRequest("a damaged snapshot of a database, or one that was cut off")
        yield json.loads(record)


def _wanted(then: Snapshot, now: Snapshot) -> Iterator[tuple[str, str, Row]]:
    """The rows of then that are to be as they were: ours and lost ones, and whatever is part of those."""
    tables = {uuid: table for table, rows in then.rows.items() for uuid in rows}
    roots = {table for table in _roots(then) if table != _GLOBAL}
    todo = []
    for table in roots:
        for uuid, row in then.rows[table].items():
            present = now.rows[table].get(uuid)
            if present is None or (_kind(present) != _STAYS and (_kind(row) or _kind(present))):
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


def _of_all(then: Snapshot, now: Snapshot) -> Iterator[tuple[str, str, Row]]:
    """The row that is about the whole database, under the UUID that it has now."""
    for uuid, row in then.rows.get(_GLOBAL, {}).items():
        yield _GLOBAL, next(iter(now.rows[_GLOBAL]), uuid), row


def _roots(snapshot: Snapshot) -> Iterator[str]:
    """The tables whose rows stand for themselves; those of others go when nothing refers to them (RFC 7047, 3.2)."""
    return (table for table, schema in snapshot.tables.items() if schema.get("isRoot") and table not in _OF_HOSTS)


def _kind(row: Row) -> str:
    """What a row of ours is, or "" of somebody else's."""
    return map_of(row.get("external_ids", ["map", []])).get(KIND, "")


def _references(value: Any) -> Iterator[str]:
    """The UUIDs in a value."""
    if isinstance(value, list):
        if len(value) == 2 and value[0] == "uuid":
            yield value[1]
        else:
            for one in value:
                yield from _references(one)
