"""``ovnhook router``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ovnhook.api.client import Client
from ovnhook.cli import complete
from ovnhook.cli.output import format_option, show_list, show_one, text

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = {
    "NAME": lambda row: row["name"],
    "SUBNETS": lambda row: text(row["subnets"]),
    "PHYSICAL NETWORK": lambda row: text(row["physical_network"]),
    "ADDRESS": lambda row: text([*filter(None, (row["address"], row["address6"]))]),
    "NEXT HOP": lambda row: text([*filter(None, (row["next_hop"], row["next_hop6"]))]),
    "ACTIVE GATEWAY": lambda row: text(row["active_gateway"]),
}


def _external_options(command: Command) -> Command:
    """Add the options of the external gateway, which ``create`` and ``set`` share."""
    for option in reversed(
        (
            click.option("--physical-network", metavar="N", help="As in ovn-bridge-mappings; host: NAT by the host."),
            click.option("--address", metavar="CIDR", help="External IPv4 address, with prefix length."),
            click.option("--next-hop", metavar="ADDR", help="IPv4 default gateway on the external network."),
            click.option("--address6", metavar="CIDR", help="External IPv6 address, with prefix length."),
            click.option("--next-hop6", metavar="ADDR", help="IPv6 default gateway on the external network."),
            click.option("--vlan", metavar="N", type=int, help="VLAN ID on the physical network, 1 to 4094."),
            click.option("--no-snat", is_flag=True, help="Disable IPv4 SNAT."),
            click.option("--snat6", is_flag=True, help="Enable IPv6 SNAT."),
            click.option("--limit-inbound", metavar="R", help="Rate limit from outside, like 1G (bit/s)."),
            click.option("--limit-outbound", metavar="R", help="Rate limit to outside, like 1G (bit/s)."),
        )
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.pass_context
def router(context: click.Context) -> None:
    """Manage routers and their external gateways."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@router.command()
@click.argument("name")
@_external_options
@format_option
@click.pass_obj
def create(socket: Path | None, name: str, format_: str, **external: Any) -> None:
    """Create the router NAME.

    The default router, gateway, is created with the first subnet or by "ovnhook router set gateway".

    With the physical network host, gateway hosts masquerade the guests' traffic and route it to their own default
    gateway. The addresses between router and host are chosen.

    Idempotent: succeeds if an identical router exists.

    \b
    Examples:
      ovnhook router create lab
      ovnhook router create lab --physical-network host
      ovnhook router create lab --physical-network external --address 203.0.113.11/24 --next-hop 203.0.113.1
    """
    given = {setting: value for setting, value in external.items() if value}
    show_one(Client(socket).call("CreateRouter", router={"name": name, **given}), format_)


@router.command("list")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str) -> None:
    """List routers.

    ACTIVE GATEWAY: the host that forwards the external traffic.

    \b
    Example:
      ovnhook router list
    """
    show_list(Client(socket).pages("ListRouters", "routers"), _COLUMNS, format_)


@router.command()
@click.argument("name", shell_complete=complete.ROUTER)
@format_option
@click.pass_obj
def show(socket: Path | None, name: str, format_: str) -> None:
    """Show the router NAME, with its gateway hosts by priority.

    \b
    Example:
      ovnhook router show gateway
    """
    show_one(Client(socket).call("GetRouter", name=name), format_)


@router.command("set")
@click.argument("name", shell_complete=complete.ROUTER)
@_external_options
@click.option("--snat", is_flag=True, help="Enable IPv4 SNAT (default).")
@click.option("--no-snat6", is_flag=True, help="Disable IPv6 SNAT (default).")
@click.option("--no-vlan", is_flag=True, help="Remove the VLAN ID.")
@click.option("--no-limit-inbound", is_flag=True, help="Remove the rate limit from outside.")
@click.option("--no-limit-outbound", is_flag=True, help="Remove the rate limit to outside.")
@click.option("--no-external", is_flag=True, help="Remove the external gateway.")
@click.option("--force", is_flag=True, help="Apply even if this disrupts a working external connection.")
@format_option
@click.pass_obj
def set_(
    socket: Path | None,
    name: str,
    format_: str,
    snat: bool,
    no_snat6: bool,
    no_vlan: bool,
    no_limit_inbound: bool,
    no_limit_outbound: bool,
    no_external: bool,
    force: bool,
    **external: Any,
) -> None:
    """Set the external gateway of the router NAME.

    Other settings stay. A change that disrupts guests or floating IPs that use the gateway is refused without --force.

    \b
    Examples:
      ovnhook router set gateway --physical-network external --address 203.0.113.10/24 --next-hop 203.0.113.1
      ovnhook router set gateway --address6 2001:db8::10/64 --next-hop6 2001:db8::1
      ovnhook router set gateway --vlan 42
      ovnhook router set gateway --limit-inbound 1G --limit-outbound 500M
      ovnhook router set gateway --physical-network host
      ovnhook router set gateway --no-external
    """
    values = {setting: value for setting, value in external.items() if value is not None and value is not False}
    flags = {
        "no_snat": snat,
        "snat6": no_snat6,
        "vlan": no_vlan,
        "limit_inbound": no_limit_inbound,
        "limit_outbound": no_limit_outbound,
    }
    cleared = [setting for setting, is_given in flags.items() if is_given]
    for one, other, both in (
        ("--snat", "--no-snat", snat and "no_snat" in values),
        ("--snat6", "--no-snat6", no_snat6 and "snat6" in values),
        ("--vlan", "--no-vlan", no_vlan and "vlan" in values),
        ("--limit-inbound", "--no-limit-inbound", no_limit_inbound and "limit_inbound" in values),
        ("--limit-outbound", "--no-limit-outbound", no_limit_outbound and "limit_outbound" in values),
        ("--no-external", "the external settings", no_external and bool(values or cleared)),
    ):
        if both:
            raise click.UsageError(f"{one} and {other} are mutually exclusive")
    paths = [*values, *cleared]
    if no_external:
        paths = list(external)
    if not paths:
        raise click.UsageError("nothing to set")
    asked = {"name": name, **values}
    show_one(Client(socket).call("UpdateRouter", router=asked, update_mask={"paths": paths}, force=force), format_)


@router.command()
@click.argument("name", shell_complete=complete.ROUTER)
@click.argument("host", shell_complete=complete.NODE)
@format_option
@click.pass_obj
def move(socket: Path | None, name: str, host: str, format_: str) -> None:
    """Move the gateway of the router NAME to HOST.

    HOST is another one of its gateway hosts.

    For planned maintenance: another host takes over the traffic before this one is shut down.

    \b
    Example:
      ovnhook router move gateway gw2
    """
    show_one(Client(socket).call("MoveGateway", name=name, host=host), format_)


@router.command()
@click.argument("name", shell_complete=complete.ROUTER)
@click.pass_obj
def delete(socket: Path | None, name: str) -> None:
    """Delete the router NAME.

    Refused while it has subnets.

    \b
    Example:
      ovnhook router delete lab
    """
    Client(socket).call("DeleteRouter", name=name)
