"""Rows of a monitor with conditions (ovsdb-server(7), sections 4.1.12 and 4.1.14), completed and updated. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovnhook.ovsdb.operation import Condition, Row, as_map, as_set, map_of, set_of

_ATOMS: Mapping[str, Any] = {
    "string": "",
    "boolean": False,
    "integer": 0,
    "real": 0.0,
    "uuid": ["uuid", "00000000-0000-0000-0000-000000000000"],
}
"""Default values by type (RFC 7047, section 5.2.1)."""


@dataclass(frozen=True)
class Selection:
    """Columns to monitor, of the rows that match any of some conditions; of all rows without conditions."""

    columns: tuple[str, ...]
    where: tuple[Condition, ...] = ()

    @property
    def request(self) -> list[dict[str, Any]]:
        """Request for a table."""
        return [{"columns": list(self.columns), "where": list(self.where)}]


@dataclass(frozen=True)
class Column:
    """A column, as far as updates of its values depend on it.

    Attributes:
        default: default value, which is left out of new rows.
        is_map: a map, with strings as keys.
        has_differences: changes are sent as a difference, and not as the new value.
    """

    default: Any
    is_map: bool = False
    has_differences: bool = False

    @classmethod
    def of(cls, type: Any) -> Column:
        """Column of a type in a schema (RFC 7047, section 3.2)."""
        if isinstance(type, str):
            return cls(_ATOMS[type])
        many = type.get("max", 1) != 1
        if "value" in type:
            return cls(as_map({}), is_map=True, has_differences=many)
        if type.get("min", 1) == 0:
            return cls(as_set(()), has_differences=many)
        key = type["key"]
        return cls(_ATOMS[key if isinstance(key, str) else key["type"]], has_differences=many)

    def updated(self, old: Any, change: Any) -> Any:
        """Value after a change."""
        if not self.has_differences:
            return change
        if self.is_map:
            values = map_of(old)
            for key, value in change[1]:
                if values.get(key) == value:
                    del values[key]
                else:
                    values[key] = value
            return as_map(dict(sorted(values.items())))
        before, changed = set_of(old), set_of(change)
        return _set([*(one for one in before if one not in changed), *(one for one in changed if one not in before)])


class Columns:
    """Columns of a monitored table.

    Args:
        schema: the table's columns in the schema of its database.
        names: names of the monitored ones.
    """

    def __init__(self, schema: Mapping[str, Any], names: Sequence[str]) -> None:
        self._columns = {name: Column.of(schema[name]["type"]) for name in names}
        self._defaults = {name: column.default for name, column in self._columns.items()}

    def complete(self, row: Row) -> Row:
        """A new row, with all columns."""
        return {**self._defaults, **row}

    def updated(self, row: Row, changes: Row) -> Row:
        """A row after changes of some columns."""
        return {**row, **{name: self._columns[name].updated(row[name], change) for name, change in changes.items()}}


def _set(values: list[Any]) -> Any:
    """Value of a set column, as the server sends it."""
    return values[0] if len(values) == 1 else as_set(sorted(values))
