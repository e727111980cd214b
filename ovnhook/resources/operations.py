"""Operations on rows that are ours: guards, and the difference between what a row says and what it is to say. Pure."""

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
    """A row that is ours, and where it belongs.

    Attributes:
        table: that it is in.
        row: its columns that are wholly ours.
        parent: table, UUID and column that refer to it, or None where it stands by itself.
    """

    table: str
    row: Row
    parent: tuple[str, UUID, str] | None = None


def exists(table: str, uuid: UUID, *conditions: Condition) -> Operation:
    """Abort the transaction unless the row is there and the conditions are true of it."""
    return require(table, [key(uuid), *conditions], [{"_uuid": ref(uuid)}], ["_uuid"])


def unchanged(table: str, uuid: UUID, ids: Mapping[str, str]) -> list[Operation]:
    """Abort the transaction unless a row says this in its external_ids.

    A key that the row lacks was read as its default: the row gets it first. An insert into a map leaves keys that are
    there as they are (RFC 7047, section 5.1), so none that somebody has set meanwhile goes unnoticed. Other keys do not
    matter.
    """
    return [
        mutate(table, key(uuid), [["external_ids", "insert", as_map(ids)]]),
        exists(table, uuid, includes("external_ids", ids)),
    ]


def rewrite(table: str, uuid: UUID, old: Row, new: Row) -> list[Operation]:
    """Operations that make what a row says of one thing what it says of another. Foreign keys of maps stay."""
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
    """Operations that make some rows others. A row goes with its parent, but for a parent that is in neither."""
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
            # A parent that is deleted here takes the reference along.
            if was and not (was[1] in before and was[1] not in after):
                found.append(refer(was, "delete", uuid))
            if becomes:
                found.append(refer(becomes, "insert", uuid))
        if uuid not in after:  # also where its parent goes: until then it refers to others that go
            found.append(delete(node.table, key(uuid)))
    return found


def refer(parent: tuple[str, UUID, str], mutator: str, uuid: UUID) -> Operation:
    """Insert a reference to a row into a column of another one, or delete it."""
    table, owner, column = parent
    return mutate(table, key(owner), [[column, mutator, as_set([ref(uuid)])]])
