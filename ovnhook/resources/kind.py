"""Resource kinds, each as one value with its readers, operations and guards. Pure.

ovnhook.resources.kinds lists all kinds.
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
"""Key of an API object: its field in ``ovnhook.v1.Change``, and its name."""


@dataclass(frozen=True)
class Cascade:
    """Operations on a dependent row, in the transaction that changes another kind.

    Attributes:
        operations: without effect if the row does not exist.
        deleted: UUID of a row that they delete and whose deletion is to be logged, or None.
    """

    operations: tuple[Operation, ...]
    deleted: UUID | None = None


def _nothing(*_: object) -> tuple[()]:
    return ()


def _unguarded(value: object) -> list[Operation]:
    raise TypeError(f"kind without a guard: {value}")


def _unread(row: Row) -> Any:
    raise TypeError(f"kind without a table: {row}")


@dataclass(frozen=True, eq=False, repr=False)
class Kind(Generic[T]):
    """A resource kind: everything that generic code needs to know of one kind.

    A kind has a row reader and the operations of its changes; everything else is optional::

        LEASE = Kind(
            name="lease", type=Lease, table="DNS", columns=("records", "external_ids"),
            read=read_lease, operations=_lease_operations,
        )

    Attributes:
        name: ``ovnhook:kind`` in the external_ids of its rows.
        type: class of its values.
        operations: operations that turn the rows of one value into those of another (None: no rows). The guards are
            first: they abort the transaction if a row has changed since it was read.
        guard: operations that abort the transaction if a value has changed since it was read.
        table: northbound table of its row; "" for a kind that is derived from others.
        columns: columns that `read` needs.
        read: parses a row. An absent key has a default, an unknown one is ignored.
        describe: log message of a change; "" if another change is logged for it.
        title: singular noun for messages.
        field: its field in ``ovnhook.v1.Change``, or "".
        shown_in: API objects that show a value.
        counted_in: API objects that only show a number of values, and the key by which they are counted.
        order: sort key of the values of a cloud.
        rows: all rows of a value; the control service repairs them.
        needs: refusals, one for each requirement of some values to other kinds that is not met.
        cascade: operations on its rows that a change of another kind entails.
        lease: subnet and address of the lease with which a value is deleted, or None.
        gateway: router and subnet of the external gateway that a value uses, or None.
        equivalent: equality of two values of one row, apart from what changes without a command.
        display_name: description of a value for messages.
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
        """Columns to select: those that `read` needs, and the row's UUID, which it checks."""
        return ("_uuid", *self.columns)

    @property
    def is_watched(self) -> bool:
        """API objects show its rows."""
        return self.shown_in is not _nothing

    def __repr__(self) -> str:
        """Its name."""
        return self.name


@dataclass(frozen=True)
class Put(Generic[T]):
    """A change of one resource of any kind.

    For example::

        Put(LEASE, None, lease)  # create; aborts if the address is leased
        Put(LEASE, lease, replace(lease, host="hv2"))  # update; aborts if another interface has the lease
        Put(LEASE, lease, None)  # delete

    Attributes:
        kind: of the resource.
        old: current value, as it was read; None to create.
        new: desired value; None to delete.
    """

    kind: Kind[T]
    old: T | None
    new: T | None

    @property
    def operations(self) -> list[Operation]:
        """Operations of the change, guards first."""
        return self.kind.operations(self.old, self.new)

    def __str__(self) -> str:
        """Log message; "" if another change is logged for it."""
        return self.kind.describe(self.old, self.new)


@dataclass(frozen=True)
class Need(Generic[T]):
    """A precondition of other changes in the transaction: a resource is unchanged since it was read."""

    kind: Kind[T]
    value: T

    @property
    def operations(self) -> list[Operation]:
        """Operations that abort the transaction otherwise."""
        return self.kind.guard(self.value)

    def __str__(self) -> str:
        """Log message: none, since nothing changes."""
        return ""


Change = Put[Any] | Need[Any]
"""A part of a transaction."""


def puts(kind: Kind[T], changes: Iterable[Change]) -> Iterator[Put[T]]:
    """The changes of one kind."""
    return (change for change in changes if isinstance(change, Put) and change.kind is kind)


def deleted(kind: Kind[T], changes: Iterable[Change]) -> Iterator[T]:
    """The resources of one kind that changes delete."""
    return (put.old for put in puts(kind, changes) if put.old is not None and put.new is None)
