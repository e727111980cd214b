"""``ovnhook port``."""

from __future__ import annotations

from pathlib import Path

import click

from ovnhook.cli.client import Client
from ovnhook.cli.output import format_option, show_list, show_one, text

_COLUMNS = {
    "ID": lambda row: row["id"],
    "DOMAIN": lambda row: row["domain_name"],
    "MAC": lambda row: row["mac"],
    "SUBNET": lambda row: row["subnet"],
    "ADDRESS": lambda row: text(row["addresses"]),
    "HOST": lambda row: row["host"],
    "UP": lambda row: text(row["up"]),
}


@click.group(invoke_without_command=True)
@click.pass_context
def port(context: click.Context) -> None:
    """Ports: the interfaces of running domains."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@port.command("list")
@click.option("--subnet", default="", metavar="NAME", help="Only those on this subnet.")
@click.option("--host", default="", metavar="NAME", help="Only those on this host.")
@click.option("--domain", default="", metavar="NAME", help="Only those of this domain, by name or UUID.")
@format_option
@click.pass_obj
def list_(socket: Path, format_: str, **where: str) -> None:
    """Show ports; UP says whether OVN has bound it on its host.

    \b
    Examples:
      ovnhook port list
      ovnhook port list --subnet blue --host hv1
      ovnhook port list --domain web1
      ovnhook port list --format json | jq '.[] | select(.up | not)'
    """
    show_list(Client(socket).pages("ListPorts", "ports", **where), _COLUMNS, format_)


@port.command()
@click.argument("id_", metavar="ID")
@format_option
@click.pass_obj
def show(socket: Path, id_: str, format_: str) -> None:
    """Show the port ID, which is the iface-id of the tap.

    \b
    Example:
      ovnhook port show 0b5c6a0e-4a5c-5d5e-9d7b-1f0f1c2d3e4f
    """
    show_one(Client(socket).call("GetPort", id=id_), format_)
