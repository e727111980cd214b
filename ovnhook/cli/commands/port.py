"""``ovnhook port``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ovnhook.api.client import Client, Object
from ovnhook.cli import complete
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


def _names(row: Object) -> list[str]:
    """The names of a port."""
    domain = row["domain_name"]
    return [domain, f"{domain}/{row['subnet']}", row["mac"], *row["addresses"], row["id"]]


_PORT = complete.names("ListPorts", "ports", _names)
_CLIENT_PORT = complete.names("ListPorts", "ports", lambda row: _names(row) if row["kept_by"] == "client" else [])


@click.group(invoke_without_command=True)
@click.pass_context
def port(context: click.Context) -> None:
    """Ports: the interfaces of running domains.

    Those of libvirt's domains come and go by themselves.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@port.command("list")
@click.option("--subnet", default="", metavar="NAME", shell_complete=complete.SUBNET, help="Only those on this subnet.")
@click.option("--host", default="", metavar="NAME", shell_complete=complete.NODE, help="Only those on this host.")
@complete.domain_option
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str, **where: str) -> None:
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
@click.argument("name", metavar="PORT", shell_complete=_PORT)
@format_option
@click.pass_obj
def show(socket: Path | None, name: str, format_: str) -> None:
    """Show a port; its ID is the iface-id of the tap.

    PORT is its ID, its MAC address, an address of it or its domain's name. Where the domain has several interfaces it
    is DOMAIN/INDEX, the first index being 0, or DOMAIN/SUBNET.

    \b
    Examples:
      ovnhook port show web1
      ovnhook port show web1/blue
      ovnhook port show 52:54:00:aa:bb:01
      ovnhook port show 0b5c6a0e-4a5c-5d5e-9d7b-1f0f1c2d3e4f
    """
    show_one(Client(socket).call("GetPort", id=name), format_)


@port.command()
@click.argument("name")
@click.option("--host", required=True, metavar="NAME", help="The chassis that NAME runs on.")
@click.option("--subnet", default="", metavar="NAME", help="The subnet. Without it: the default one.")
@click.option("--isolated", is_flag=True, help="A subnet of NAME's own, which others are kept from.")
@click.option("--address", "addresses", metavar="ADDR", multiple=True, help="An address; one of each IP version.")
@click.option("--mac", default="", metavar="MAC", help="The MAC address. Without it one that NAME always has.")
@click.option("--hostname", default="", metavar="LABEL", help="Its name in DNS. Without it NAME.")
@format_option
@click.pass_obj
def create(socket: Path | None, name: str, host: str, format_: str, **interface: Any) -> None:
    """Make a port for NAME, which is none of libvirt's domains, and show it.

    What is then plugged into the host's integration bridge with the port's id as its iface-id is on the network.

    \b
    Examples:
      ovnhook port create box --host hv1 --subnet blue
      ovnhook port create box --host hv1 --address 10.1.0.30 --mac 52:54:00:aa:bb:30
    """
    show_one(Client(socket).call("CreatePort", name=name, host=host, interface=interface), format_)


@port.command()
@click.argument("name", metavar="PORT", shell_complete=_CLIENT_PORT)
@click.pass_obj
def delete(socket: Path | None, name: str) -> None:
    """Delete a port that "port create" made, with its lease.

    PORT is as in "ovnhook port show".

    \b
    Examples:
      ovnhook port delete box
      ovnhook port delete 0b5c6a0e-4a5c-5d5e-9d7b-1f0f1c2d3e4f
    """
    Client(socket).call("DeletePort", id=name)
