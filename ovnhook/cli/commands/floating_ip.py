"""``ovnhook floating-ip``."""

from __future__ import annotations

from pathlib import Path

import click

from ovnhook.api.client import Client
from ovnhook.cli import complete
from ovnhook.cli.output import format_option, show_list, show_one

_COLUMNS = {
    "ADDRESS": lambda row: row["address"],
    "DOMAIN": lambda row: row["domain_name"],
    "MAC": lambda row: row["mac"],
    "INSIDE": lambda row: row["inside"],
    "SUBNET": lambda row: row["subnet"],
    "ROUTER": lambda row: row["router"],
}

_ADDRESS = complete.field("ListFloatingIps", "floating_ips", "address")


@click.group("floating-ip", invoke_without_command=True)
@click.pass_context
def floating_ip(context: click.Context) -> None:
    """Manage floating IPs: 1:1 NAT to interfaces."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@floating_ip.command()
@click.argument("address")
@click.argument("target", metavar="PORT-OR-DOMAIN", shell_complete=complete.LEASED)
@format_option
@click.pass_obj
def create(socket: Path | None, address: str, target: str, format_: str) -> None:
    """Create a floating IP.

    It maps the external address ADDRESS to an interface by 1:1 NAT, and lasts as long as the domain is defined, running
    or not. PORT-OR-DOMAIN is as in "ovnhook port show", or a virtual address.

    Idempotent: succeeds if an identical floating IP exists.

    \b
    Examples:
      ovnhook floating-ip create 203.0.113.20 web1
      ovnhook floating-ip create 203.0.113.21 web2/blue
      ovnhook floating-ip create 203.0.113.22 10.1.0.100
      ovnhook floating-ip create 203.0.113.21 0b5c6a0e-4a5c-5d5e-9d7b-1f0f1c2d3e4f
    """
    show_one(Client(socket).call("CreateFloatingIp", address=address, target=target), format_)


@floating_ip.command("list")
@click.option("--router", default="", metavar="NAME", help="Filter by router.")
@complete.domain_option
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str, **where: str) -> None:
    """List floating IPs.

    \b
    Examples:
      ovnhook floating-ip list
      ovnhook floating-ip list --domain web1
    """
    show_list(Client(socket).pages("ListFloatingIps", "floating_ips", **where), _COLUMNS, format_)


@floating_ip.command()
@click.argument("address", shell_complete=_ADDRESS)
@click.pass_obj
def delete(socket: Path | None, address: str) -> None:
    """Delete floating IP ADDRESS.

    \b
    Example:
      ovnhook floating-ip delete 203.0.113.20
    """
    Client(socket).call("DeleteFloatingIp", address=address)
