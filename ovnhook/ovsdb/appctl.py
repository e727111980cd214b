"""What a server of a database says of itself (ovsdb-server(7), "Database Service Models"; RFC 7047 knows no such)."""

from __future__ import annotations

import errno

import ovs.jsonrpc
import ovs.stream

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.ovsdb.connection import Database, reason, round_trip
from ovnhook.ovsdb.operation import select
from ovnhook.ovsdb.serverstate import Server

_OF_SERVERS = "_Server"  # the database that every server has, of the databases that it serves: ovsdb-server(5)


def ask(remote: str, database: str, deadline: Deadline) -> Server:
    """Ask one server, over a connection of its own; whatever goes wrong is in the answer.

    Args:
        remote: where it is, one alone.
        database: ``OVN_Northbound``.
        deadline: when to give up.
    """
    server = Database(remote, _OF_SERVERS)
    columns = ["model", "connected", "leader"]
    try:
        (found,) = server.transact([select("Database", ["name", "==", database], columns=columns)], deadline)
    except OvnhookError as error:
        where = (f"{_OF_SERVERS}: {remote}: ", f"{_OF_SERVERS} at {remote}: ")
        return Server(remote, error=error.message.removeprefix(where[0]).removeprefix(where[1]))
    finally:
        server.close()
    if not found:
        return Server(remote, error=f"it does not serve {database}")
    return Server(remote, model=found[0]["model"], connected=found[0]["connected"], leader=found[0]["leader"])


def cut_connections(socket: str, deadline: Deadline) -> None:
    """Let a server of this host, if it runs, cut all connections that it has; who is let in comes again.

    Args:
        socket: the server's control socket (ovs-appctl(8)).
        deadline: when to give up.

    Raises:
        Unavailable: it does not answer.
    """
    _tell(socket, "ovsdb-server/reconnect", deadline)


def list_remotes(socket: str, deadline: Deadline) -> list[str]:
    """Where a server of this host listens by its command line; nothing if it does not run.

    Args:
        socket: the server's control socket (ovs-appctl(8)).
        deadline: when to give up.

    Raises:
        Unavailable: it does not answer.
    """
    return _tell(socket, "ovsdb-server/list-remotes", deadline).split()


def _tell(socket: str, command: str, deadline: Deadline) -> str:
    """The answer of a server of this host to a command, or nothing if it does not run."""
    patience = int(deadline.remaining * 1000)
    error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(f"unix:{socket}"), timeout=patience)
    if error in (errno.ENOENT, errno.ECONNREFUSED):
        return ""
    if error:
        raise Unavailable(f"{socket}: {reason(error)}")
    connection = ovs.jsonrpc.Connection(stream)
    reply = round_trip(connection, ovs.jsonrpc.Message.create_request(command, []), deadline)
    connection.close()
    if isinstance(reply, int):
        raise Unavailable(f"{socket}: {reason(reply)}")
    return str(reply.result or "")
