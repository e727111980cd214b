"""Set-up of a control host: certificate authority, and databases and control service with TLS."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from ovnhook.base.command import run
from ovnhook.base.config import PATH, Config
from ovnhook.base.errors import FailedPrecondition, InvalidRequest, Unavailable
from ovnhook.pki import keyfiles, remotes
from ovnhook.pki.fence import NORTHBOUND
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.pki.members import bracketed
from ovnhook.pki.token import API, ENROLMENT, SOUTHBOUND, Token
from ovnhook.setup import authority, central, cloud, cluster, configuration, enrolment, fence, member, underlay
from ovnhook.setup.enrolment import RENEWAL, ControlClient
from ovnhook.setup.listening import Listening
from ovnhook.setup.services import enabled, restarted
from ovnhook.setup.step import Step


@dataclass(frozen=True)
class ControlOptions:
    """Options of ``ovnhook node init --control``.

    Attributes:
        name: name of the host.
        address: its address for other hosts, or "".
        subnet: CIDR of the default subnet.
        external: external gateway of the router, or None.
        cluster: its databases are members of a cluster.
        token: join token, or None for the first control host.
    """

    name: str
    address: str
    subnet: str
    external: cloud.ExternalGateway | None
    cluster: bool
    token: Token | None


def steps(options: ControlOptions, config: Config, api: ControlClient, client: ControlClient) -> Iterator[Step]:
    """Steps, each to be carried out before the next one is requested.

    Args:
        options: options of the command.
        config: configuration of this host.
        api: client of this host's control service.
        client: client of another host's control service.

    Raises:
        OvnhookError: the configured databases are on another host, or listen without TLS.
    """
    central.check_own(config)
    address = underlay.parse(options.address) or underlay.address()
    if address == underlay.LOOPBACK:
        raise InvalidRequest("a control host needs an address that other hosts can reach", "specify --address ADDR")
    yield enabled("openvswitch-switch", "openvswitch-switch")
    files = AuthorityFiles(keyfiles.AUTHORITY)
    if options.token:
        yield from authority.joined(files, options.token, address, client)
    else:
        yield from authority.steps(files, options.name, address)
    if options.cluster:
        yield from _member(options, address, files, api)
    else:
        yield from central.steps()
    yield from configuration.steps(settings(files, address))
    yield enabled("ovnhook-control", "ovnhook-control")
    yield restarted("ovnhook-control", PATH)
    yield from (_reachable("the control service", address, port) for port in (API, ENROLMENT))
    if options.cluster:
        yield from fence.steps(files)
    else:
        yield from _northbound(files, address)
        yield from _southbound(files, address)
    yield enabled(RENEWAL, "python3-ovnhook")
    yield from cloud.steps(api, options.subnet, options.external)
    if options.cluster:
        yield from member.enrol_control_host(address, api)


def _member(options: ControlOptions, address: str, files: AuthorityFiles, api: ControlClient) -> Iterator[Step]:
    """Make the databases members of a cluster."""
    known = enrolment.hosts(options.token) if options.token else control_hosts(api)
    members = tuple(dict.fromkeys([*known, address]))
    if not files.databases.ca.exists():
        keyfiles.write(files.databases.ca, files.own.certificate.read_bytes(), keyfiles.PUBLIC)
    if not files.northbound.ca.exists():  # the control service writes it, but does not run yet
        keyfiles.write(files.northbound.ca, files.databases.ca.read_bytes(), keyfiles.PUBLIC)
    joins = known[0] if options.token else ""
    yield from cluster.steps(cluster.ClusterMember(address, joins, members, files.northbound, files.databases))


def control_hosts(api: ControlClient) -> list[str]:
    """Addresses of the control hosts, empty if the control service does not answer."""
    try:
        found = api.pages("ListCertificates", "certificates")
    except (Unavailable, FailedPrecondition):
        return []
    return [one["address"] for one in found if one["address"]]


def settings(files: AuthorityFiles, address: str) -> dict[str, str]:
    """Settings of ``ovnhook.toml`` on a control host.

    Args:
        files: files of the authority.
        address: address of this host.
    """
    anywhere = "[::]" if ":" in address else "0.0.0.0"  # noqa: S104 - by mutual TLS
    api = files.api
    return {
        "listen": f"{anywhere}:{API}",
        "enrolment": f"{anywhere}:{ENROLMENT}",
        "certificate": str(api.certificate),
        "private_key": str(api.key),
        "ca": str(api.ca),
        "authority": str(files.folder),
    }


def _northbound(files: AuthorityFiles, address: str) -> Iterator[Step]:
    """Let the northbound database serve this host only, unless nodes need it that do not use the API yet.

    Args:
        files: files of the authority.
        address: address of this host, which selects the address family.
    """
    yield Step(f"{files.northbound.ca} exists", files.northbound.ca.exists, hint="systemctl restart ovnhook-control")
    target, is_open = remotes.served("OVN_Northbound", ipv6=":" in address).target, files.serves_nodes
    yield from Listening(target, is_open, files.northbound).steps()
    if is_open:
        yield _reachable("the northbound database", address, NORTHBOUND)


def _southbound(files: AuthorityFiles, address: str) -> Iterator[Step]:
    """Let the southbound database listen with TLS, for trusted clients.

    By Connection rows: an RBAC role can only be set there, and clients with a role cannot change them.

    Args:
        files: files of the authority.
        address: address of this host, which selects the address family.
    """
    tls = files.databases
    paths = [str(tls.key), str(tls.certificate), str(tls.ca)]
    wanted = remotes.served("OVN_Southbound", ipv6=":" in address)
    yield Step(
        "the southbound database uses this host's certificate",
        lambda: _listed(run("ovn-sbctl", "--timeout=10", "get-ssl")) == paths,
        lambda: _run("ovn-sbctl", "set-ssl", *paths),
    )
    yield Step(
        f"the southbound database listens on {wanted.target} with role {wanted.role}",
        lambda: central.connections("ovn-sbctl").get(wanted.target) == wanted.role,
        lambda: central.listen("ovn-sbctl", {**central.connections("ovn-sbctl"), wanted.target: wanted.role}),
    )
    yield _reachable("the southbound database", address, SOUTHBOUND)


def _listed(output: str) -> list[str]:
    """Parse the three paths in the output of ``get-ssl``."""
    return re.findall(r"(?m)^(?:Private key|Certificate|CA Certificate): (.*)$", output)


def _run(*argv: str) -> None:
    tool, *more = argv
    run(tool, "--timeout=10", *more)


def _reachable(service: str, address: str, port: int) -> Step:
    return Step(f"{service} is reachable at {bracketed(address)}:{port}", lambda: _answers(address, port))


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
