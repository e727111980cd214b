"""``ovnhook node``."""

from __future__ import annotations

import getpass
import os
import socket as sockets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ovnhook.api.client import Client, Object
from ovnhook.base.config import CONTROL_SOCKET, load
from ovnhook.base.errors import InUse, InvalidRequest, NotFound, Unavailable
from ovnhook.cli import complete
from ovnhook.cli.output import format_option, say, show_list, show_one, text

if TYPE_CHECKING:
    from ovnhook.pki.token import Token
    from ovnhook.setup.step import Step


def ago(seconds: int | None) -> str:
    """How long ago something was."""
    from ovnhook.diagnosis.problems import span

    return "never" if seconds is None else f"{span(seconds)} ago"


COLUMNS = {
    "NAME": lambda row: row["name"],
    "GATEWAY": lambda row: text(row["is_gateway"]),
    "AGENT": lambda row: text(row["agent_version"]),
    "SEEN": lambda row: ago(row["agent_seen"]),
    "BEHIND": lambda row: text(row["ovn_behind"]),
    "UPLINKS DOWN": lambda row: text(row["uplinks_down"]),
    "PORTS": lambda row: text(row["ports"]),
    "ACTIVE FOR": lambda row: text(row["active_for"]),
}


@click.group(invoke_without_command=True)
@click.pass_context
def node(context: click.Context) -> None:
    """Nodes: the hosts that take part in OVN, hypervisors and gateways."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@node.command("list")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str) -> None:
    """Show all nodes.

    SEEN is when the agent told of its host last, BEHIND how many of the changes that were counted ovn-controller
    has yet to carry out, ACTIVE FOR the routers whose way outside the host has.

    \b
    Examples:
      ovnhook node list
      ovnhook node list --format json | jq -r '.[] | select(.is_gateway) | .name'
    """
    show_list(Client(socket).pages("ListNodes", "nodes"), COLUMNS, format_)


@node.command()
@click.argument("name", shell_complete=complete.NODE)
@format_option
@click.pass_obj
def show(socket: Path | None, name: str, format_: str) -> None:
    """Show the node NAME, which is the system-id of its Open vSwitch.

    \b
    Example:
      ovnhook node show hv1
    """
    found = Client(socket).call("GetNode", name=name)
    if format_ == "table":
        seen = {key: ago(found[key]) for key in ("agent_seen", "ovn_seen")}
        found = {**found, "encapsulations": _tunnels(found), **seen}
    show_one(found, format_)


@node.command()
@click.option("--all-in-one", is_flag=True, help="Everything on this host: OVN's central part, control and hypervisor.")
@click.option("--control", is_flag=True, help="OVN's central part and control, which other hosts join.")
@click.option("--cluster", is_flag=True, help="With --control: its databases are a member of a cluster.")
@click.option(
    "--token", default="", metavar="-|FILE", help="With --cluster: where the token is of a control host that it joins."
)
@click.option("--name", default="", metavar="NAME", help="The node's name. Without it the host's.")
@click.option(
    "--address", default="", metavar="ADDR", help="Where others reach it. Without it the address that leads to others."
)
@click.option(
    "--subnet", default="10.128.0.0/24", show_default=True, metavar="CIDR", help="The addresses of the default subnet."
)
@click.option("--external-interface", default="", metavar="IF", help="The interface that leads outside.")
@click.option("--external-cidr", default="", metavar="CIDR", help="The router's own address outside: 203.0.113.10/24.")
@click.option("--next-hop", default="", metavar="ADDR", help="Where all goes that is not inside.")
@click.pass_obj
def init(
    socket: Path | None,
    *,
    all_in_one: bool,
    control: bool,
    cluster: bool,
    token: str,
    name: str,
    address: str,
    subnet: str,
    external_interface: str,
    external_cidr: str,
    next_hop: str,
) -> None:
    """Set this host up, as root: all of a cloud, or the control host of one that others join.

    Each step looks first, changes only what is not so, and says which of the two it was. It may be repeated, also after
    it ended with an error half way. A default subnet and settings of Open vSwitch that are there already stay.

    The interface that leads outside goes into a bridge of Open vSwitch. One that has addresses of this host is refused.
    With --control it is given on the hosts that join as gateways.

    \b
    Examples:
      ovnhook node init --all-in-one
      ovnhook node init --all-in-one --external-interface eth1 --external-cidr 203.0.113.10/24 --next-hop 203.0.113.1
      ovnhook node init --control --external-cidr 203.0.113.10/24 --next-hop 203.0.113.1
      ovnhook node init --control --cluster
      ovnhook node init --control --cluster --token -
    """
    from ovnhook.setup import cloud, host
    from ovnhook.setup import control as controls

    if all_in_one == control:
        raise click.UsageError("--all-in-one or --control: one of them is wanted")
    if (cluster and not control) or (token and not cluster):
        raise click.UsageError("--cluster goes with --control, and --token with --cluster")
    given = _read_token(token) if token else None
    outside = (external_cidr, next_hop) if control else (external_interface, external_cidr, next_hop)
    if control and external_interface:
        raise click.UsageError("--external-interface is for hosts that join: ovnhook node join --gateway")
    if any(outside) and not all(outside):
        raise click.UsageError(
            f"{'' if control else '--external-interface, '}--external-cidr and --next-hop go together"
        )
    leg = cloud.outside(external_cidr, next_hop) if external_cidr else None
    _check_root("ovnhook node init …")
    own = sockets.gethostname()
    if control:
        asked = controls.ControlOptions(name or own.partition(".")[0], address, subnet, leg, cluster, given)
        _carry_out(controls.steps(asked, load(), Client(socket or CONTROL_SOCKET), Client(None)))
    else:
        wishes = host.HostOptions(own, name, address, subnet, external_interface, leg)
        _carry_out(host.all_in_one(wishes, load(), Client(socket or CONTROL_SOCKET)))


@node.command()
@click.argument("name")
@click.option("--control", is_flag=True, help="For a control host, which joins the cluster of this one.")
@click.pass_obj
def token(socket: Path | None, *, name: str, control: bool) -> None:
    """Make a token, with which one host joins as the node NAME, once, within half an hour.

    Whoever has it is let in: give it to nobody else. With the one of a control host he has everything. One that was
    made for NAME before is good no more.

    \b
    Examples:
      ovnhook node token hv1
      ovnhook node token c2 --control
      ovnhook node token hv1 | ssh root@hv1 ovnhook node join -
    """
    role = "control" if control else "node"
    click.echo(Client(socket).call("CreateToken", name=name, role=role)["token"])


@node.command()
@click.argument("token", default="-", metavar="[-|FILE]")
@click.option("--gateway", is_flag=True, help="Routers may reach the outside by this host.")
@click.option(
    "--external-interface", default="", metavar="IF", help="The interface that leads outside, with --gateway."
)
@click.option(
    "--address", default="", metavar="ADDR", help="Where its tunnels end. Without it the address that leads to control."
)
@click.pass_obj
def join(socket: Path | None, *, token: str, gateway: bool, external_interface: str, address: str) -> None:
    """Let this host join, as root, with the token that "ovnhook node token" made on the control host.

    The token is read from standard input, where it is asked for without being shown, or from FILE. On the command line
    every user of this host could read it, and the shell would remember it.

    Each step looks first, changes only what is not so, and says which of the two it was. It may be repeated with the
    same token, also after it ended with an error half way: once it has its certificate, a host needs no other token.

    \b
    Examples:
      ovnhook node join
      ovnhook node join --gateway --external-interface eth1
      ovnhook node join - </root/token
    """
    from ovnhook.setup import member

    if external_interface and not gateway:
        raise click.UsageError("--external-interface goes with --gateway")
    given = _read_token(token)
    _check_root("ovnhook node join …")
    wishes = member.MemberOptions(address, gateway, external_interface)
    _carry_out(member.join(given, wishes, load(), Client(socket)))


@node.command()
@click.pass_obj
def renew(socket: Path | None) -> None:
    """Renew this host's certificates, as root, if less than a third of their time is left.

    A node also learns where all control hosts are: some may have come since it joined. A timer does so every day:
    ovnhook-renew.timer. What uses them goes on, and takes the new ones for its next connection.

    \b
    Example:
      ovnhook node renew
    """
    from ovnhook.pki import keyfiles
    from ovnhook.setup import authority, member
    from ovnhook.setup.step import carry_out

    _check_root("ovnhook node renew")
    own, shown = keyfiles.AuthorityFiles(keyfiles.AUTHORITY), keyfiles.node()
    is_control, is_node = own.databases.certificate.exists(), shown.certificate.exists()
    if not (is_control or is_node):
        raise NotFound("this host has no certificate", "ovnhook node join, or ovnhook node init --control")
    if is_control:
        carry_out([authority.renew(own)], say)
    if is_node:
        carry_out(member.renew(shown, Client(socket)), say)


@node.command()
@click.argument("name", shell_complete=complete.NODE)
@click.option("--force", is_flag=True, help="Also where no other node can be the gateway of guests that run.")
@click.pass_obj
def remove(socket: Path | None, name: str, force: bool) -> None:
    """Forget the node NAME, which is gone for good, with the ports and leases of the domains that were on it.

    It is shut out, also as a control host, and of those in a cluster its databases' servers are taken out of that.

    A node that gives a sign of life is refused. One that is only switched off is left as it is: its domains keep their
    addresses until it is back.

    \b
    Example:
      ovnhook node remove hv2
    """
    from ovnhook.setup import cluster
    from ovnhook.setup.step import carry_out

    client = Client(socket)
    hosts = _control_hosts(client)
    if name in hosts and not cluster.has_databases():
        raise InUse(
            f"{name} is a control host: its servers are taken out of the databases' cluster by another one",
            f"on another control host: ovnhook node remove {name}",
        )
    try:
        client.call("RemoveNode", name=name, force=force)
    except NotFound:
        # It may have been removed before, and the cluster could not be told then.
        if not (hosts and cluster.is_member() and cluster.strangers(hosts.values())):
            raise
    if cluster.is_member() and hosts:
        for address in cluster.strangers(_control_hosts(client).values()):
            carry_out(cluster.without(address), say)


@node.command()
@click.argument("name", shell_complete=complete.NODE)
@click.option("--to", multiple=True, metavar="NODE", help="A node that they go to; may be repeated. Without it any.")
@click.option(
    "--uri",
    default="qemu+ssh://root@{node}/system",
    show_default=True,
    metavar="URI",
    help="The libvirt of another node, whose name stands in place of {node}.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long the move of one domain may take; then it stays.",
)
def drain(*, name: str, to: tuple[str, ...], uri: str, timeout: float) -> None:
    """Move the domains of the node NAME, which is this host, to other nodes, as root.

    Those that run are migrated live, and then those that are off are moved as well, one after another, each to the node
    that has the fewest interfaces. What can't be moved stays as it is, and the others go on; at the end it is told what
    stays and why, and the exit status is 5. It may be repeated. New domains are not kept away.

    \b
    Examples:
      ovnhook node drain hv1
      ovnhook node drain hv1 --to hv2 --to hv3
      ovnhook node drain hv1 --uri 'qemu+tls://{node}.example/system'
    """
    from ovnhook.setup.drain import drain as draining

    _check_root("ovnhook node drain …")
    draining.drain(draining.DrainOptions(name, to, uri, timeout), load(), say)


def _carry_out(steps: Iterable[Step]) -> None:
    """Set the host up; who is told that somebody was too slow is told what to do."""
    from ovnhook.setup.step import carry_out

    try:
        carry_out(steps, say)
    except Unavailable as error:
        again = "it may be repeated: what is done stays as it is"
        raise Unavailable(error.message, f"{error.hint}; {again}" if error.hint else again) from error


def _control_hosts(client: Client) -> dict[str, str]:
    """The addresses of all control hosts, by name."""
    try:
        found = client.pages("ListCertificates", "certificates")
    except InUse:  # there is no authority
        return {}
    return {str(one["name"]): str(one["address"]) for one in found if one["address"]}


def _read_token(place: str) -> Token:
    """The token that is at a place: ``-`` for standard input, a file, or the token itself, with a warning."""
    from ovnhook.pki import token as tokens

    if place.startswith(tokens.PREFIX):
        click.echo("warning: every user of this host can read a token that is on the command line", err=True)
        click.echo("hint: ovnhook node join -, which reads it from standard input", err=True)
        return tokens.parse(place)
    if place != "-":
        try:
            with Path(place).open(errors="replace") as file:
                return tokens.parse(file.read(tokens.MAX_LENGTH))
        except OSError as error:
            raise InvalidRequest(
                f"this is not a token, nor a file that has one: {error.strerror}", "ovnhook node join -"
            ) from error
    if sys.stdin.isatty():
        return tokens.parse(getpass.getpass("Token: "))
    return tokens.parse(sys.stdin.read(tokens.MAX_LENGTH))


def _check_root(command: str) -> None:
    if os.geteuid() != 0:
        raise InvalidRequest("only root may do that", f"sudo {command}")


def _tunnels(row: Object) -> str:
    return text([f"{end['type']} {end['ip']}" for end in row["encapsulations"]])
