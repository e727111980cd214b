"""OVSDB operations as values (RFC 7047, section 5.2), to be combined into transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

Operation = dict[str, Any]
Row = dict[str, Any]
Condition = list[Any]


def ref(uuid: UUID) -> list[str]:
    """Reference to a row."""
    return ["uuid", str(uuid)]


def as_map(values: Mapping[str, str] | Mapping[str, int]) -> list[Any]:
    """Value of a map column."""
    return ["map", [[key, value] for key, value in values.items()]]


def as_set(values: Iterable[Any]) -> list[Any]:
    """Value of a set column."""
    return ["set", list(values)]


def key(uuid: UUID) -> Condition:
    """Condition that selects a row by primary key."""
    return ["_uuid", "==", ref(uuid)]


def includes(column: str, values: Mapping[str, str]) -> Condition:
    """Condition that a map column contains these pairs: a full table scan."""
    return [column, "includes", as_map(values)]


def insert(table: str, uuid: UUID, row: Row) -> Operation:
    """Insert a row with a chosen UUID (an extension: ovsdb-server(7), "insert")."""
    return {"op": "insert", "table": table, "uuid": str(uuid), "row": row}


def insert_named(table: str, name: str, row: Row) -> Operation:
    """Insert a row with a UUID that the server chooses; the transaction refers to it as ``["named-uuid", name]``."""
    return {"op": "insert", "table": table, "uuid-name": name, "row": row}


def update(table: str, where: Condition, row: Row) -> Operation:
    """Set columns of a row."""
    return {"op": "update", "table": table, "where": [where], "row": row}


def delete(table: str, *where: Condition) -> Operation:
    """Delete the rows that match all conditions."""
    return {"op": "delete", "table": table, "where": list(where)}


def select(table: str, *where: Condition, columns: Sequence[str] = ()) -> Operation:
    """Read the rows that match all conditions."""
    operation: Operation = {"op": "select", "table": table, "where": list(where)}
    return {**operation, "columns": list(columns)} if columns else operation


def require(table: str, where: Sequence[Condition], rows: Sequence[Row], columns: Sequence[str]) -> Operation:
    """Guard: abort the transaction unless the conditions select exactly these rows, compared in these columns."""
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
    """Mutations that set keys of a map and keep the others; an insert alone would keep an old value."""
    return [[column, "delete", as_set(values)], [column, "insert", as_map(values)]]


def put_keys(column: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[list[Any]]:
    """Mutations that update our keys of a map from `old` to `new` and keep other keys."""
    removed = [name for name in old if name not in new]
    put = {name: value for name, value in new.items() if old.get(name) != value}
    return [*([[column, "delete", as_set(removed)]] if removed else []), *(set_keys(column, put) if put else [])]


def mutate(table: str, where: Condition, mutations: Sequence[Any]) -> Operation:
    """Change parts of columns of a row, without overwriting the rest."""
    return {"op": "mutate", "table": table, "where": [where], "mutations": list(mutations)}


def map_of(value: Any) -> dict[str, str]:
    """Parse a map column."""
    return dict(value[1])


def is_map(value: Any) -> bool:
    """Test for the value of a map column."""
    return isinstance(value, list) and len(value) == 2 and value[0] == "map"


def set_of(value: Any) -> list[Any]:
    """Parse a set column: a single value stands for itself (RFC 7047, section 5.1)."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return list(value[1])
    return [value]
