"""Some tables of a database, kept as they are there: for those who want to know what changes.

This is the plain monitor of RFC 7047, section 4.1.5, whose rows are those that a select reads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ovs.jsonrpc
import ovs.poller

from ovnhook.ovsdb import poll  # noqa: F401  # for what it puts in place
from ovnhook.ovsdb.operation import Row

_log = logging.getLogger(__name__)

_PAUSE = 200  # ms between two looks whether to stop
_BACKOFF = (1000, 2000)  # ms between two attempts to connect: the least that ovs allows, and the longest
_BEHIND = 10.0  # seconds that one which is behind is passed over: then the cluster itself is another one, from a backup
_SERVER = "_Server"  # the server's own database: ovsdb-server(7), "Server Database"


@dataclass(frozen=True)
class RowDifference:
    """What became of a row: `old` is None for one that was made, `new` for one that is gone."""

    table: str
    uuid: str
    old: Row | None
    new: Row | None


class Replica:
    """Tells how tables change, from when it is followed until that is stopped. Each one is followed once.

    Args:
        remotes: ``unix:/path``, ``tcp:host:port``, several of them separated by commas: any server of a cluster does.
        name: of the database.
        tables: the columns of each table that are of interest.
    """

    def __init__(self, remotes: str, name: str, tables: Mapping[str, Sequence[str]]) -> None:
        self._where = f"{name} at {remotes}"
        self._name = name
        self._tables = {table: {"columns": list(columns)} for table, columns in tables.items()}
        self._session = ovs.jsonrpc.Session.open_multiple([remote.strip() for remote in remotes.split(",")])
        self._session.reconnect.set_backoff(*_BACKOFF)
        self._rows: dict[tuple[str, str], Row] = {}
        self._asked: dict[str, Any] = {_SERVER: None, name: None}
        self._index = 0
        self._good_at = time.monotonic()
        self._synced = False

    def follow(self, stop: threading.Event) -> Iterator[list[RowDifference]]:
        """What differs from what was told before: first all rows there are, then each change as one list.

        After an outage that is what has changed meanwhile: a server that was started again tells only what there is.

        Args:
            stop: ends it when it is set.
        """
        connection = -1
        try:
            while not stop.is_set():
                self._session.run()
                if self._session.is_connected() and connection != self._session.get_seqno():
                    connection = self._session.get_seqno()
                    self._ask(_SERVER, {"Database": {"columns": ["name", "connected", "index"]}})
                elif self._synced and not self._session.is_connected():
                    self._synced, self._good_at = False, time.monotonic()
                    _log.warning("%s is out of reach: what changes there is told when it is back", self._where)
                message = self._session.recv()
                if message is None:
                    self._wait()
                    continue
                found = self._take(message)
                if found is not None:
                    yield found
        finally:
            self._session.close()

    def _ask(self, database: str, tables: Mapping[str, Any]) -> None:
        """Ask for tables of a database, and to be told how they change."""
        request = ovs.jsonrpc.Message.create_request("monitor", [database, database, tables])
        self._asked[database] = request.id
        self._session.send(request)

    def _wait(self) -> None:
        poller = ovs.poller.Poller()
        self._session.wait(poller)
        self._session.recv_wait(poller)
        poller.timer_wait(_PAUSE)
        poller.block()

    def _take(self, message: ovs.jsonrpc.Message) -> list[RowDifference] | None:
        """What a message of the server changes; None where it says nothing of the tables."""
        if message.type == ovs.jsonrpc.Message.T_NOTIFY and message.method == "update":
            database, updates = message.params
            if database == self._name:
                return [
                    self._set(table, uuid, update.get("new"))
                    for table, changed in updates.items()
                    for uuid, update in changed.items()
                ]
            self._check(updates)
        elif message.id == self._asked[_SERVER]:
            # One that knows no such table is asked as well.
            if self._check(message.result or {}):
                self._ask(self._name, self._tables)
        elif message.id == self._asked[self._name]:
            if message.type == ovs.jsonrpc.Message.T_REPLY:
                if self._rows:
                    _log.info("%s is back", self._where)
                self._synced = True
                return self._replace(message.result)
            _log.warning("%s can't be watched: %s", self._where, message.error)
            self._session.force_reconnect()
        return None

    def _replace(self, initial: Mapping[str, Any]) -> list[RowDifference]:
        """Take what there is for all that there is."""
        rows = {(table, uuid): row["new"] for table, found in initial.items() for uuid, row in found.items()}
        changed = [key for key in {**self._rows, **rows} if self._rows.get(key) != rows.get(key)]
        return [self._set(*key, rows.get(key)) for key in changed]

    def _set(self, table: str, uuid: str, new: Row | None) -> RowDifference:
        old = self._rows.pop((table, uuid), None)
        if new is not None:
            self._rows[table, uuid] = new
        return RowDifference(table, uuid, old, new)

    def _check(self, databases: Mapping[str, Any]) -> bool:
        """Whether a server is to be asked.

        One that is cut off from its cluster is left for another one; so is one that is behind what was told already:
        all of that would be taken back, and told again.
        """
        for update in databases.get("Database", {}).values():
            row = update.get("new", {})
            if row.get("name") != self._name:
                continue
            index = row["index"] if isinstance(row["index"], int) else 0  # of the cluster's log; there may be none
            behind = index < self._index and time.monotonic() < self._good_at + _BEHIND
            if not row["connected"] or behind:
                self._session.force_reconnect()
                return False
            self._index = index
        return True
