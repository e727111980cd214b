"""A kind of resource as one value: how it is read, written, guarded and shown. Pure.

All kinds are in ovnhook.resources.kinds. A change of any of them is a `Put`::

    Put(LEASE, None, lease)  # created; aborts if somebody has the address
    Put(LEASE, lease, replace(lease, host="hv2"))  # updated; aborts if it is no longer this interface's
    Put(LEASE, lease, None)  # deleted
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.errors import OvnhookError
from ovnhook.ovsdb.operation import Operation, Row
from ovnhook.resources.operations import OwnedRow
from ovnhook.resources.state import Cloud

T = TypeVar("T")

Key = tuple[str, str]
"""An object that the API shows: the field of a Change that it is in, and its name there."""


@dataclass(frozen=True)
class Cascade:
    """Operations that go along with a change of another kind, on a row that need not exist.

    Attributes:
        operations: they do nothing where there is no such row.
        deleted: UUID of the row that they delete, of the kind whose consequence this is; None where they delete none
            that somebody has to hear of.
    """

    operations: tuple[Operation, ...]
    deleted: UUID | None = None


def _nothing(*_: object) -> tuple[()]:
    return ()


def _unguarded(value: object) -> list[Operation]:
    raise NotImplementedError(f"nothing tells whether {value} is as it was read")


def _unread(row: Row) -> Any:
    raise NotImplementedError(f"a kind without a table has no row: {row}")


@dataclass(frozen=True, eq=False, repr=False)
class Kind(Generic[T]):
    """A kind of resource.

    Attributes:
        name: the value of ``ovnhook:kind`` in its rows' external_ids.
        type: the class of its values.
        operations: operations that make the rows of one value (None: of none) those of another, the guards first: they
            abort the transaction unless what they build on is as it was read.
        guard: operations that abort the transaction unless a value is as it was read.
        table: table of the northbound database that its row is in; "" for a kind that is derived from others.
        columns: those of its columns that a value is read from.
        read: a row as a value. An absent key has a default, an unknown one is ignored.
        describe: a change in words, for the log; "" where another change says it.
        title: its name in messages, in the singular.
        field: the field of ``ovnhook.v1.Change`` that it is shown in, or "".
        shown_in: the objects that a value is shown in.
        counted_in: the objects that only show how many values there are, with what they are counted by.
        order: sorts the values of a cloud.
        rows: all rows that there have to be because of a value; what is wrong with them is repaired.
        needs: refusals, each because of something of other kinds that one of some values can't be without.
        cascade: changes that go along with a change of another kind.
        lease: subnet and address of the lease that a value is deleted with, or None.
        gateway: router and subnet of the external gateway that a value uses, or None.
        equivalent: two values of one row are equal but for what changes without a counted change.
        display_name: a value in words, for messages.
    """

    name: str
    type: type[T]
    operations: Callable[[T | None, T | None], list[Operation]]
    guard: Callable[[T], list[Operation]] = _unguarded
    table: str = ""
    columns: tuple[str, ...] = ()
    read: Callable[[Row], T] = _unread
    describe: Callable[[T | None, T | None], str] = lambda _old, _new: ""
    title: str = ""
    field: str = ""
    shown_in: Callable[[T], Iterable[Key]] = _nothing
    counted_in: Callable[[T], Iterable[tuple[Key, object]]] = _nothing
    order: Callable[[T], Any] = _nothing
    rows: Callable[[T], Mapping[UUID, OwnedRow]] = lambda _value: {}
    needs: Callable[[Iterable[T], Cloud], Iterable[OvnhookError]] = _nothing
    cascade: Callable[[Put[Any]], Iterable[Cascade]] = _nothing
    lease: Callable[[T], tuple[str, IPAddress] | None] = lambda _value: None
    gateway: Callable[[T], tuple[str, str] | None] = lambda _value: None
    equivalent: Callable[[T, T], bool] = operator.eq
    display_name: Callable[[T], str] = str

    @property
    def selected(self) -> tuple[str, ...]:
        """The columns to select: those that a value is read from, and the row's UUID, which is checked."""
        return ("_uuid", *self.columns)

    @property
    def is_watched(self) -> bool:
        """Its rows are a part of objects that the API shows."""
        return self.shown_in is not _nothing

    def __repr__(self) -> str:
        """Its name."""
        return self.name


@dataclass(frozen=True)
class Put(Generic[T]):
    """A change of one resource.

    Attributes:
        kind: of the resource.
        old: as it was read, or None where it is created.
        new: as it is to be, or None where it is deleted.
    """

    kind: Kind[T]
    old: T | None
    new: T | None

    @property
    def operations(self) -> list[Operation]:
        """Operations that carry it out, the guards first."""
        return self.kind.operations(self.old, self.new)

    def __str__(self) -> str:
        """In words, for the log; "" where another change says it."""
        return self.kind.describe(self.old, self.new)


@dataclass(frozen=True)
class Need(Generic[T]):
    """A resource that has to be as it was read, for other changes of the transaction build on it."""

    kind: Kind[T]
    value: T

    @property
    def operations(self) -> list[Operation]:
        """Operations that abort the transaction unless it is."""
        return self.kind.guard(self.value)

    def __str__(self) -> str:
        """Nothing: nothing changes."""
        return ""


Change = Put[Any] | Need[Any]
"""A part of a transaction."""


def puts(kind: Kind[T], changes: Iterable[Change]) -> Iterator[Put[T]]:
    """The changes of one kind among others."""
    return (change for change in changes if isinstance(change, Put) and change.kind is kind)
