"""A control host that others reach: the databases and the control service by TLS, and the authority for it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from ovnhook.base.config import PATH, Config
from ovnhook.base.errors import InUse, InvalidRequest, Unavailable
from ovnhook.pki import keyfiles, remotes
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.pki.members import bracketed
from ovnhook.pki.token import API, ENROLMENT, NORTHBOUND, SOUTHBOUND, Token
from ovnhook.setup import authority, central, cloud, cluster, configuration, enrolment, fence, underlay
from ovnhook.setup.command import run
from ovnhook.setup.enrolment import Door
from ovnhook.setup.listening import Listening
from ovnhook.setup.services import enabled, restarted
from ovnhook.setup.step import Step

RENEWAL = "ovnhook-renew.timer"
"""What renews certificates when it is time to."""


@dataclass(frozen=True)
class ControlOptions:
    """What an administrator asks for.

    Attributes:
        name: of the host.
        address: that others reach it at, or "".
        subnet: the addresses of the default subnet.
        leg: the router's place outside, or None.
        cluster: whether its databases are to be members of a cluster.
        token: that lets it join a cluster, or None for a cloud's first control host.
    """

    name: str
    address: str
    subnet: str
    leg: cloud.ExternalGateway | None
    cluster: bool
    token: Token | None


def steps(wishes: ControlOptions, config: Config, api: Door, door: Door) -> Iterator[Step]:
    """The steps, each to be carried out before the next one is asked for.

    Args:
        wishes: what is asked for.
        config: of this host.
        api: the control service of this host.
        door: that of another one.

    Raises:
        OvnhookError: the databases of this host are another one's, or listen to everybody.
    """
    central.check_own(config)
    address = underlay.checked(wishes.address) or underlay.address()
    if address == underlay.ALONE:
        raise InvalidRequest("no address of this host leads to others", "say which one does: --address ADDR")
    yield enabled("openvswitch-switch", "openvswitch-switch")
    files = AuthorityFiles(keyfiles.AUTHORITY)
    if wishes.token:
        yield from authority.joined(files, wishes.token, address, door)
    else:
        yield from authority.steps(files, wishes.name, address)
    if wishes.cluster:
        yield from _member(wishes, address, files, api)
    else:
        yield from central.steps()
    yield from configuration.says(settings(files, address))
    yield enabled("ovnhook-control", "ovnhook-control")
    yield restarted("ovnhook-control", PATH)
    yield from (_reached("the control service", address, port) for port in (API, ENROLMENT))
    if wishes.cluster:
        yield from fence.steps(files)
    else:
        northbound = remotes.served("OVN_Northbound", ipv6=":" in address)
        yield from Listening("nb", [northbound.target], files.databases).steps()
        yield _reached("the northbound database", address, NORTHBOUND)
        yield from _southbound(files, address)
    yield enabled(RENEWAL, "python3-ovnhook")
    yield from cloud.steps(api, wishes.subnet, wishes.leg)


def _member(wishes: ControlOptions, address: str, files: AuthorityFiles, api: Door) -> Iterator[Step]:
    """The databases are members of a cluster."""
    known = enrolment.hosts(wishes.token) if wishes.token else others(api)
    members = tuple(dict.fromkeys([*known, address]))
    if not files.databases.ca.exists():
        keyfiles.write(files.databases.ca, files.own.certificate.read_bytes(), keyfiles.PUBLIC)
    joins = known[0] if wishes.token else ""
    yield from cluster.steps(cluster.ClusterMember(address, joins, members, files.databases))


def others(api: Door) -> list[str]:
    """The addresses of the control hosts that there are, as far as the control service can be asked."""
    try:
        found = api.pages("ListCertificates", "certificates")
    except (Unavailable, InUse):
        return []
    return [one["address"] for one in found if one["address"]]


def settings(files: AuthorityFiles, address: str) -> dict[str, str]:
    """What ``ovnhook.toml`` says on a control host.

    Args:
        files: of the authority.
        address: that others reach it at.
    """
    anywhere = "[::]" if ":" in address else "0.0.0.0"  # noqa: S104 - by mutual TLS
    shown = files.api
    return {
        "listen": f"{anywhere}:{API}",
        "enrolment": f"{anywhere}:{ENROLMENT}",
        "certificate": str(shown.certificate),
        "private_key": str(shown.key),
        "ca": str(shown.ca),
        "authority": str(files.folder),
    }


def _southbound(files: AuthorityFiles, address: str) -> Iterator[Step]:
    """The southbound database listens by TLS, to whom the control service lets in.

    By rows: a role can't be given otherwise, and without one of no role nobody can change them.

    Args:
        files: of the authority.
        address: of this host: which family others come by.
    """
    shown = files.databases
    what = [str(shown.key), str(shown.certificate), str(shown.ca)]
    wanted = remotes.served("OVN_Southbound", ipv6=":" in address)
    yield Step(
        "the southbound database shows this host's certificate",
        lambda: _listed(run("ovn-sbctl", "--timeout=10", "get-ssl")) == what,
        lambda: _run("ovn-sbctl", "set-ssl", *what),
    )
    yield Step(
        f"the southbound database listens at {wanted.target} to who has the role {wanted.role}",
        lambda: central.connections("ovn-sbctl").get(wanted.target) == wanted.role,
        lambda: central.listen("ovn-sbctl", {**central.connections("ovn-sbctl"), wanted.target: wanted.role}),
    )
    yield _reached("the southbound database", address, SOUTHBOUND)


def _listed(said: str) -> list[str]:
    """The three files that ``get-ssl`` tells."""
    return re.findall(r"(?m)^(?:Private key|Certificate|CA Certificate): (.*)$", said)


def _run(*argv: str) -> None:
    tool, *more = argv
    run(tool, "--timeout=10", *more)


def _reached(what: str, address: str, port: int) -> Step:
    return Step(f"{what} is reached at {bracketed(address)}:{port}", lambda: _answers(address, port))


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
