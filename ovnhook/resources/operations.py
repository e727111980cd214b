"""OVSDB operations on ovnhook's rows: guards, and the difference between current and desired rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from ovnhook.ovsdb.operation import (
    Condition,
    Operation,
    Row,
    as_map,
    as_set,
    delete,
    includes,
    insert,
    is_map,
    key,
    map_of,
    mutate,
    put_keys,
    ref,
    require,
    update,
)


@dataclass(frozen=True)
class OwnedRow:
    """A row of ovnhook.

    Attributes:
        table: of the row.
        row: the columns that ovnhook sets.
        parent: table, UUID and column that refer to it; None for a row of a root table.
    """

    table: str
    row: Row
    parent: tuple[str, UUID, str] | None = None


def exists(table: str, uuid: UUID, *conditions: Condition) -> Operation:
    """Abort the transaction unless the row exists and meets the conditions."""
    return require(table, [key(uuid), *conditions], [{"_uuid": ref(uuid)}], ["_uuid"])


def unchanged(table: str, uuid: UUID, ids: Mapping[str, str]) -> list[Operation]:
    """Abort the transaction unless a row has these external_ids. Other keys are ignored.

    An absent key was read as its default, so it is added first. An insert into a map does not overwrite present keys
    (RFC 7047, section 5.1): a key that was set concurrently still fails the comparison.
    """
    return [
        mutate(table, key(uuid), [["external_ids", "insert", as_map(ids)]]),
        exists(table, uuid, includes("external_ids", ids)),
    ]


def rewrite(table: str, uuid: UUID, old: Row, new: Row) -> list[Operation]:
    """Operations that update a row from old to new columns. Foreign keys of maps are kept."""
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    maps = {name: value for name, value in changed.items() if is_map(value)}
    columns = {name: value for name, value in changed.items() if name not in maps}
    mutations = [
        one for name, value in maps.items() for one in put_keys(name, map_of(old.get(name, as_map({}))), map_of(value))
    ]
    return [
        *([update(table, key(uuid), columns)] if columns else []),
        *([mutate(table, key(uuid), mutations)] if mutations else []),
    ]


def difference(before: Mapping[UUID, OwnedRow], after: Mapping[UUID, OwnedRow]) -> list[Operation]:
    """Operations that turn one set of rows into another."""
    found: list[Operation] = []
    for uuid, node in after.items():
        was_there = before.get(uuid)
        if was_there is None:
            found.append(insert(node.table, uuid, node.row))
        else:
            found += rewrite(node.table, uuid, was_there.row, node.row)
    for uuid, node in {**before, **after}.items():
        was, becomes = (where[uuid].parent if uuid in where else None for where in (before, after))
        if was != becomes:
            # The reference is deleted with the parent.
            if was and not (was[1] in before and was[1] not in after):
                found.append(refer(was, "delete", uuid))
            if becomes:
                found.append(refer(becomes, "insert", uuid))
        if uuid not in after:  # explicitly, even if the parent is deleted: until then it refers to other deleted rows
            found.append(delete(node.table, key(uuid)))
    return found


def refer(parent: tuple[str, UUID, str], mutator: str, uuid: UUID) -> Operation:
    """Insert a reference to a row into a column of its parent, or delete it."""
    table, owner, column = parent
    return mutate(table, key(owner), [[column, mutator, as_set([ref(uuid)])]])
