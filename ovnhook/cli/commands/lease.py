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
    """Manage leases: addresses of domains.

    A lease is kept as long as its domain is defined.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@lease.command("list")
@click.option("--subnet", default="", metavar="NAME", shell_complete=complete.SUBNET, help="Filter by subnet.")
@complete.domain_option
@click.option("--host", default="", metavar="NAME", help="Filter by the host that the domain last ran on.")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str, **where: str) -> None:
    """List leases.

    HOST: where the domain last ran. IN USE: whether it is running.

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
    help="Subnet of the address, as a safeguard.",
)
@click.pass_obj
def release(socket: Path | None, address: str, subnet: str) -> None:
    """Release the lease of ADDRESS, whose domain must be shut off.

    At its next start the domain gets a free address, which may be the same. ADDRESS can also be a domain, or an
    interface as in "ovnhook port show", if it has a single lease.

    \b
    Examples:
      ovnhook lease release 10.1.0.20
      ovnhook lease release 10.1.0.20 --subnet blue
      ovnhook lease release web1
    """
    Client(socket).call("ReleaseLease", address=address, subnet=subnet)
