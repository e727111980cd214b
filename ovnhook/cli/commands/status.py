"""``ovnhook status``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ovnhook.api.client import Client, Object
from ovnhook.cli.commands import node
from ovnhook.cli.output import format_option, say, show_list, show_one, text

_PROBLEMS = 8  # exit status: docs/reference/command-line.md

_DATABASES = {
    "DATABASE": lambda row: row["database"],
    "SERVER": lambda row: row["remote"],
    "MODEL": lambda row: text(row["model"]),
    "REACHABLE": lambda row: text(row["reachable"]),
    "CONNECTED": lambda row: text(row["connected"]),
    "LEADER": lambda row: text(row["leader"]),
}
_GATEWAYS = {
    "ROUTER": lambda row: row["router"],
    "PHYSICAL NETWORK": lambda row: row["physical_network"],
    "ACTIVE GATEWAY": lambda row: text(row["active_gateway"]),
    "GATEWAYS": lambda row: text(row["gateways"]),
}
_INIT = (
    "ovnhook node init --all-in-one   set up a single host",
    "ovnhook node init --control      or the first one of several hosts",
)
_SUBNETS = {
    "SUBNET": lambda row: row["subnet"],
    "LEASED": lambda row: f"{row['used']}/{row['capacity']}",
}


@click.command()
@format_option
@click.pass_obj
def status(socket: Path | None, format_: str) -> int:
    """Check the health of the cloud.

    Checks databases, northd, nodes, gateways, subnets and certificates.

    Problems come first, the most severe at the top, each with a hint; then notes on what ends by itself. Each node has
    2 seconds to answer.

    Exit status: 0 (ok), 8 (problems).

    \b
    Examples:
      ovnhook status
      ovnhook status --format json | jq -r '.problems[].what'
    """
    found = Client(socket).call("GetStatus")
    if format_ == "table":
        _show(found)
    else:
        show_one(found, format_)
    return 0 if found["ok"] else _PROBLEMS


def _show(found: Object) -> None:
    for problem in found["problems"]:
        say(f"problem: {problem['what']}")
        say(f"   hint: {problem['hint']}")
    if found["ok"]:
        click.echo("ok")
        for words in _next(found):
            click.echo(f"next: {words}")
    for note in found["notes"]:
        say(f"note: {note}")
    click.echo(f"\nnorthd  {_northd(found['northd'])}")
    for rows, columns in (
        (found["databases"], _DATABASES),
        (found["nodes"], node.COLUMNS),
        (found["gateways"], _GATEWAYS),
        (found["subnets"], _SUBNETS),
    ):
        if rows:
            click.echo()
            show_list(rows, columns, "table")


def _next(found: Object) -> Sequence[str]:
    """Next steps of the set-up, or alternatives, of a cloud without problems."""
    if not found["nodes"] and not found["subnets"]:
        return _INIT
    if not found["nodes"]:
        return ("ovnhook node token NAME   add a host; then there: ovnhook node join",)
    if not found["subnets"]:
        return ("ovnhook subnet create NAME CIDR --default   create the first subnet",)
    return ()


def _northd(northd: Object) -> str:
    if not northd["active"]:
        return "no answer"
    if northd["hosts_ms"] is None:
        return f"answers in {northd['southbound_ms']} ms, not all nodes do"
    return f"answers in {northd['southbound_ms']} ms, all nodes in {northd['hosts_ms']} ms"
