"""``ovnhook lease``."""

from __future__ import annotations

from pathlib import Path

import click

from ovnhook.api.client import Client
from ovnhook.cli import complete
from ovnhook.cli.output import format_option, show_list, text

_COLUMNS = {
    "SUBNET": lambda row: row["subnet"],
    "ADDRESS": lambda row: row["address"],
    "DOMAIN": lambda row: row["domain_name"],
    "MAC": lambda row: row["mac"],
    "HOSTNAME": lambda row: row["hostname"],
    "HOST": lambda row: row["host"],
    "IN USE": lambda row: text(row["in_use"]),
}


@click.group(invoke_without_command=True)
@click.pass_context
def lease(context: click.Context) -> None:
    """Leases: addresses kept for domains, as long as they are defined."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@lease.command("list")
@click.option("--subnet", default="", metavar="NAME", shell_complete=complete.SUBNET, help="Only those of this subnet.")
@complete.domain_option
@click.option("--host", default="", metavar="NAME", help="Only those of domains that ran on this host last.")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str, **where: str) -> None:
    """Show leases; HOST is where the domain ran last, IN USE says whether it runs.

    \b
    Examples:
      ovnhook lease list
      ovnhook lease list --subnet blue --format json
      ovnhook lease list --domain web1
    """
    show_list(Client(socket).pages("ListLeases", "leases", **where), _COLUMNS, format_)


@lease.command()
@click.argument("address", shell_complete=complete.LEASED)
@click.option(
    "--subnet",
    default="",
    metavar="NAME",
    shell_complete=complete.SUBNET,
    help="The subnet of the address, if you want to be sure.",
)
@click.pass_obj
def release(socket: Path | None, address: str, subnet: str) -> None:
    """Give back ADDRESS, which is kept for a domain that does not run.

    When that domain starts again it gets another one, or the same if it is still free. Instead of the address the
    domain may be named, or an interface as in "ovnhook port show", if only one address is kept for it.

    \b
    Examples:
      ovnhook lease release 10.1.0.20
      ovnhook lease release 10.1.0.20 --subnet blue
      ovnhook lease release web1
    """
    Client(socket).call("ReleaseLease", address=address, subnet=subnet)
