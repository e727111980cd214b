"""``ovnhook subnet``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from ovnhook.api.client import Client, Object
from ovnhook.base.errors import OvnhookError
from ovnhook.base.text import visible
from ovnhook.cli import complete
from ovnhook.cli.output import format_option, show_list, show_one, text

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = {
    "NAME": lambda row: row["name"],
    "CIDR": lambda row: " ".join(filter(None, (row["cidr"], row["cidr6"]))),
    "GATEWAY": lambda row: row["gateway"],
    "ROUTER": lambda row: text(row["router"]),
    "DNS": lambda row: text(row["dns"]),
    "DOMAIN": lambda row: text(row["dns_domain"]),
    "MTU": lambda row: str(row["mtu"]),
    "USED": lambda row: f"{row['used']}/{row['capacity']}",
    "DEFAULT": lambda row: text(row["default"]),
    "ISOLATED": lambda row: text(row["isolated"]),
}

_BOOT = ("boot_server", "boot_file", "ipxe")
_OPTIONS = {
    "ranges": "range",
    "dns_domain": "domain",
    "routes": "route",
    "extra_dhcp_options": "dhcp_option",
    "security_groups": "security_group",
}
"""Settings whose option has another name."""


class _Duration(click.ParamType):
    """A duration in seconds, minutes, hours or days: ``90s``, ``30m``, ``12h``, ``7d``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        found = re.fullmatch("([1-9][0-9]{0,5})([smhd]?)", value, re.ASCII)
        if not found:
            self.fail(f"'{value}' is not a duration like 90s, 30m, 12h or 7d", param, ctx)
        return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]


def _settings(command: Command) -> Command:
    """Add the options that ``create`` and ``set`` share."""
    for option in reversed(
        (
            click.option("--cidr6", metavar="CIDR", help="IPv6 network, in addition to IPv4."),
            click.option("--default", is_flag=True, help="Make it the default subnet."),
            click.option(
                "--gateway",
                metavar="ADDR",
                help="Gateway address: the router's, by which guests have routes.  [default: the first]",
            ),
            click.option(
                "--router",
                metavar="NAME",
                shell_complete=complete.ROUTER,
                help="Router of the subnet.  [default: gateway]",
            ),
            click.option("--no-router", is_flag=True, help="Connect to no router: guests have no routes."),
            click.option("--isolated", is_flag=True, help="Block traffic to and from the router's other subnets."),
            click.option(
                "--dns",
                metavar="ADDR",
                multiple=True,
                help="DNS server for guests, instead of the resolver; may be repeated.",
            ),
            click.option("--domain", "dns_domain", metavar="NAME", help="DNS domain of guests."),
            click.option(
                "--range",
                "ranges",
                metavar="FIRST-LAST",
                multiple=True,
                help="Range of dynamic addresses; may be repeated.  [default: the whole subnet]",
            ),
            click.option("--search", metavar="DOMAIN", multiple=True, help="Search domain; may be repeated."),
            click.option(
                "--route",
                "routes",
                metavar="CIDR=ADDR",
                multiple=True,
                help="Static route of guests; may be repeated.",
            ),
            click.option(
                "--lease-time",
                metavar="T",
                type=_Duration(),
                help="DHCP lease time, like 30m or 12h.  [default: 1h]",
            ),
            click.option("--boot-server", metavar="ADDR", help="TFTP server that guests boot from."),
            click.option("--boot-file", metavar="FILE", help="Path of the boot file on it."),
            click.option("--ipxe", metavar="URL", help="URL that iPXE boots instead of the boot file."),
            click.option(
                "--dhcp-option",
                "extra_dhcp_options",
                metavar="NAME=VALUE",
                multiple=True,
                help="Further DHCP option, like ntp_server=192.0.2.123; may be repeated.",
            ),
            click.option(
                "--security-group",
                "security_groups",
                metavar="NAME",
                multiple=True,
                shell_complete=complete.SECURITY_GROUP,
                help="Security group of interfaces that name none; may be repeated.",
            ),
            click.option(
                "--limit-inbound", metavar="R", help="Rate limit of what each guest receives, like 100M (bit/s)."
            ),
            click.option(
                "--limit-outbound", metavar="R", help="Rate limit of what each guest sends, like 100M (bit/s)."
            ),
            click.option("--mtu", metavar="N", type=int, help="MTU of guests.  [default: maximum of the underlay]"),
        )
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.pass_context
def subnet(context: click.Context) -> None:
    """Manage subnets: logical switches with DHCP."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@subnet.command()
@click.argument("name")
@click.argument("cidr")
@_settings
@format_option
@click.pass_obj
def create(socket: Path | None, name: str, cidr: str, format_: str, **settings: Any) -> None:
    """Create the subnet NAME with network CIDR.

    Idempotent: succeeds if an identical subnet exists.

    \b
    Examples:
      ovnhook subnet create blue 10.1.0.0/24 --default
      ovnhook subnet create green 10.2.0.0/24 --dns 10.2.0.53 --domain lab.example
      ovnhook subnet create both 10.4.0.0/24 --cidr6 fd00:4::/64
      ovnhook subnet create six fd00:6::/64
      ovnhook subnet create red 10.3.0.0/16 --range 10.3.1.0-10.3.1.255 --gateway 10.3.255.254
    """
    given = {setting: value for setting, value in _without_router(settings).items() if value or setting == "router"}
    client = Client(socket)
    _show(client.call("CreateSubnet", subnet={"name": name, "cidr": cidr, **given}), format_)
    with suppress(OvnhookError):  # the subnet has been created
        _warn_of_foreign_networks(name, client.pages("ListNodes", "nodes"))


def _warn_of_foreign_networks(name: str, nodes: Iterable[dict[str, Any]]) -> None:
    """Warn if a libvirt network of another origin has the name of a new subnet."""
    hosts = [visible(node["name"]) for node in nodes if name in node["foreign_networks"]]
    if hosts:
        click.echo(f"warning: libvirt network '{name}' is not subnet {name} on {', '.join(hosts)}", err=True)
        click.echo(f"hint: rename one of them, or 'virsh net-undefine {name}'", err=True)


@subnet.command("list")
@click.option("--router", default="", metavar="NAME", help="Filter by router.")
@format_option
@click.pass_obj
def list_(socket: Path | None, router: str, format_: str) -> None:
    """List subnets.

    USED: leased addresses, and size of the dynamic ranges.

    \b
    Examples:
      ovnhook subnet list
      ovnhook subnet list --router lab
      ovnhook subnet list --format json | jq -r '.[].name'
    """
    show_list(Client(socket).pages("ListSubnets", "subnets", router=router), _COLUMNS, format_)


@subnet.command()
@click.argument("name", shell_complete=complete.SUBNET)
@format_option
@click.pass_obj
def show(socket: Path | None, name: str, format_: str) -> None:
    """Show the subnet NAME.

    \b
    Examples:
      ovnhook subnet show blue
      ovnhook subnet show blue --format yaml
    """
    _show(Client(socket).call("GetSubnet", name=name), format_)


@subnet.command("set")
@click.argument("name", shell_complete=complete.SUBNET)
@_settings
@click.option("--no-cidr6", is_flag=True, help="Remove IPv6.")
@click.option("--no-gateway", is_flag=True, help="Reset the gateway address to the first one.")
@click.option("--no-isolated", is_flag=True, help="Allow traffic to and from the router's other subnets.")
@click.option("--no-dns", is_flag=True, help="Remove the DNS servers: guests use the resolver.")
@click.option("--no-domain", "no_dns_domain", is_flag=True, help="Remove the DNS domain.")
@click.option("--no-range", "no_ranges", is_flag=True, help="Allocate from the whole subnet.")
@click.option("--no-search", is_flag=True, help="Remove the search domains.")
@click.option("--no-route", "no_routes", is_flag=True, help="Remove the static routes.")
@click.option("--no-lease-time", is_flag=True, help="Reset the lease time.")
@click.option("--no-boot", is_flag=True, help="Remove boot server, boot file and URL for iPXE.")
@click.option("--no-security-group", "no_security_groups", is_flag=True, help="Remove the security groups.")
@click.option("--no-dhcp-option", "no_extra_dhcp_options", is_flag=True, help="Remove the further DHCP options.")
@click.option("--no-limit-inbound", is_flag=True, help="Remove the rate limit of what guests receive.")
@click.option("--no-limit-outbound", is_flag=True, help="Remove the rate limit of what guests send.")
@click.option("--force", is_flag=True, help="Apply even if this disrupts a working external connection.")
@format_option
@click.pass_obj
def set_(socket: Path | None, name: str, format_: str, force: bool, **settings: Any) -> None:
    """Modify the subnet NAME.

    Other settings stay; an option that may be repeated replaces the whole list. Security groups apply at once; running
    guests get other settings when they renew their DHCP lease, after half of the lease time. A router or gateway change
    that disrupts external connectivity of running guests is refused without --force.

    \b
    Examples:
      ovnhook subnet set blue --dns 10.1.0.53 --dns 10.1.0.54
      ovnhook subnet set blue --range 10.1.0.100-10.1.0.199
      ovnhook subnet set green --default
      ovnhook subnet set green --security-group base
      ovnhook subnet set green --no-router
      ovnhook subnet set blue --boot-server 10.1.0.5 --boot-file pxelinux.0
      ovnhook subnet set blue --dhcp-option ntp_server=10.1.0.5 --route 10.9.0.0/24=10.1.0.9
    """
    # An MTU of 0 is a value, and equal to False.
    given = {
        setting: value
        for setting, value in _without_router(settings).items()
        if value is not None and value is not False and value != ()
    }
    cleared = [
        one
        for setting in given
        if setting.startswith("no_")
        for one in (_BOOT if setting == "no_boot" else (setting.removeprefix("no_"),))
    ]
    values = {setting: value for setting, value in given.items() if not setting.startswith("no_")}
    for setting in cleared:
        if setting in values:
            option = _OPTIONS.get(setting, setting).replace("_", "-")
            raise click.UsageError(
                f"--{option} and --no-{'boot' if setting in _BOOT else option} are mutually exclusive"
            )
    if not given:
        raise click.UsageError("nothing to set")
    mask = {"paths": [*values, *cleared]}
    asked = {"name": name, **values}
    _show(Client(socket).call("UpdateSubnet", subnet=asked, update_mask=mask, force=force), format_)


def _without_router(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with --no-router as a router with an empty name."""
    kept = {setting: value for setting, value in settings.items() if setting != "no_router" and value is not None}
    if not settings["no_router"]:
        return kept
    if "router" in kept:
        raise click.UsageError("--router and --no-router are mutually exclusive")
    return {**kept, "router": ""}


@subnet.command()
@click.argument("name", shell_complete=complete.SUBNET)
@click.pass_obj
def delete(socket: Path | None, name: str) -> None:
    """Delete the subnet NAME.

    Refused while it has leases or ports.

    \b
    Example:
      ovnhook subnet delete blue
    """
    Client(socket).call("DeleteSubnet", name=name)


def _show(one: Object, format_: str) -> None:
    """Print a subnet."""
    if format_ == "table":
        virtual = [f"{each['address']} ({', '.join(each['domains'])})" for each in one["virtual_addresses"]]
        one = {**one, "virtual_addresses": text(virtual)}
    show_one(one, format_)
