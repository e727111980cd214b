"""Status and control of ovsdb-servers: the database ``_Server`` (ovsdb-server(7)) and ovs-appctl(8)."""

from __future__ import annotations

import errno

import ovs.jsonrpc
import ovs.stream

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.ovsdb.connection import Database, reason, round_trip
from ovnhook.ovsdb.operation import select
from ovnhook.ovsdb.serverstate import ServerStatus

_SERVER = "_Server"  # describes the databases that a server has: ovsdb-server(5)


def server_status(remote: str, database: str, deadline: Deadline) -> ServerStatus:
    """Query the status of one server, over a new connection. Errors are part of the result.

    Args:
        remote: a single remote.
        database: name of the database, such as ``OVN_Northbound``.
        deadline: deadline of the query.
    """
    server = Database(remote, _SERVER)
    columns = ["model", "connected", "leader"]
    try:
        (found,) = server.transact([select("Database", ["name", "==", database], columns=columns)], deadline)
    except OvnhookError as error:
        where = (f"{_SERVER}: {remote}: ", f"{_SERVER} at {remote}: ")
        return ServerStatus(remote, error=error.message.removeprefix(where[0]).removeprefix(where[1]))
    finally:
        server.close()
    if not found:
        return ServerStatus(remote, error=f"does not serve {database}")
    return ServerStatus(remote, model=found[0]["model"], connected=found[0]["connected"], leader=found[0]["leader"])


def cut_connections(socket: str, deadline: Deadline) -> None:
    """Close all connections of a local server, if it runs. Trusted clients reconnect.

    Args:
        socket: control socket of the server (ovs-appctl(8)).
        deadline: deadline of the command.

    Raises:
        Unavailable: the server does not answer.
    """
    _call(socket, "ovsdb-server/reconnect", deadline)


def list_remotes(socket: str, deadline: Deadline) -> list[str]:
    """Remotes on a local server's command line; empty if it does not run.

    Args:
        socket: control socket of the server (ovs-appctl(8)).
        deadline: deadline of the command.

    Raises:
        Unavailable: the server does not answer.
    """
    return _call(socket, "ovsdb-server/list-remotes", deadline).split()


def remove_remote(socket: str, remote: str, deadline: Deadline) -> None:
    """Let a local server close a listener of its command line, with its connections, until the server starts again.

    Args:
        socket: control socket of the server (ovs-appctl(8)).
        remote: remote, as listed.
        deadline: deadline of the command.

    Raises:
        Unavailable: the server does not answer.
    """
    _call(socket, "ovsdb-server/remove-remote", deadline, remote)


def _call(socket: str, command: str, deadline: Deadline, *arguments: str) -> str:
    """Run a command in a local server; return its output, or "" if the server does not run."""
    timeout = int(deadline.remaining * 1000)
    error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(f"unix:{socket}"), timeout=timeout)
    if error in (errno.ENOENT, errno.ECONNREFUSED):
        return ""
    if error:
        raise Unavailable(f"{socket}: {reason(error)}")
    connection = ovs.jsonrpc.Connection(stream)
    reply = round_trip(connection, ovs.jsonrpc.Message.create_request(command, [*arguments]), deadline)
    connection.close()
    if isinstance(reply, int):
        raise Unavailable(f"{socket}: {reason(reply)}")
    return str(reply.result or "")
