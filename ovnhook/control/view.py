"""Objects of the API and their changes, derived from rows of the northbound database. Pure.

Each object depends on some rows: a subnet on its switch, the leases in it, and the registry, which names the default
subnet. A changed row affects only the objects that depend on it.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ovnhook.api.v1 import changes_pb2 as api
from ovnhook.control.rowvalues import selections
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Row
from ovnhook.ovsdb.replica import RowDifference
from ovnhook.ovsdb.rowchanges import Selection
from ovnhook.resources.kind import Key, Kind
from ovnhook.resources.kinds import KINDS
from ovnhook.resources.reading import BrokenRow

_log = logging.getLogger(__name__)

T = TypeVar("T")

_WATCHED = {kind.name: kind for kind in KINDS if kind.is_watched}

FIELDS = tuple(kind.field for kind in KINDS if kind.field)
"""Fields of a Change, one for each kind, in order: objects may refer to objects of earlier fields only."""

_Place = tuple[str, str]
"""Table and UUID of a row."""


def selected() -> dict[str, Selection]:
    """Rows and columns that objects depend on, by table."""
    return selections((kind, kind.columns) for kind in _WATCHED.values())


@dataclass(frozen=True)
class Parts:
    """Values that an object is made of.

    Attributes:
        name: name of the object.
        values: values of the rows that it depends on, by kind.
        counts: numbers of rows that are only counted, by what they are counted by.
    """

    name: str
    values: Mapping[str, Sequence[Any]]
    counts: Mapping[object, int]

    def of(self, kind: Kind[T]) -> Sequence[T]:
        """Values of a kind: ``parts.of(SUBNET)``."""
        return self.values.get(kind.name, ())


Show = Callable[[Parts], Any]
"""Makes the message of an object, or None if its parts are incomplete."""


@dataclass(frozen=True)
class _Part:
    """The value of a row, parsed once.

    Attributes:
        kind: kind of the row.
        value: value of the row.
        about: objects that depend on it.
        counted: objects that only count it, and by what.
    """

    kind: str
    value: Any
    about: tuple[Key, ...]
    counted: tuple[tuple[Key, object], ...] = field(default=())


class View:
    """All objects, as in lists, updated incrementally: the cost of a change does not depend on the number of rows.

    Args:
        shows: functions that make the messages, by the field of a Change.
    """

    def __init__(self, shows: Mapping[str, Show]) -> None:
        self._shows = shows
        self._parts: dict[_Place, _Part] = {}
        self._about: dict[Key, dict[str, dict[_Place, Any]]] = {}
        self._counts: defaultdict[Key, Counter[object]] = defaultdict(Counter)
        self._objects: dict[Key, Any] = {}

    def apply(self, differences: Iterable[RowDifference]) -> list[api.Change]:
        """Apply changes of rows, and return the resulting changes of objects.

        Deleted objects come first, in reverse order of FIELDS, then created and updated ones, in order of FIELDS.
        """
        touched: set[Key] = set()
        for difference in differences:
            place = difference.table, difference.uuid
            if old := self._parts.pop(place, None):
                touched |= _keys(old)
                self._take(place, old)
            if new := _part(difference.new):
                touched |= _keys(new)
                self._put(place, new)
        gone, come = [], []
        for key in sorted(touched, key=_order):
            before, now = self._objects.pop(key, None), self._object(key)
            if now is not None:
                self._objects[key] = now
            if before is not None and now is None:
                gone.append(api.Change(type=api.Change.DELETED, **{key[0]: before}))
            elif before != now:
                kind = api.Change.UPDATED if before is not None else api.Change.CREATED
                come.append(api.Change(type=kind, **{key[0]: now}))
        return [*reversed(gone), *come]

    def existing(self) -> Iterator[api.Change]:
        """Return a snapshot of all objects, in order of FIELDS."""
        found = sorted(self._objects.items(), key=lambda item: _order(item[0]))
        return (api.Change(type=api.Change.EXISTING, **{kind: one}) for (kind, _), one in found)

    def _put(self, place: _Place, part: _Part) -> None:
        self._parts[place] = part
        for key in part.about:
            self._about.setdefault(key, {}).setdefault(part.kind, {})[place] = part.value
        for key, by in part.counted:
            self._counts[key][by] += 1

    def _take(self, place: _Place, part: _Part) -> None:
        for key in part.about:
            about = self._about[key]
            del about[part.kind][place]
            if not any(about.values()):
                del self._about[key]
        for key, by in part.counted:
            self._counts[key][by] -= 1
            if not any(self._counts[key].values()):
                del self._counts[key]

    def _object(self, key: Key) -> Any:
        """Object of a key, or None if its rows are incomplete."""
        show = self._shows.get(key[0])
        values = {kind: list(found.values()) for kind, found in self._about.get(key, {}).items()}
        return show(Parts(key[1], values, self._counts.get(key, {}))) if show and values else None


def _part(row: Row | None) -> _Part | None:
    """Value of a row; None if it is not one of ovnhook's, or invalid."""
    kind = _WATCHED.get(owned.own(row).get("kind", "")) if row else None
    if row is None or kind is None:
        return None
    try:
        value = kind.read(row)
    except BrokenRow as error:
        _log.warning("skipped: %s", error)
        return None
    return _Part(kind.name, value, tuple(kind.shown_in(value)), tuple(kind.counted_in(value)))


def _keys(part: _Part) -> set[Key]:
    return {*part.about, *(key for key, _ in part.counted)}


def _order(key: Key) -> tuple[int, str]:
    return FIELDS.index(key[0]), key[1]
