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


def _leg(command: Command) -> Command:
    """The options that ``create`` and ``set`` have alike."""
    for option in reversed(
        (
            click.option("--physical-network", metavar="N", help="The network outside, as in ovn-bridge-mappings."),
            click.option("--address", metavar="CIDR", help="The router's address outside, with the network's length."),
            click.option("--next-hop", metavar="ADDR", help="Where all goes that is not inside."),
            click.option("--address6", metavar="CIDR", help="The same for IPv6, beside IPv4 or alone."),
            click.option("--next-hop6", metavar="ADDR", help="Where all IPv6 goes that is not inside."),
            click.option("--vlan", metavar="N", type=int, help="The VLAN on the physical network, 1 to 4094."),
            click.option("--no-snat", is_flag=True, help="Guests go out with their own IPv4 addresses."),
            click.option("--snat6", is_flag=True, help="Guests go out with the router's IPv6 address."),
        )
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.pass_context
def router(context: click.Context) -> None:
    """Routers: they join subnets, and lead outside."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@router.command()
@click.argument("name")
@_leg
@format_option
@click.pass_obj
def create(socket: Path | None, name: str, format_: str, **leg: Any) -> None:
    """Make the router NAME, and show it.

    The router called gateway, which subnets are on unless they name another one, need not be made: it comes with the
    first subnet, or with "router set gateway".

    \b
    Examples:
      ovnhook router create lab
      ovnhook router create lab --physical-network external --address 203.0.113.11/24 --next-hop 203.0.113.1
    """
    given = {setting: value for setting, value in leg.items() if value}
    show_one(Client(socket).call("CreateRouter", router={"name": name, **given}), format_)


@router.command("list")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str) -> None:
    """Show all routers; ACTIVE GATEWAY is the host that takes their traffic outside.

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
    """Show the router NAME, and the hosts that can be its gateway, the preferred one first.

    \b
    Example:
      ovnhook router show gateway
    """
    show_one(Client(socket).call("GetRouter", name=name), format_)


@router.command("set")
@click.argument("name", shell_complete=complete.ROUTER)
@_leg
@click.option("--snat", is_flag=True, help="Guests are seen outside with the router's IPv4 address, as is usual.")
@click.option("--no-snat6", is_flag=True, help="Guests go out with their own IPv6 addresses, as is usual.")
@click.option("--no-vlan", is_flag=True, help="No VLAN on the physical network.")
@click.option("--no-external", is_flag=True, help="No way outside any more.")
@click.option("--force", is_flag=True, help="Also where this cuts a working external connection.")
@format_option
@click.pass_obj
def set_(
    socket: Path | None,
    name: str,
    format_: str,
    snat: bool,
    no_snat6: bool,
    no_vlan: bool,
    no_external: bool,
    force: bool,
    **leg: Any,
) -> None:
    """Change the way outside of the router NAME, and show it. What is not named stays.

    What would cut off guests or floating IPs that use its external gateway now is refused unless it is forced.

    \b
    Examples:
      ovnhook router set gateway --physical-network external --address 203.0.113.10/24 --next-hop 203.0.113.1
      ovnhook router set gateway --address6 2001:db8::10/64 --next-hop6 2001:db8::1
      ovnhook router set gateway --vlan 42
      ovnhook router set gateway --no-external
    """
    values = {setting: value for setting, value in leg.items() if value is not None and value is not False}
    for one, other, both in (
        ("--snat", "--no-snat", snat and "no_snat" in values),
        ("--snat6", "--no-snat6", no_snat6 and "snat6" in values),
        ("--vlan", "--no-vlan", no_vlan and "vlan" in values),
        ("--no-external", "the external settings", no_external and bool(values or snat or no_snat6 or no_vlan)),
    ):
        if both:
            raise click.UsageError(f"{one} and {other} are mutually exclusive")
    paths = [*values, *["no_snat"] * snat, *["snat6"] * no_snat6, *["vlan"] * no_vlan]
    if no_external:
        paths = list(leg)
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
    """Give the way outside of the router NAME to HOST, one of its gateways, and show it.

    For work on a gateway host: traffic goes by another one before it is switched off.

    \b
    Example:
      ovnhook router move gateway gw2
    """
    show_one(Client(socket).call("MoveGateway", name=name, host=host), format_)


@router.command()
@click.argument("name", shell_complete=complete.ROUTER)
@click.pass_obj
def delete(socket: Path | None, name: str) -> None:
    """Delete the router NAME, which no subnet may be on.

    \b
    Example:
      ovnhook router delete lab
    """
    Client(socket).call("DeleteRouter", name=name)
