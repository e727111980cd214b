"""``ovnhook check``: a client of this host's agent, not of the control service."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from typing import Any

import click

from ovnhook.base.config import AGENT_SOCKET
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.cli.output import format_option, show_list, text

_DIFFERS = 8  # exit status: docs/reference/command-line.md
_INCOMPLETE = "is this host set up? ovnhook node init, or ovnhook node join; journalctl -u ovnhook-agent"
_TIMEOUT = 60.0  # seconds, including all repairs

_COLUMNS = {
    "DOMAIN": lambda row: text(row["domain"]),
    "INTERFACE": lambda row: text(row["interface"]),
    "DIFFERENCE": lambda row: row["difference"],
}
_WOULD = {**_COLUMNS, "REPAIR": lambda row: row["repair"]}
_DONE = {**_COLUMNS, "RESULT": lambda row: row["repair"] if row["repaired"] else f"not repaired: {row['error']}"}


@click.command()
@click.option("--repair", is_flag=True, help="Repair differences now.")
@format_option
def check(*, repair: bool, format_: str) -> int:
    """Compare libvirt, OVN and Open vSwitch on this host.

    Lists the differences, and rules of other firewalls that drop guests' packets; read-only without --repair. The agent
    also compares every minute and after failures, and repairs a difference that two scans in a row have found.

    Exit status: 0 (no differences, or all repaired), 8 (differences).

    \b
    Examples:
      ovnhook check
      ovnhook check --repair
      ovnhook check --format json | jq -r '.[].difference'
    """
    found = _ask("repair" if repair else "check")
    if found or format_ != "table":
        show_list(found, _DONE if repair else _WOULD, format_)
    else:
        click.echo("nothing differs")
    return _DIFFERS if any(not row["repaired"] for row in found) else 0


def _ask(operation: str) -> list[dict[str, Any]]:
    """Call the agent; the protocol is described in hooks/qemu.

    Raises:
        OvnhookError: the agent is not running, or the check failed.
    """
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(_TIMEOUT)
            agent.connect(str(AGENT_SOCKET))
            with suppress(BrokenPipeError):  # a busy agent replies without reading the request
                agent.sendall(f"{operation} {time.monotonic():f}\n".encode())
                agent.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # likewise, after its reply
                while part := agent.recv(1 << 16):
                    answer += part
    except PermissionError as error:
        raise OvnhookError(f"agent at {AGENT_SOCKET}: permission denied: only root may connect") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(
            f"no agent runs on this host: {AGENT_SOCKET}: {error.strerror}",
            "on a hypervisor: systemctl start ovnhook-agent; on a control or gateway host: ovnhook status",
        ) from error
    except OSError as error:
        raise Unavailable(f"agent at {AGENT_SOCKET}: {error}", "journalctl -u ovnhook-agent") from error
    if answer == b"busy\n":
        raise Unavailable("the agent is busy: too many requests", "try again; journalctl -u ovnhook-agent")
    try:
        _, code, message = answer.split(b"\n", 2)
        said = json.loads(message)
    except ValueError as error:
        raise Unavailable(
            f"agent at {AGENT_SOCKET}: connection closed before the reply", "journalctl -u ovnhook-agent"
        ) from error
    if int(code):
        raise Unavailable(said["message"], said["hint"] or _INCOMPLETE)
    return list(said)
