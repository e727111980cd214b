"""Replica of tables that reports their changes, by a monitor with conditions (ovsdb-server(7), section 4.1.12).

Of a changed row the server sends only the differences: a start that adds a name to 10,000 DNS records costs as much as
the first one.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import ovs.jsonrpc
import ovs.poller

from ovnhook.base import memory
from ovnhook.ovsdb import characters, poll  # noqa: F401  # both change the library
from ovnhook.ovsdb.operation import Row
from ovnhook.ovsdb.rowchanges import Columns, Selection

_log = logging.getLogger(__name__)
_SILENT = logging.Logger("silent", logging.CRITICAL)

_STOP_INTERVAL = 200  # ms between checks of the stop event
_BACKOFF = (1000, 2000)  # ms between connection attempts; the minimum is that of ovs
_STALE_TIMEOUT = 10.0  # seconds to avoid a stale server; afterwards the cluster was replaced, as by a restore
_LINES = 1000  # rows that are processed together
_SERVER = "_Server"  # ovsdb-server(7), "Server Database"


@dataclass(frozen=True)
class RowDifference:
    """Change of a row.

    Attributes:
        table: its table.
        uuid: its UUID.
        new: its monitored columns, or None if it was deleted.
        is_partial: `new` has only columns that have changed, as differences (ovsdb-server(7), section 4.1.14).
    """

    table: str
    uuid: str
    new: Row | None
    is_partial: bool = False


class Replica:
    """Replica of some rows and columns of a database, to be followed once.

    It keeps rows as text, which takes a fraction of the memory.

    Args:
        remotes: remotes of the servers, separated by commas, as for `Database`.
        name: name of the database.
        tables: rows and columns to monitor, by table.
        is_silent: log nothing; for a replica beside another one of the same database.
        is_partial: whether the follower applies differences of a row itself, since it is large. The replica does not
            keep it, and yields it after each outage.
    """

    def __init__(
        self,
        remotes: str,
        name: str,
        tables: Mapping[str, Selection],
        *,
        is_silent: bool = False,
        is_partial: Callable[[Row], bool] = lambda _: False,
    ) -> None:
        self._log = _SILENT if is_silent else _log
        self._where = f"{name} at {remotes}"
        self._name = name
        self._tables = tables
        self._is_partial = is_partial
        self._columns: dict[str, Columns] = {}
        self._session = ovs.jsonrpc.Session.open_multiple([remote.strip() for remote in remotes.split(",")])
        self._session.reconnect.set_backoff(*_BACKOFF)
        self._rows: dict[tuple[str, str], str] = {}
        self._requests: dict[str, Any] = dict.fromkeys(("monitor", "get_schema", "monitor_cond"))
        self._index = 0
        self._last_synced = time.monotonic()
        self._synced = False

    def follow(
        self, stop: threading.Event, beat: Callable[[], None] = lambda: None
    ) -> Iterator[Iterable[RowDifference]]:
        """Yield changes: first all rows, then those of each transaction. They have to be iterated before the next ones.

        After an outage the missed changes are yielded, computed from the new initial rows.

        Example::

            tables = {"DNS": Selection(("records",))}
            for changes in Replica("unix:/run/ovn/ovnnb_db.sock", "OVN_Northbound", tables).follow(stop):
                handle(changes)

        Args:
            stop: ends the iteration when set.
            beat: called several times a second, as heartbeat.
        """
        connection = -1
        try:
            while not stop.is_set():
                beat()
                self._session.run()
                if self._session.is_connected() and connection != self._session.get_seqno():
                    connection = self._session.get_seqno()
                    status = {"Database": {"columns": ["name", "connected", "index"]}}
                    self._request("monitor", _SERVER, _SERVER, status)
                elif self._synced and not self._session.is_connected():
                    self._synced, self._last_synced = False, time.monotonic()
                    self._log.warning("%s is unreachable: its changes are reported after reconnecting", self._where)
                message = self._session.recv()
                if message is None:
                    self._wait()
                    continue
                found = self._process(message)
                if found is not None:
                    yield found
        finally:
            self._session.close()

    @property
    def lost_for(self) -> float:
        """Seconds for which the database has been unreachable; 0 while it is reachable."""
        return 0.0 if self._synced else time.monotonic() - self._last_synced

    def _request(self, method: str, *params: Any) -> None:
        request = ovs.jsonrpc.Message.create_request(method, [*params])
        self._requests[method] = request.id
        self._session.send(request)

    def _wait(self) -> None:
        poller = ovs.poller.Poller()
        self._session.wait(poller)
        self._session.recv_wait(poller)
        poller.timer_wait(_STOP_INTERVAL)
        poller.block()

    def _process(self, message: ovs.jsonrpc.Message) -> Iterable[RowDifference] | None:
        """Changes in a message; None if it is not about the tables."""
        if message.type == ovs.jsonrpc.Message.T_NOTIFY:
            if message.method == "update2":
                return [
                    self._update(table, uuid, *update.popitem())
                    for table, changed in message.params[1].items()
                    for uuid, update in changed.items()
                ]
            if message.method == "update":
                self._check(message.params[1])
        elif message.id == self._requests["monitor"]:
            # An error reply, from a server without the table, is accepted as well.
            if self._check(message.result or {}):
                self._request("get_schema", self._name)
        elif message.id in (self._requests["get_schema"], self._requests["monitor_cond"]):
            if message.type != ovs.jsonrpc.Message.T_REPLY:
                self._log.warning("%s cannot be monitored: %s", self._where, message.error)
                self._session.force_reconnect()
            elif message.id == self._requests["monitor_cond"]:
                if self._rows:
                    self._log.info("%s is reachable again", self._where)
                self._synced = True
                lines = self._lines(message.result)
                message.result = None
                return self._replace(lines)
            else:
                schema = message.result["tables"]
                self._columns = {
                    table: Columns(schema[table]["columns"], selected.columns)
                    for table, selected in self._tables.items()
                }
                requests = {table: selected.request for table, selected in self._tables.items()}
                self._request("monitor_cond", self._name, self._name, requests)
        return None

    def _lines(self, initial: Mapping[str, Any]) -> list[str]:
        """Table, UUID and text of all rows, in lines, of which many are together.

        So the message is deleted before followers keep parts of rows: these would lie between parts of the message,
        so that Python could not return its memory.
        """
        lines = (
            f"{table} {uuid} {_text(self._columns[table].complete(update['initial']))}"
            for table, found in initial.items()
            for uuid, update in found.items()
        )
        return ["\n".join(some) for some in iter(lambda: list(islice(lines, _LINES)), [])]

    def _replace(self, lines: Iterable[str]) -> Iterator[RowDifference]:
        """Replace all rows; yield the differences."""
        before, self._rows = self._rows, {}
        for some in lines:
            for line in some.split("\n"):
                table, uuid, text = line.split(" ", 2)
                if before.pop((table, uuid), None) == text:
                    self._rows[table, uuid] = text
                else:
                    yield self._set(table, uuid, json.loads(text))
        yield from (RowDifference(*key, None) for key in before)
        memory.release_free()

    def _update(self, table: str, uuid: str, how: str, row: Row) -> RowDifference:
        """Apply an update of a row."""
        if how == "delete":
            return self._set(table, uuid, None)
        columns = self._columns[table]
        if how == "modify":
            if not self._rows[table, uuid]:
                return RowDifference(table, uuid, row, is_partial=True)
            return self._set(table, uuid, columns.updated(json.loads(self._rows[table, uuid]), row))
        return self._set(table, uuid, columns.complete(row))

    def _set(self, table: str, uuid: str, new: Row | None) -> RowDifference:
        if new is None:
            self._rows.pop((table, uuid), None)
        else:
            self._rows[table, uuid] = "" if self._is_partial(new) else _text(new)
        return RowDifference(table, uuid, new)

    def _check(self, databases: Mapping[str, Any]) -> bool:
        """Check the server's status; if it is unusable, reconnect to another one and return False.

        A server is unusable if it is disconnected from its cluster, or stale: changes would be reverted and reported
        again.
        """
        for update in databases.get("Database", {}).values():
            row = update.get("new", {})
            if row.get("name") != self._name:
                continue
            index = row["index"] if isinstance(row["index"], int) else 0  # of the cluster's log; there may be none
            is_stale = index < self._index and time.monotonic() < self._last_synced + _STALE_TIMEOUT
            if not row["connected"] or is_stale:
                self._session.force_reconnect()
                return False
            self._index = index
        return True


def _text(row: Row) -> str:
    return json.dumps(row, sort_keys=True, separators=(",", ":"))
