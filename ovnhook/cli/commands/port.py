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
    """Manage ports: interfaces of running domains.

    Ports of libvirt domains are created and deleted automatically.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@port.command("list")
@click.option("--subnet", default="", metavar="NAME", shell_complete=complete.SUBNET, help="Filter by subnet.")
@click.option("--host", default="", metavar="NAME", shell_complete=complete.NODE, help="Filter by host.")
@complete.domain_option
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str, **where: str) -> None:
    """List ports.

    UP: whether OVN has bound the port on its host.

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
    """Show the port PORT. Its ID is the iface-id of the tap.

    PORT is a port's ID, MAC address, IP address or domain name. For a domain with several interfaces use DOMAIN/INDEX
    (the first index is 0) or DOMAIN/SUBNET.

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
@click.option("--host", required=True, metavar="NAME", help="Chassis that NAME runs on.")
@click.option("--subnet", default="", metavar="NAME", help="Subnet.  [default: the default subnet]")
@click.option("--isolated", is_flag=True, help="Use an isolated subnet of NAME's own.")
@click.option(
    "--address",
    "addresses",
    metavar="ADDR",
    multiple=True,
    help="IP address; one for each IP version.  [default: allocated]",
)
@click.option("--mac", default="", metavar="MAC", help="MAC address.  [default: derived from NAME]")
@click.option("--hostname", default="", metavar="LABEL", help="Host name in DNS.  [default: NAME]")
@click.option(
    "--allowed-address",
    "allowed_addresses",
    metavar="ADDR",
    multiple=True,
    help="Further source address, network or MAC address that port security allows.",
)
@click.option(
    "--virtual-address",
    "virtual_addresses",
    metavar="ADDR",
    multiple=True,
    help="Address that the port may take over from other ports (VRRP).",
)
@click.option("--no-port-security", "port_security_off", is_flag=True, help="Allow any source address.")
@click.option(
    "--security-group",
    "groups",
    metavar="NAME",
    multiple=True,
    shell_complete=complete.SECURITY_GROUP,
    help="Security group; may be repeated.  [default: those of the subnet]",
)
@click.option("--limit-inbound", default="", metavar="R", help="Rate limit of what it receives, like 100M (bit/s).")
@click.option("--limit-outbound", default="", metavar="R", help="Rate limit of what it sends, like 100M (bit/s).")
@format_option
@click.pass_obj
def create(socket: Path | None, name: str, host: str, format_: str, groups: tuple[str, ...], **interface: Any) -> None:
    """Create a port for a container or an appliance.

    NAME is not a libvirt domain. Plug its interface into the host's integration bridge with the port's ID as iface-id.

    Idempotent: succeeds if an identical port exists.

    \b
    Examples:
      ovnhook port create box --host hv1 --subnet blue
      ovnhook port create box --host hv1 --address 10.1.0.30 --mac 52:54:00:aa:bb:30
      ovnhook port create router --host hv1 --allowed-address 10.9.0.0/24
      ovnhook port create box --host hv1 --security-group web
    """
    if groups:
        interface["security_groups"] = {"names": groups}
    show_one(Client(socket).call("CreatePort", name=name, host=host, interface=interface), format_)


@port.command()
@click.argument("name", metavar="PORT", shell_complete=_CLIENT_PORT)
@click.pass_obj
def delete(socket: Path | None, name: str) -> None:
    """Delete the client port PORT and its lease.

    A client port was created by "ovnhook port create".

    PORT is as in "ovnhook port show".

    \b
    Examples:
      ovnhook port delete box
      ovnhook port delete 0b5c6a0e-4a5c-5d5e-9d7b-1f0f1c2d3e4f
    """
    Client(socket).call("DeletePort", id=name)
