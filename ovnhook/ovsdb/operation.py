"""OVSDB operations as values (RFC 7047, section 5.2), to be put together into one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

Operation = dict[str, Any]
Row = dict[str, Any]
Condition = list[Any]


def ref(uuid: UUID) -> list[str]:
    """A reference to a row."""
    return ["uuid", str(uuid)]


def as_map(values: Mapping[str, str]) -> list[Any]:
    """A map column's value."""
    return ["map", [[key, value] for key, value in values.items()]]


def as_set(values: Iterable[Any]) -> list[Any]:
    """A set column's value."""
    return ["set", list(values)]


def key(uuid: UUID) -> Condition:
    """The condition that is true of one row: a look-up by primary key."""
    return ["_uuid", "==", ref(uuid)]


def includes(column: str, values: Mapping[str, str]) -> Condition:
    """The condition that a map column holds these pairs. The server looks at every row."""
    return [column, "includes", as_map(values)]


def insert(table: str, uuid: UUID, row: Row) -> Operation:
    """Make a row with a chosen UUID (an extension of ovsdb-server: ovsdb-server(7), "insert")."""
    return {"op": "insert", "table": table, "uuid": str(uuid), "row": row}


def insert_named(table: str, name: str, row: Row) -> Operation:
    """Make a row with a UUID of the server's, which others of the transaction call ``["named-uuid", name]``."""
    return {"op": "insert", "table": table, "uuid-name": name, "row": row}


def update(table: str, where: Condition, row: Row) -> Operation:
    """Set columns."""
    return {"op": "update", "table": table, "where": [where], "row": row}


def delete(table: str, *where: Condition) -> Operation:
    """Delete the rows of which every condition is true."""
    return {"op": "delete", "table": table, "where": list(where)}


def select(table: str, *where: Condition, columns: Sequence[str] = ()) -> Operation:
    """Read the rows of which every condition is true."""
    operation: Operation = {"op": "select", "table": table, "where": list(where)}
    return {**operation, "columns": list(columns)} if columns else operation


def require(table: str, where: Sequence[Condition], rows: Sequence[Row], columns: Sequence[str]) -> Operation:
    """Abort the transaction unless just these rows, in these columns, are what the conditions select."""
    return {
        "op": "wait",
        "table": table,
        "where": list(where),
        "columns": list(columns),
        "until": "==",
        "rows": list(rows),
        "timeout": 0,
    }


def set_keys(column: str, values: Mapping[str, str]) -> list[list[Any]]:
    """Mutations that set these keys of a map and leave the others: an insert alone keeps the old value."""
    return [[column, "delete", as_set(values)], [column, "insert", as_map(values)]]


def put_keys(column: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[list[Any]]:
    """Mutations that make what a map has of us from one thing another; what it has of others stays."""
    gone = [name for name in old if name not in new]
    put = {name: value for name, value in new.items() if old.get(name) != value}
    return [*([[column, "delete", as_set(gone)]] if gone else []), *(set_keys(column, put) if put else [])]


def mutate(table: str, where: Condition, mutations: Sequence[Any]) -> Operation:
    """Change parts of columns, leaving the rest as others wrote it."""
    return {"op": "mutate", "table": table, "where": [where], "mutations": list(mutations)}


def map_of(value: Any) -> dict[str, str]:
    """A map column as it was read."""
    return dict(value[1])


def is_map(value: Any) -> bool:
    """Whether a column's value is a map."""
    return isinstance(value, list) and len(value) == 2 and value[0] == "map"


def set_of(value: Any) -> list[Any]:
    """A set column as it was read: one value stands for itself (RFC 7047, section 5.1)."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return list(value[1])
    return [value]
