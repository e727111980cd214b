"""``ovnhook security-group``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ovnhook.api.client import Client, Object
from ovnhook.cli import complete
from ovnhook.cli.output import format_option, show_list, show_one, text

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = {
    "NAME": lambda row: row["name"],
    "OUTBOUND": lambda row: row["outbound"],
    "RULES": lambda row: str(len(row["rules"])),
    "SUBNETS": lambda row: text(row["subnets"]),
}

_name = click.argument("name", shell_complete=complete.SECURITY_GROUP)


@click.group("security-group", invoke_without_command=True)
@click.pass_context
def security_group(context: click.Context) -> None:
    """Manage security groups: which packets reach interfaces.

    An interface in no group is open. Packets to one in some groups pass only if a rule of one of them allows them, and
    no rule denies them. Replies, ARP, ND, router advertisements, DHCP and the subnet's DNS always pass. The order of
    rules does not matter.

    Interfaces are put into groups by the metadata of their domain, by their subnet, or by "ovnhook port create".
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@security_group.command()
@click.argument("name")
@format_option
@click.pass_obj
def create(socket: Path | None, name: str, format_: str) -> None:
    """Create the security group NAME.

    Without rules it denies all inbound connections and allows outbound ones.

    Idempotent: succeeds if the group exists, whatever its rules.

    \b
    Examples:
      ovnhook security-group create web
    """
    _show(Client(socket).call("CreateSecurityGroup", name=name), format_)


def _traffic(command: Command) -> Command:
    """Add the options that describe packets."""
    for option in reversed(
        (
            click.option(
                "--from",
                "source",
                required=True,
                metavar="SOURCE",
                help="Source: any, a network like 10.1.0.0/24, or group:NAME for the interfaces of a group.",
            ),
            click.option("--tcp", metavar="PORTS", help="Destination ports of TCP, like 80,443,7000-7010."),
            click.option("--udp", metavar="PORTS", help="Destination ports of UDP."),
            click.option("--icmp", is_flag=True, help="ICMP and ICMPv6, such as ping."),
            click.option("--protocol", metavar="N", type=click.IntRange(0, 255), help="Number of an IP protocol."),
            format_option,
        )
    ):
        command = option(command)
    return command


@security_group.command()
@_name
@_traffic
@click.pass_obj
def allow(socket: Path | None, name: str, format_: str, **traffic: Any) -> None:
    """Allow packets to the interfaces of the group NAME.

    Without --tcp, --udp, --icmp or --protocol all IP packets from the source are allowed.

    Idempotent: succeeds if the group has the rule.

    \b
    Examples:
      ovnhook security-group allow web --from any --tcp 80,443
      ovnhook security-group allow web --from 203.0.113.0/24 --icmp
      ovnhook security-group allow db --from group:web --tcp 5432
    """
    _add(socket, name, "allow", traffic, format_)


@security_group.command()
@_name
@_traffic
@click.pass_obj
def deny(socket: Path | None, name: str, format_: str, **traffic: Any) -> None:
    """Deny packets to the interfaces of the group NAME, whatever other rules and groups allow.

    Idempotent: succeeds if the group has the rule.

    \b
    Examples:
      ovnhook security-group deny web --from 198.51.100.0/24
      ovnhook security-group deny web --from any --tcp 22
    """
    _add(socket, name, "deny", traffic, format_)


@security_group.command()
@_name
@click.argument("rule")
@format_option
@click.pass_obj
def remove(socket: Path | None, name: str, rule: str, format_: str) -> None:
    """Remove the rule RULE of the group NAME.

    RULE is its number in "ovnhook security-group show", or its text.

    \b
    Examples:
      ovnhook security-group remove web 2
      ovnhook security-group remove web "allow from any tcp 80,443"
    """
    _show(Client(socket).call("RemoveSecurityGroupRule", name=name, rule=rule), format_)


@security_group.command("set")
@_name
@click.option(
    "--outbound",
    required=True,
    type=click.Choice(["allow", "deny"]),
    help="Outbound connections. If one of an interface's groups denies them, it may only reply.",
)
@format_option
@click.pass_obj
def set_(socket: Path | None, name: str, outbound: str, format_: str) -> None:
    """Modify the security group NAME.

    \b
    Examples:
      ovnhook security-group set db --outbound deny
    """
    _show(Client(socket).call("UpdateSecurityGroup", name=name, outbound=outbound), format_)


@security_group.command("list")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str) -> None:
    """List security groups.

    SUBNETS: subnets whose interfaces are in the group unless they name others.

    \b
    Examples:
      ovnhook security-group list
    """
    show_list(Client(socket).pages("ListSecurityGroups", "security_groups"), _COLUMNS, format_)


@security_group.command()
@_name
@format_option
@click.pass_obj
def show(socket: Path | None, name: str, format_: str) -> None:
    """Show the security group NAME: its rules with their numbers, what its interfaces reach, and its interfaces.

    \b
    Examples:
      ovnhook security-group show web
    """
    _show(Client(socket).call("GetSecurityGroup", name=name), format_)


@security_group.command()
@_name
@click.pass_obj
def delete(socket: Path | None, name: str) -> None:
    """Delete the security group NAME.

    Refused while an interface of a running domain, a subnet or a rule of another group uses it.

    \b
    Example:
      ovnhook security-group delete web
    """
    Client(socket).call("DeleteSecurityGroup", name=name)


def _add(socket: Path | None, name: str, verdict: str, traffic: Any, format_: str) -> None:
    ports = {"tcp": traffic["tcp"], "udp": traffic["udp"]}
    given = [*(protocol for protocol, some in ports.items() if some is not None)]
    given += ["icmp"] if traffic["icmp"] else []
    given += [str(traffic["protocol"])] if traffic["protocol"] is not None else []
    if len(given) > 1:
        raise click.UsageError("--tcp, --udp, --icmp and --protocol are mutually exclusive")
    protocol = "".join(given)
    rule = {
        "verdict": verdict,
        "source": traffic["source"],
        "protocol": protocol,
        "ports": ports.get(protocol) or "",
    }
    _show(Client(socket).call("AddSecurityGroupRule", name=name, **rule), format_)


def _show(group: Object, format_: str) -> None:
    """Print a group: a line for each rule and interface."""
    if format_ != "table":
        show_one(group, format_)
        return
    lines: dict[str, object] = {"name": group["name"], "outbound": group["outbound"], "subnets": group["subnets"]}
    lines |= {f"rule {rule['number']}": rule["text"] for rule in group["rules"]}
    lines["reaches"] = group["reaches"]
    for one in group["members"]:
        domain = f"{one['domain_name']}/{one['subnet']}"
        lines[f"member {domain} {one['mac']}"] = f"{' '.join(one['addresses'])} on {one['host']}"
    show_one(lines, format_)
