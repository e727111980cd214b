"""Replica of tables that reports their changes, by a monitor (RFC 7047, section 4.1.5)."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ovs.jsonrpc
import ovs.poller

from ovnhook.ovsdb import poll  # noqa: F401  # replaces select(2)
from ovnhook.ovsdb.operation import Row

_log = logging.getLogger(__name__)
_SILENT = logging.Logger("silent", logging.CRITICAL)

_STOP_INTERVAL = 200  # ms between checks of the stop event
_BACKOFF = (1000, 2000)  # ms between connection attempts; the minimum is that of ovs
_STALE_TIMEOUT = 10.0  # seconds to avoid a stale server; afterwards the cluster was replaced, as by a restore
_SERVER = "_Server"  # ovsdb-server(7), "Server Database"


@dataclass(frozen=True)
class RowDifference:
    """Change of a row: its monitored columns, or None if it was deleted."""

    table: str
    uuid: str
    new: Row | None


class Replica:
    """Replica of some columns of a database, to be followed once.

    It keeps only a digest of each row, to find what has changed during an outage: its followers keep what they need.

    Args:
        remotes: remotes of the servers, separated by commas, as for `Database`.
        name: name of the database.
        tables: columns to monitor, by table.
        is_silent: log nothing; for a replica beside another one of the same database.
    """

    def __init__(
        self, remotes: str, name: str, tables: Mapping[str, Sequence[str]], *, is_silent: bool = False
    ) -> None:
        self._log = _SILENT if is_silent else _log
        self._where = f"{name} at {remotes}"
        self._name = name
        self._tables = {table: {"columns": list(columns)} for table, columns in tables.items()}
        self._session = ovs.jsonrpc.Session.open_multiple([remote.strip() for remote in remotes.split(",")])
        self._session.reconnect.set_backoff(*_BACKOFF)
        self._digests: dict[tuple[str, str], bytes] = {}
        self._requests: dict[str, Any] = {_SERVER: None, name: None}
        self._index = 0
        self._last_synced = time.monotonic()
        self._synced = False

    def follow(self, stop: threading.Event, beat: Callable[[], None] = lambda: None) -> Iterator[list[RowDifference]]:
        """Yield changes: first all rows, then one list per transaction.

        After an outage the missed changes are yielded, computed from the new initial rows.

        Example::

            for changes in Replica("unix:/run/ovn/ovnnb_db.sock", "OVN_Northbound", {"DNS": ["records"]}).follow(stop):
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
                    self._monitor(_SERVER, {"Database": {"columns": ["name", "connected", "index"]}})
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

    def _monitor(self, database: str, tables: Mapping[str, Any]) -> None:
        """Request a monitor of tables."""
        request = ovs.jsonrpc.Message.create_request("monitor", [database, database, tables])
        self._requests[database] = request.id
        self._session.send(request)

    def _wait(self) -> None:
        poller = ovs.poller.Poller()
        self._session.wait(poller)
        self._session.recv_wait(poller)
        poller.timer_wait(_STOP_INTERVAL)
        poller.block()

    def _process(self, message: ovs.jsonrpc.Message) -> list[RowDifference] | None:
        """Changes in a message; None if it is not about the tables."""
        if message.type == ovs.jsonrpc.Message.T_NOTIFY and message.method == "update":
            database, updates = message.params
            if database == self._name:
                return [
                    self._set(table, uuid, row := update.get("new"), _digest(row))
                    for table, changed in updates.items()
                    for uuid, update in changed.items()
                ]
            self._check(updates)
        elif message.id == self._requests[_SERVER]:
            # An error reply, from a server without the table, is accepted as well.
            if self._check(message.result or {}):
                self._monitor(self._name, self._tables)
        elif message.id == self._requests[self._name]:
            if message.type == ovs.jsonrpc.Message.T_REPLY:
                if self._digests:
                    self._log.info("%s is reachable again", self._where)
                self._synced = True
                return self._replace(message.result)
            self._log.warning("%s cannot be monitored: %s", self._where, message.error)
            self._session.force_reconnect()
        return None

    def _replace(self, initial: Mapping[str, Any]) -> list[RowDifference]:
        """Replace all rows; return the differences."""
        rows = {(table, uuid): row["new"] for table, found in initial.items() for uuid, row in found.items()}
        gone = [self._set(*key, None, None) for key in [*self._digests] if key not in rows]
        found = ((key, row, _digest(row)) for key, row in rows.items())
        return [
            *gone,
            *(self._set(*key, row, digest) for key, row, digest in found if self._digests.get(key) != digest),
        ]

    def _set(self, table: str, uuid: str, new: Row | None, digest: bytes | None) -> RowDifference:
        if digest is None:
            self._digests.pop((table, uuid), None)
        else:
            self._digests[table, uuid] = digest
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


def _digest(row: Row | None) -> bytes | None:
    """Digest of a row; None if it was deleted."""
    if row is None:
        return None
    return hashlib.blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=16).digest()
