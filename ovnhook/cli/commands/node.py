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
from ovnhook.base.errors import FailedPrecondition, InvalidRequest, NotFound, Unavailable
from ovnhook.cli import complete
from ovnhook.cli.output import format_option, say, show_list, show_one, text

if TYPE_CHECKING:
    from ovnhook.pki.token import Token
    from ovnhook.setup.step import Step


def ago(seconds: int | None) -> str:
    """Format a duration as a time in the past."""
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
    """Nodes: hypervisors and gateway hosts, the chassis of OVN."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@node.command("list")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str) -> None:
    """List all nodes.

    SEEN is the time since the agent's last report, BEHIND the number of configuration changes (nb_cfg) that
    ovn-controller has not processed yet, ACTIVE FOR the routers whose active gateway the node is.

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
    """Show the node NAME.

    NAME is the system-id of its Open vSwitch.

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
@click.option("--all-in-one", is_flag=True, help="OVN central, control service and hypervisor on this host.")
@click.option("--control", is_flag=True, help="OVN central and control service, for other hosts to join.")
@click.option("--cluster", is_flag=True, help="With --control: clustered (RAFT) databases.")
@click.option(
    "--token", default="", metavar="-|FILE", help="With --cluster: join an existing cluster with this join token."
)
@click.option("--name", default="", metavar="NAME", help="Name of the node. Default: the host name.")
@click.option(
    "--address", default="", metavar="ADDR", help="Address for other hosts. Default: that of the default route."
)
@click.option(
    "--subnet", default="10.128.0.0/24", show_default=True, metavar="CIDR", help="CIDR of the default subnet."
)
@click.option("--external-interface", default="", metavar="IF", help="Interface for the external network (uplink).")
@click.option("--external-cidr", default="", metavar="CIDR", help="External address of the router: 203.0.113.10/24.")
@click.option("--next-hop", default="", metavar="ADDR", help="Next hop of the router's default route.")
@click.option("--no-external", is_flag=True, help="No external connectivity. Default: through the gateway host.")
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
    no_external: bool,
) -> None:
    """Set up this host.

    As root, either as a complete cloud, or as a control host for others to join.

    Idempotent: each step prints "unchanged" or "changed", and the command can be repeated after an error. An existing
    default subnet, external gateway and settings of Open vSwitch are kept.

    Guests reach the outside through this host, with --control through the gateway hosts of a new cloud. They masquerade
    (NAT) to their own default gateway, reach the guests, and keep their addresses and routes. An external network of
    the router's own needs --external-interface, --external-cidr and --next-hop.

    The external interface is added to a bridge of Open vSwitch. If it has IP addresses of this host, they stay there,
    and a macvlan interface on it is added instead. With --control, use "ovnhook node join --gateway" on gateway hosts.

    \b
    Examples:
      ovnhook node init --all-in-one
      ovnhook node init --all-in-one --no-external
      ovnhook node init --all-in-one --external-interface eth1 --external-cidr 203.0.113.10/24 --next-hop 203.0.113.1
      ovnhook node init --control --external-cidr 203.0.113.10/24 --next-hop 203.0.113.1
      ovnhook node init --control --cluster
      ovnhook node init --control --cluster --token -
    """
    from ovnhook.setup import cloud, host
    from ovnhook.setup import control as controls

    if all_in_one == control:
        raise click.UsageError("specify either --all-in-one or --control")
    if (cluster and not control) or (token and not cluster):
        raise click.UsageError("--cluster requires --control, and --token requires --cluster")
    join_token = _read_token(token) if token else None
    together = (external_cidr, next_hop) if control else (external_interface, external_cidr, next_hop)
    if control and external_interface:
        raise click.UsageError("--external-interface: use it on gateway hosts, with ovnhook node join --gateway")
    if any(together) and not all(together):
        raise click.UsageError(
            f"{'' if control else '--external-interface, '}--external-cidr and --next-hop must be used together"
        )
    if no_external and any((external_interface, *together)):
        raise click.UsageError("--no-external and the other external options are mutually exclusive")
    uplink = cloud.external_gateway(external_cidr, next_hop) if external_cidr else cloud.ExternalGateway()
    external = None if no_external else uplink
    _check_root("ovnhook node init …")
    own = sockets.gethostname()
    if control:
        options = controls.ControlOptions(name or own.partition(".")[0], address, subnet, external, cluster, join_token)
        _apply(controls.steps(options, load(), Client(socket or CONTROL_SOCKET), Client(None)))
    else:
        all_in_one_options = host.HostOptions(own, name, address, subnet, external_interface, external)
        _apply(host.all_in_one(all_in_one_options, load(), Client(socket or CONTROL_SOCKET)))


@node.command()
@click.argument("name")
@click.option("--control", is_flag=True, help="For a control host that joins this one's cluster.")
@click.pass_obj
def token(socket: Path | None, *, name: str, control: bool) -> None:
    """Create a join token for the node NAME.

    It is valid once, for half an hour, and replaces an earlier token for NAME. Keep it secret: it grants access, for a
    control host full access.

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
@click.option("--gateway", is_flag=True, help="Make the host a gateway host of routers.")
@click.option(
    "--external-interface", default="", metavar="IF", help="With --gateway: interface for the external network."
)
@click.option(
    "--address", default="", metavar="ADDR", help="Tunnel endpoint IP. Default: that of the route to the control host."
)
@click.pass_obj
def join(socket: Path | None, *, token: str, gateway: bool, external_interface: str, address: str) -> None:
    """Join a cloud with a join token.

    As root, with the token of "ovnhook node token" on the control host. The token is read from standard input, with a
    prompt on a terminal, or from FILE. On the command line all users of this host could read it, and the shell's
    history would keep it.

    A gateway host without --external-interface masquerades (NAT) for guests to its own default gateway, unless
    ovn-bridge-mappings has another physical network.

    Idempotent: each step prints "unchanged" or "changed", and the command can be repeated with the same token after an
    error, since a host with a certificate needs no new one.

    \b
    Examples:
      ovnhook node join
      ovnhook node join --gateway
      ovnhook node join --gateway --external-interface eth1
      ovnhook node join - </root/token
    """
    from ovnhook.setup import member

    if external_interface and not gateway:
        raise click.UsageError("--external-interface requires --gateway")
    join_token = _read_token(token)
    _check_root("ovnhook node join …")
    options = member.MemberOptions(address, gateway, external_interface)
    _apply(member.join(join_token, options, load(), Client(socket)))


@node.command()
@click.pass_obj
def renew(socket: Path | None) -> None:
    """Renew this host's certificates.

    As root. Certificates are renewed in the last third of their lifetime. Also updates a node's list of control hosts,
    and removes the address of the northbound database that earlier versions have set: nodes use the control service.
    ovnhook-renew.timer runs this daily. Services use the new certificates for new connections.

    \b
    Example:
      ovnhook node renew
    """
    from ovnhook.pki import keyfiles
    from ovnhook.setup import authority, cluster, member
    from ovnhook.setup.step import apply_steps

    _check_root("ovnhook node renew")
    own, files = keyfiles.AuthorityFiles(keyfiles.AUTHORITY), keyfiles.node()
    is_control, is_node = own.databases.certificate.exists(), files.certificate.exists()
    if not (is_control or is_node):
        raise NotFound("this host has no certificate", "ovnhook node join, or ovnhook node init --control")
    if is_control:
        apply_steps([authority.renew(own)], say)
    if is_node:
        apply_steps(member.renew(load(), Client(socket)), say)
    elif cluster.is_member():
        apply_steps(member.enrol_control_host(member.own_address(load()), Client(socket)), say)


@node.command()
@click.argument("name", shell_complete=complete.NODE)
@click.option("--force", is_flag=True, help="Even if running guests lose their only gateway.")
@click.pass_obj
def remove(socket: Path | None, name: str, force: bool) -> None:
    """Remove the node NAME, which is gone for good.

    The ports and leases of its domains are deleted. Its certificates are revoked, also as a control host, and its
    database servers are removed from the cluster.

    A node that is alive is refused. Don't remove one that is only switched off: its domains keep their addresses until
    it is back.

    \b
    Example:
      ovnhook node remove hv2
    """
    from ovnhook.setup import cluster
    from ovnhook.setup.step import apply_steps

    client = Client(socket)
    hosts = _control_hosts(client)
    if name in hosts and not cluster.has_databases():
        raise FailedPrecondition(
            f"{name} is a control host: another control host has to remove its servers from the databases' cluster",
            f"on another control host: ovnhook node remove {name}",
        )
    try:
        client.call("RemoveNode", name=name, force=force)
    except NotFound:
        # It may have been removed before, but not from the cluster.
        if not (hosts and cluster.is_member() and cluster.stale_members(hosts.values())):
            raise
    if cluster.is_member() and hosts:
        for address in cluster.stale_members(_control_hosts(client).values()):
            apply_steps(cluster.remove_member(address), say)


@node.command()
@click.argument("name", shell_complete=complete.NODE)
@click.option("--to", multiple=True, metavar="NODE", help="Target node; may be repeated. Default: any.")
@click.option(
    "--uri",
    default="qemu+ssh://root@{node}/system",
    show_default=True,
    metavar="URI",
    help="libvirt URI of a target; {node} stands for its name.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="Timeout of one domain's migration, which is then cancelled.",
)
@click.pass_obj
def drain(socket: Path | None, *, name: str, to: tuple[str, ...], uri: str, timeout: float) -> None:
    """Migrate all domains off this host.

    As root, on the node NAME itself. Running domains are migrated live, then the others offline, one at a time, to the
    node with the fewest interfaces. Domains that cannot be migrated are left alone; they are listed at the end with the
    reasons, with exit status 5. The command can be repeated. It does not prevent new domains.

    \b
    Examples:
      ovnhook node drain hv1
      ovnhook node drain hv1 --to hv2 --to hv3
      ovnhook node drain hv1 --uri 'qemu+tls://{node}.example/system'
    """
    from ovnhook.setup.drain import drain as draining

    _check_root("ovnhook node drain …")
    draining.drain(draining.DrainOptions(name, to, uri, timeout), load(), Client(socket), say)


def _apply(steps: Iterable[Step]) -> None:
    """Set the host up; a timeout gets a hint to repeat the command."""
    from ovnhook.setup.step import apply_steps

    try:
        apply_steps(steps, say)
    except Unavailable as error:
        again = "repeat the command: completed steps are kept"
        raise Unavailable(error.message, f"{error.hint}; {again}" if error.hint else again) from error


def _control_hosts(client: Client) -> dict[str, str]:
    """Addresses of all control hosts, by name."""
    try:
        found = client.pages("ListCertificates", "certificates")
    except FailedPrecondition:  # no certificate authority
        return {}
    return {str(one["name"]): str(one["address"]) for one in found if one["address"]}


def _read_token(place: str) -> Token:
    """Read a token from standard input (``-``), a file, or the argument itself, with a warning."""
    from ovnhook.pki import token as tokens

    if place.startswith(tokens.PREFIX):
        click.echo("warning: all users of this host can read a token on the command line", err=True)
        click.echo("hint: ovnhook node join -, which reads it from standard input", err=True)
        return tokens.parse(place)
    if place != "-":
        try:
            with Path(place).open(errors="replace") as file:
                return tokens.parse(file.read(tokens.MAX_LENGTH))
        except OSError as error:
            raise InvalidRequest(
                f"this is not a token, nor a readable file: {error.strerror}", "ovnhook node join -"
            ) from error
    if sys.stdin.isatty():
        return tokens.parse(getpass.getpass("Token: "))
    return tokens.parse(sys.stdin.read(tokens.MAX_LENGTH))


def _check_root(command: str) -> None:
    if os.geteuid() != 0:
        raise InvalidRequest("this command requires root", f"sudo {command}")


def _tunnels(row: Object) -> str:
    return text([f"{end['type']} {end['ip']}" for end in row["encapsulations"]])
