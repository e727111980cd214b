"""Plain transactions with an OVSDB server: no replica, so the cost does not depend on the number of rows."""

from __future__ import annotations

import errno
import ipaddress
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
from ovnhook.ovsdb import poll  # noqa: F401  # for what it puts in place
from ovnhook.ovsdb.operation import Operation, Row
from ovnhook.ovsdb.tls import REFUSED

_log = logging.getLogger(__name__)

# What ovsdb-server calls the errors that mean "somebody was faster" (RFC 7047, section 5.2; transaction.c of OVS).
_RACES = frozenset({"duplicate uuid", "timed out", "referential integrity violation"})
_MOST_IDLE = 4  # connections: a server has those of all hosts

_SERVER_TROUBLE = frozenset({"cluster error", "not owner", "canceled", "I/O error", "resources exhausted"})


class ConstraintViolation(AlreadyExists):
    """An index of the schema forbids the transaction: somebody else's row has that name."""


class Database:
    """A database behind one or several servers (a RAFT cluster), for any number of threads.

    Connections are kept open between transactions. Any server of a cluster serves; the one that answered last is asked
    first, and another one when it does not answer.

    Args:
        remotes: ``unix:/path``, ``tcp:host:port``, ``ssl:host:port`` (ovnhook.ovsdb.tls), several of them separated by
            commas.
        name: of the database: ``OVN_Northbound``, ``Open_vSwitch``.
    """

    def __init__(self, remotes: str, name: str) -> None:
        self.remotes = remotes
        self.name = name
        self._order = [remote.strip() for remote in remotes.split(",")]
        random.shuffle(self._order)
        self._idle: list[ovs.jsonrpc.Connection] = []
        self._lock = threading.Lock()

    def transact(self, operations: Sequence[Operation], deadline: Deadline) -> list[list[Row]]:
        """Carry out the operations as one transaction: all of them or none.

        Args:
            operations: in order.
            deadline: when to give up.

        Returns:
            for each operation the rows it selected (empty for the writing ones).

        Raises:
            Conflict: a row to be made exists, or a required one is not as required. Nothing was written.
            ConstraintViolation: an index of the schema forbids it. Nothing was written.
            Unavailable: no server answered in time. It may or may not have been written. Where there are several there
                is time left to try again with another one.

        It may be sent twice, if a connection that was used before ends: whoever makes rows whose UUIDs are not chosen
        has to look whether they are there.
        """
        request = ovs.jsonrpc.Message.create_request("transact", [self.name, *operations])
        while True:
            # A process that was stopped must not write when it goes on.
            deadline.check(f"{self.name} at {self.remotes}")
            # One server that is silent must leave time for the others.
            patience = deadline.half(deadline.remaining) if len(self._order) > 1 else deadline
            with deadline.waiting(self.name):
                connection, was_idle = self._connection(deadline)
                reply = round_trip(connection, request, patience)
            if not isinstance(reply, int):
                break
            self._give_up(connection)
            if was_idle and reply != errno.ETIMEDOUT:
                continue  # it had ended before, and nobody could know: the network was away
            spent = deadline.time_spent() if reply == errno.ETIMEDOUT else ""
            raise Unavailable(f"{self.name} at {self.remotes}: {reason(reply)}{spent}")
        self._keep(connection)
        if reply.type == ovs.jsonrpc.Message.T_ERROR:
            raise Unavailable(f"{self.name} at {self.remotes}: {reply.error}")
        return [_rows(result, self.name) for result in reply.result]

    def tend(self) -> bool:
        """Answer the keep-alive probes that came in over idle connections, and close those that ended.

        Called every few seconds by a process that lives on; the server drops a connection that is silent.

        Returns:
            whether one had ended: the database may have been away, or be another one now.
        """
        with self._lock:
            idle, self._idle = self._idle, []
        alive = [connection for connection in idle if _is_alive(connection)]
        for connection in alive:
            self._keep(connection)
        return len(alive) < len(idle)

    def _give_up(self, connection: ovs.jsonrpc.Connection) -> None:
        """Close a connection of no use, and those to the same server; ask another one the next time."""
        with self._lock:
            same = [idle for idle in self._idle if idle.name == connection.name]
            self._idle = [idle for idle in self._idle if idle.name != connection.name]
            self._order.sort(key=lambda remote: remote == connection.name)
        for one in (connection, *same):
            one.close()

    def _keep(self, connection: ovs.jsonrpc.Connection) -> None:
        """Keep a connection for the next transaction, where there are not enough of them."""
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
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
        """A connection, and whether it was used before."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if _is_alive(connection):
                return connection, True
        failures: list[str] = []
        for remote in list(self._order):
            # One server that is silent must leave time for the others.
            patience = deadline.remaining / (len(self._order) - len(failures))
            try:
                opened = ovs.stream.Stream.open(remote)
            except (ValueError, OverflowError) as wrong:  # ovn-remote may be anything
                failures.append(f"{remote}: {wrong}")
                continue
            error, stream = ovs.stream.Stream.open_block(opened, timeout=int(patience * 1000))
            if not error:
                with self._lock:
                    self._order.sort(key=lambda other: other != remote)
                return ovs.jsonrpc.Connection(stream), False
            failures.append(f"{remote}: {reason(error)}")
        raise Unavailable(f"{self.name}: {'; '.join(failures)}")


def is_address(remote: str) -> bool:
    """Whether a remote is a socket or an IP address with a port: a name would be looked up, whatever the deadline."""
    kind, _, where = remote.strip().partition(":")
    host, _, port = where.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return kind == "unix"
    return port.isdecimal()


def round_trip(
    connection: ovs.jsonrpc.Connection, request: ovs.jsonrpc.Message, deadline: Deadline
) -> ovs.jsonrpc.Message | int:
    """The reply to a request, or the error number of what went wrong."""
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
    """Read what came in while the connection was idle; whether it can be used on."""
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
    """The rows of one operation's result; raises what its error means."""
    if result is None:  # an operation after one that failed, which says why
        return []
    error = result.get("error")
    if not error:
        return list(result.get("rows", []))
    said = f"{database}: {error}: {result.get('details', '')}"
    if error in _RACES:
        raise Conflict(said)
    if error == "constraint violation":
        raise ConstraintViolation(said)
    if error in _SERVER_TROUBLE:
        raise Unavailable(said)
    raise OvnhookError(said)


def reason(error: int) -> str:
    """An error number of a connection, in words."""
    if error == ovs.jsonrpc.EOF:
        return "the server closed the connection"
    if error == errno.ETIMEDOUT:
        return "no answer in time"
    if error == REFUSED:
        return "TLS failed: the server's certificate is not of database_ca, or it refuses database_certificate"
    return os.strerror(error)
