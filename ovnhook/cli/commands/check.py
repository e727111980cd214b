"""``ovnhook check``: asks the agent of this host, not the control service."""

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

_DIFFERS = 8  # the exit status that says so: docs/reference/command-line.md
_HALF = "is this host set up? ovnhook node init, or ovnhook node join; journalctl -u ovnhook-agent"
_PATIENCE = 60.0  # seconds for the answer; each thing to be mended has a few

_COLUMNS = {
    "DOMAIN": lambda row: text(row["domain"]),
    "INTERFACE": lambda row: text(row["interface"]),
    "DIFFERENCE": lambda row: row["difference"],
}
_WOULD = {**_COLUMNS, "REPAIR": lambda row: row["repair"]}
_DONE = {**_COLUMNS, "RESULT": lambda row: row["repair"] if row["repaired"] else f"not repaired: {row['error']}"}


@click.command()
@click.option("--repair", is_flag=True, help="Repair it now, and tell what was done.")
@format_option
def check(*, repair: bool, format_: str) -> int:
    """Show what differs on this hypervisor between libvirt, OVN and Open vSwitch.

    Nothing is touched without --repair. The agent looks by itself, every minute and whenever it has a reason to, and
    mends what it has seen twice; this tells without waiting for that. The exit status is 8 when something differs, or
    could not be mended.

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
    """What the agent answers; what is said is written down in hooks/qemu.

    Raises:
        OvnhookError: the agent is away, or could not look.
    """
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(_PATIENCE)
            agent.connect(str(AGENT_SOCKET))
            with suppress(BrokenPipeError):  # one that is busy has said so, and does not read what it is asked
                agent.sendall(f"{operation} {time.monotonic():f}\n".encode())
                agent.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # likewise, after it has said so
                while part := agent.recv(1 << 16):
                    answer += part
    except PermissionError as error:
        raise OvnhookError(f"agent at {AGENT_SOCKET}: only root may ask it") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(
            f"no agent runs on this host, and it alone can compare: {AGENT_SOCKET}: {error.strerror}",
            "on a hypervisor: systemctl start ovnhook-agent; on a control or gateway host: ovnhook status",
        ) from error
    except OSError as error:
        raise Unavailable(f"agent at {AGENT_SOCKET}: {error}", "journalctl -u ovnhook-agent") from error
    if answer == b"busy\n":
        raise Unavailable("the agent is busy with many requests", "try again; journalctl -u ovnhook-agent")
    try:
        _, code, message = answer.split(b"\n", 2)
        said = json.loads(message)
    except ValueError as error:
        raise Unavailable(
            f"agent at {AGENT_SOCKET}: it ended before it answered", "journalctl -u ovnhook-agent"
        ) from error
    if int(code):
        raise Unavailable(said["message"], said["hint"] or _HALF)
    return list(said)
