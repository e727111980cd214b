"""Set-up of a node that joins a cloud with a token, optionally as a gateway host."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovnhook.base.command import run
from ovnhook.base.config import PATH, Config
from ovnhook.base.errors import InvalidConfig, InvalidRequest, NotFound
from ovnhook.pki import keyfiles, x509
from ovnhook.pki import token as tokens
from ovnhook.pki.keyfiles import PUBLIC, SECRET, AuthorityFiles, Files
from ovnhook.pki.members import bracketed
from ovnhook.pki.token import API, SOUTHBOUND, Token
from ovnhook.pki.x509 import Subject
from ovnhook.setup import chassis, cluster, configuration, enrolment, hostgateway, switch, underlay
from ovnhook.setup.enrolment import RENEWAL, ControlClient, enrol
from ovnhook.setup.services import enabled, restarted
from ovnhook.setup.step import Step

_REMOVED = ("northbound",)
"""Settings of nodes that earlier versions have set up."""


@dataclass(frozen=True)
class MemberOptions:
    """Options of ``ovnhook node join``.

    Attributes:
        address: tunnel endpoint IP, or "".
        gateway: the host may be a gateway of routers.
        interface: interface for the external network, or "".
    """

    address: str
    gateway: bool
    interface: str


def join(token: Token, options: MemberOptions, config: Config, client: ControlClient) -> Iterator[Step]:
    """Steps, each to be carried out before the next one is requested.

    Raises:
        OvnhookError: the token is not for a node or not of the cloud that answers, or the host belongs to another one.
    """
    if token.role != x509.NODE:
        raise InvalidRequest(
            f"this token is for a {token.role} host", "ovnhook node init --control --cluster --token -"
        )
    yield enabled("openvswitch-switch", "openvswitch-switch")
    hosts = enrolment.hosts(token)
    control = own_address(config)
    remote = _southbound(hosts, control)
    chassis.check(remote, options.interface)
    ids = switch.settings()
    name = switch.name_for(token.name, token.name, ids)
    address = underlay.parse(options.address) or ids.get("ovn-encap-ip") or underlay.address(hosts[0])
    if not control or cluster.is_member():
        yield from _certificate(token, name, address, hosts, client)
        yield from _configuration(hosts, control)
    # Debian sets the hostname at each boot, with its domain if that resolves just then. RBAC forbids a host to change
    # it in the southbound database, so all updates of ovn-controller would be refused. This key overrides it.
    own = f"hostname-{name}"
    yield switch.setting(own, ids.get(own) or socket.gethostname())
    through_host = options.gateway and not options.interface and hostgateway.is_free(ids)
    yield from chassis.steps(
        name, config, remote, address, options.interface, gateway=options.gateway, through_host=through_host
    )
    yield enabled("ovnhook-agent", "ovnhook-hypervisor")
    for file in (switch.SYSTEM_ID, PATH):  # it follows the chassis of the name that it started with
        if file.exists():
            yield restarted("ovnhook-agent", file)
    yield enabled(RENEWAL, "python3-ovnhook")
    yield Step(
        f"node {name} is registered in the cloud",
        lambda: _is_registered(client, name),
        timeout=120,  # an agent that was refused retries within half a minute
        hint="see /var/log/ovn/ovn-controller.log; journalctl -u ovnhook-agent",
    )


def _certificate(token: Token, name: str, address: str, hosts: Sequence[str], client: ControlClient) -> Iterator[Step]:
    """Obtain a certificate."""
    files, subject = keyfiles.node(), Subject(name, x509.NODE)
    yield Step("this host has a private key", lambda: keyfiles.is_key(files.key), lambda: _new_key(files))
    yield Step(
        f"this host has a certificate for {subject}",
        lambda: _has_joined(files, subject, token) and client.is_trusted(_remotes("", hosts, API).split(","), files),
        lambda: _enrol(files, token, address, client),
    )


def _configuration(hosts: Sequence[str], own: str) -> Iterator[Step]:
    """Let Open vSwitch and ovnhook use the node's certificate, and all control hosts.

    Args:
        hosts: addresses of all control hosts.
        own: address of this one, or "".
    """
    files = keyfiles.node()
    paths = (str(files.key), str(files.certificate), str(files.ca))
    yield Step(
        "Open vSwitch uses this host's certificate",
        lambda: all(path in run("ovs-vsctl", "--timeout=10", "get-ssl") for path in paths),
        lambda: _set_ssl(paths),
    )
    yield from configuration.steps(
        {
            "database_certificate": str(files.certificate),
            "database_private_key": str(files.key),
            "database_ca": str(files.ca),
            "control": _remotes("", [host for host in hosts if host != own], API),
        },
        removed=() if own else _REMOVED,
    )


def renew(config: Config, client: ControlClient) -> Iterator[Step]:
    """Renew a node's certificate if needed, and update its configuration: it needs the control hosts' addresses only.

    Args:
        config: configuration of this host.
        client: client of the control service.
    """
    files, own = keyfiles.node(), own_address(config)
    try:
        subject = x509.subject_of(keyfiles.read(files.certificate))
    except InvalidRequest as error:
        raise InvalidConfig(f"{files.certificate}: {error.message}", "ovnhook node join") from error
    yield Step(
        f"the certificate of {subject} is up to date",
        lambda: not x509.needs_renewal(files.certificate.read_bytes()),
        lambda: _issue(subject.name, own, client) if own else _renew(files, client),
    )
    yield from _addresses(own, client)


def enrol_control_host(own: str, client: ControlClient) -> Iterator[Step]:
    """Give a hypervisor that is a control host of a cluster a node's certificate, for calls of the other members.

    Args:
        own: address of this control host.
        client: client of its control service.
    """
    ids, files = switch.settings(), keyfiles.node()
    if "ovn-remote" not in ids:
        return
    name = ids["system-id"]
    yield Step(
        f"this host has a certificate for {Subject(name, x509.NODE)}",
        files.certificate.exists,
        lambda: _issue(name, own, client),
    )
    yield from _addresses(own, client)


def _addresses(own: str, client: ControlClient) -> Iterator[Step]:
    """Update the addresses of control hosts."""
    found = client.pages("ListCertificates", "certificates")
    hosts = [one["address"] for one in found if one["address"]]
    yield from _configuration(hosts, own)
    yield switch.setting("ovn-remote", _southbound(hosts, own))
    yield restarted("ovnhook-agent", PATH)


def own_address(config: Config) -> str:
    """Address of this control host, or "" on other hosts."""
    if not config.authority:
        return ""
    return x509.addresses_of(keyfiles.read(AuthorityFiles(Path(config.authority)).databases.certificate))[0]


def _southbound(hosts: Sequence[str], own: str) -> str:
    """Remotes of the southbound database: a control host's own server, and those of its cluster's other members."""
    others = _remotes("ssl:", [host for host in hosts if host != own], SOUTHBOUND)
    if not own:
        return others
    return f"{Config.southbound},{others}" if others and cluster.is_member() else Config.southbound


def _remotes(scheme: str, hosts: Sequence[str], port: int) -> str:
    """List of a port's remotes on all control hosts, separated by commas."""
    return ",".join(f"{scheme}{bracketed(host)}:{port}" for host in sorted(hosts))


def _has_joined(files: Files, subject: Subject, token: Token) -> bool:
    """Test for a certificate of the token's authority, which may have been revoked."""
    found, ca = keyfiles.read(files.certificate), keyfiles.read(files.ca)
    try:
        return (
            x509.fingerprint(ca) == token.fingerprint
            and x509.subject_of(found) == subject
            and x509.matches(found, files.key.read_bytes())
        )
    except InvalidRequest:  # a file that is not there, or was cut off
        return False


def _new_key(files: Files) -> None:
    keyfiles.write(files.key, x509.new_key(), SECRET)


def _enrol(files: Files, token: Token, address: str, client: ControlClient) -> None:
    ca, made = enrol(token, files.key.read_bytes(), address, client)
    keyfiles.write(files.ca, ca, PUBLIC)
    keyfiles.replace_certificate(files, made["certificate"].encode())


def _issue(name: str, address: str, client: ControlClient) -> None:
    """Enrol this control host as a node: by its unix socket it can't renew a node's certificate, only issue a token."""
    files = keyfiles.node()
    if not keyfiles.is_key(files.key):
        _new_key(files)
    _enrol(files, tokens.parse(client.call("CreateToken", name=name)["token"]), address, client)


def _set_ssl(paths: tuple[str, ...]) -> None:
    run("ovs-vsctl", "--timeout=10", "--no-wait", "set-ssl", *paths)


def _is_registered(client: ControlClient, name: str) -> bool:
    try:
        return bool(client.call("GetNode", name=name)["agent_version"])
    except NotFound:
        return False


def _renew(files: Files, client: ControlClient) -> None:
    made = client.call("RenewCertificate", request=x509.request(files.key.read_bytes()).decode())
    keyfiles.replace_certificate(files, made["certificate"].encode())
