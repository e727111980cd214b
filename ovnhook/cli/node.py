"""``ovnhook node``."""

from __future__ import annotations

from pathlib import Path

import click

from ovnhook.cli import complete
from ovnhook.cli.client import Client, Object
from ovnhook.cli.output import format_option, show_list, show_one, text


def ago(seconds: int | None) -> str:
    """How long ago something was."""
    from ovnhook.health import span

    return "never" if seconds is None else f"{span(seconds)} ago"


COLUMNS = {
    "NAME": lambda row: row["name"],
    "GATEWAY": lambda row: text(row["is_gateway"]),
    "AGENT": lambda row: text(row["agent_version"]),
    "SEEN": lambda row: ago(row["agent_seen"]),
    "BEHIND": lambda row: text(row["ovn_behind"]),
    "UPLINKS DOWN": lambda row: text(row["uplinks_down"]),
    "PORTS": lambda row: text(row["ports"]),
    "ACTIVE FOR": lambda row: text(row["active_for"]),
}


@click.group(invoke_without_command=True)
@click.pass_context
def node(context: click.Context) -> None:
    """Nodes: the hosts that take part in OVN, hypervisors and gateways."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@node.command("list")
@format_option
@click.pass_obj
def list_(socket: Path, format_: str) -> None:
    """Show all nodes.

    SEEN is when the agent told of its host last, BEHIND how many of the changes that were counted ovn-controller
    has yet to carry out, ACTIVE FOR the routers whose way outside the host has.

    \b
    Examples:
      ovnhook node list
      ovnhook node list --format json | jq -r '.[] | select(.is_gateway) | .name'
    """
    show_list(Client(socket).pages("ListNodes", "nodes"), COLUMNS, format_)


@node.command()
@click.argument("name", shell_complete=complete.NODE)
@format_option
@click.pass_obj
def show(socket: Path, name: str, format_: str) -> None:
    """Show the node NAME, which is the system-id of its Open vSwitch.

    \b
    Example:
      ovnhook node show hv1
    """
    found = Client(socket).call("GetNode", name=name)
    if format_ == "table":
        seen = {key: ago(found[key]) for key in ("agent_seen", "ovn_seen")}
        found = {**found, "encapsulations": _tunnels(found), **seen}
    show_one(found, format_)


def _tunnels(row: Object) -> str:
    return text([f"{end['type']} {end['ip']}" for end in row["encapsulations"]])
