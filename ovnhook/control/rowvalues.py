"""Values of a replica's rows, each parsed once. Pure."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ovnhook.base import uuids
from ovnhook.base.errors import NewerFormat
from ovnhook.base.logonce import LogOnce
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Condition, Row, as_map, includes, map_of
from ovnhook.ovsdb.replica import RowDifference
from ovnhook.ovsdb.rowchanges import Selection
from ovnhook.resources.kind import Kind
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.subnet.kind import DNS_RECORDS
from ovnhook.resources.subnet.values import DnsRecords

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ValueChange:
    """Change of a row's value: `old` is None if there was none that could be read, `new` if there is none now.

    Of DNS records, if there are both, they have only those that have changed.
    """

    uuid: str
    old: Any
    new: Any


class RowValues:
    """Values of all rows of some kinds. Broken rows are logged once, and have no value.

    Args:
        columns: monitored columns of each kind.

    Attributes:
        unreadable: UUIDs of the broken rows.
        newer: error about rows of a format that this version does not support, or None.
    """

    def __init__(self, columns: Sequence[tuple[Kind[Any], Sequence[str]]]) -> None:
        self._kinds = {kind.name: kind for kind, _ in columns}
        self._values: dict[str, Any] = {}
        self._broken = LogOnce(_log, "skipped")
        self.unreadable: set[str] = set()
        self.newer: NewerFormat | None = None

    def apply(self, differences: Iterable[RowDifference]) -> list[ValueChange]:
        """Apply changes of rows, and return the resulting changes of values."""
        found = []
        for difference in differences:
            uuid = difference.uuid
            if difference.is_partial:
                found.append(self._changed_records(uuid, difference.new or {}))
                continue
            old, new = self._values.pop(uuid, None), self._value(uuid, difference.new)
            if new is not None:
                self._values[uuid] = new
            if old is not None or new is not None:
                found.append(ValueChange(uuid, old, new))
        return found

    def _changed_records(self, uuid: str, difference: Row) -> ValueChange:
        """Apply a difference of DNS records."""
        value: DnsRecords = self._values[uuid]
        records = cast(dict[str, str], value.records)  # nobody else has it: 20,000 records are not copied
        changed = map_of(difference.get("records", as_map({})))
        before = {name: records[name] for name in changed if name in records}
        after = {name: record for name, record in changed.items() if before.get(name) != record}
        for name in before:
            del records[name]
        records.update(after)
        return ValueChange(uuid, DnsRecords(value.subnet, before), DnsRecords(value.subnet, after))

    def _value(self, uuid: str, row: Row | None) -> Any:
        """Value of a row; None if it is not one of these kinds, or broken."""
        self.unreadable.discard(uuid)
        if uuid == str(uuids.REGISTRY):
            self.newer = None
        kind = self._kinds.get(owned.own(row).get("kind", "")) if row else None
        if row is None or kind is None:
            self._broken.succeeded(about=uuid)
            return None
        try:
            value = kind.read({**row, "_uuid": ["uuid", uuid]})
        except BrokenRow as error:
            self._broken.failed(error, about=uuid)
            self.unreadable.add(uuid)
            return None
        except NewerFormat as error:
            self.newer = error
            return None
        self._broken.succeeded(about=uuid)
        return value


def is_partial(row: Row) -> bool:
    """Return whether differences of a row are enough: DNS records of a subnet, unless their row is broken."""
    return owned.own(row).get("kind") == DNS_RECORDS.name and "subnet" in owned.own(row)


def selections(columns: Iterable[tuple[Kind[Any], Sequence[str]]]) -> dict[str, Selection]:
    """Rows and columns to monitor, by table.

    Args:
        columns: columns of each kind.
    """
    names: defaultdict[str, dict[str, None]] = defaultdict(dict)
    where: defaultdict[str, list[Condition]] = defaultdict(list)
    for kind, some in columns:
        names[kind.table].update(dict.fromkeys(some))
        where[kind.table].append(includes("external_ids", owned.kind(kind.name)))
    return {table: Selection(tuple(names[table]), tuple(where[table])) for table in names}
