"""OVSDB transactions without a replica, so that their cost does not depend on the number of rows."""

from __future__ import annotations

import errno
import logging
import os
import random
import threading
from collections.abc import Sequence
from typing import Any

import ovs.jsonrpc
import ovs.poller
import ovs.stream

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, Conflict, OvnhookError, Unavailable
from ovnhook.ovsdb import characters, poll  # noqa: F401  # both change the library
from ovnhook.ovsdb.operation import Operation, Row
from ovnhook.ovsdb.tls import REFUSED

_log = logging.getLogger(__name__)

# Errors caused by a concurrent change (RFC 7047, section 5.2; transaction.c of OVS).
_CONFLICTS = frozenset({"duplicate uuid", "timed out", "referential integrity violation"})
_SERVER_ERRORS = frozenset({"cluster error", "not owner", "canceled", "I/O error", "resources exhausted"})
_MAX_IDLE = 4  # connections: a server has those of all hosts


class ConstraintViolation(AlreadyExists):
    """Violation of an index of the schema: another row has that name."""


class Database:
    """Thread-safe client of a database on one or several servers (a RAFT cluster).

    Idle connections are pooled. Any server of a cluster will do: the one that answered last is tried first, then the
    others.

    Args:
        remotes: ``unix:/path``, ``tcp:host:port`` or ``ssl:host:port`` (ovnhook.ovsdb.tls), separated by commas.
        name: name of the database, such as ``OVN_Northbound``.
    """

    def __init__(self, remotes: str, name: str) -> None:
        self.remotes = remotes
        self.name = name
        self._order = [remote.strip() for remote in remotes.split(",")]
        random.shuffle(self._order)
        self._idle: list[ovs.jsonrpc.Connection] = []
        self._lock = threading.Lock()

    def transact(self, operations: Sequence[Operation], deadline: Deadline) -> list[list[Row]]:
        """Execute operations as one transaction: all or nothing.

        Example::

            database = Database("unix:/run/ovn/ovnnb_db.sock", "OVN_Northbound")
            key = ["name", "==", "blue"]
            (switches,) = database.transact([select("Logical_Switch", key)], Deadline.after(2.5))

        Args:
            operations: operations, in order.
            deadline: deadline of the transaction.

        Returns:
            the selected rows of each operation; empty for writes.

        Raises:
            Conflict: a row to insert exists, or a `require` failed. Nothing was written.
            ConstraintViolation: an index of the schema forbids it. Nothing was written.
            Unavailable: no server answered in time. The transaction may have been committed. With several servers there
                is time left for a retry with another one.

        The request may be sent twice if a reused connection breaks: inserts without a chosen UUID must check for
        existing rows.
        """
        request = ovs.jsonrpc.Message.create_request("transact", [self.name, *operations])
        while True:
            # A process that was suspended must not write late.
            deadline.check(f"{self.name} at {self.remotes}")
            # A silent server must leave time for the others.
            timeout = deadline.half(deadline.remaining) if len(self._order) > 1 else deadline
            with deadline.waiting(self.name):
                connection, was_idle = self._connection(deadline)
                reply = round_trip(connection, request, timeout)
            if not isinstance(reply, int):
                break
            self._discard(connection)
            if was_idle and reply != errno.ETIMEDOUT:
                continue  # a stale connection, after a network failure
            spent = deadline.time_spent() if reply == errno.ETIMEDOUT else ""
            raise Unavailable(f"{self.name} at {self.remotes}: {reason(reply)}{spent}")
        self._release(connection)
        if reply.type == ovs.jsonrpc.Message.T_ERROR:
            raise Unavailable(f"{self.name} at {self.remotes}: {reply.error}")
        return [_rows(result, self.name) for result in reply.result]

    def keep_alive(self) -> bool:
        """Answer the server's inactivity probes on idle connections, and close broken ones.

        A daemon calls this every few seconds; otherwise the server drops its connections.

        Returns:
            True if a connection was broken: the database may have been restarted or replaced.
        """
        with self._lock:
            idle, self._idle = self._idle, []
        alive = [connection for connection in idle if _is_alive(connection)]
        for connection in alive:
            self._release(connection)
        return len(alive) < len(idle)

    def _discard(self, connection: ovs.jsonrpc.Connection) -> None:
        """Close a broken connection and idle ones to the same server, and try that server last."""
        with self._lock:
            same = [idle for idle in self._idle if idle.name == connection.name]
            self._idle = [idle for idle in self._idle if idle.name != connection.name]
            self._order.sort(key=lambda remote: remote == connection.name)
        for one in (connection, *same):
            one.close()

    def _release(self, connection: ovs.jsonrpc.Connection) -> None:
        """Return a connection to the pool, or close it if the pool is full."""
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connection(self, deadline: Deadline) -> tuple[ovs.jsonrpc.Connection, bool]:
        """Get a connection, and whether it is a reused one."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if _is_alive(connection):
                return connection, True
        failures: list[str] = []
        for remote in list(self._order):
            # A silent server must leave time for the others.
            timeout = deadline.remaining / (len(self._order) - len(failures))
            try:
                opened = ovs.stream.Stream.open(remote)
            except (ValueError, OverflowError) as wrong:  # ovn-remote may be anything
                failures.append(f"{remote}: {wrong}")
                continue
            error, stream = ovs.stream.Stream.open_block(opened, timeout=int(timeout * 1000))
            if not error:
                with self._lock:
                    self._order.sort(key=lambda other: other != remote)
                return ovs.jsonrpc.Connection(stream), False
            failures.append(f"{remote}: {reason(error)}")
        raise Unavailable(f"{self.name}: {'; '.join(failures)}")


def round_trip(
    connection: ovs.jsonrpc.Connection, request: ovs.jsonrpc.Message, deadline: Deadline
) -> ovs.jsonrpc.Message | int:
    """Send a request; return the reply, or an errno."""
    error: int = connection.send(request)
    while not error:
        connection.run()
        error, message = connection.recv()
        if error == errno.EAGAIN:
            if not deadline.remaining:
                return errno.ETIMEDOUT
            poller = ovs.poller.Poller()
            connection.wait(poller)
            connection.recv_wait(poller)
            poller.timer_wait(int(deadline.remaining * 1000) + 1)
            poller.block()
            error = 0
        elif not error and message.id == request.id and message.type != ovs.jsonrpc.Message.T_REQUEST:
            return message
        elif not error:
            _answer_probe(connection, message)
    return error


def _is_alive(connection: ovs.jsonrpc.Connection) -> bool:
    """Process messages received on an idle connection; return False if it is broken."""
    while True:
        error, message = connection.recv()
        if error == errno.EAGAIN:
            return True
        if error:
            connection.close()
            return False
        _answer_probe(connection, message)


def _answer_probe(connection: ovs.jsonrpc.Connection, message: ovs.jsonrpc.Message) -> None:
    if message.type == ovs.jsonrpc.Message.T_REQUEST and message.method == "echo":
        connection.send(ovs.jsonrpc.Message.create_reply(message.params, message.id))


def _rows(result: Any, database: str) -> list[Row]:
    """Rows of one operation's result. Raises its error, if any."""
    if result is None:  # not executed: an operation before it failed
        return []
    error = result.get("error")
    if not error:
        return list(result.get("rows", []))
    message = f"{database}: {error}: {result.get('details', '')}"
    if error in _CONFLICTS:
        raise Conflict(message)
    if error == "constraint violation":
        raise ConstraintViolation(message)
    if error in _SERVER_ERRORS:
        raise Unavailable(message)
    raise OvnhookError(message)


def reason(error: int) -> str:
    """Describe an errno of a connection."""
    if error == ovs.jsonrpc.EOF:
        return "the server closed the connection"
    if error == errno.ETIMEDOUT:
        return "no answer in time"
    if error == REFUSED:
        return "TLS failed: the server's certificate is not signed by database_ca, or it rejects database_certificate"
    return os.strerror(error)
