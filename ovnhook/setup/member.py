"""A host joins a cloud, with a token: as a node that domains can run on, and perhaps as a gateway."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ovnhook.base.config import PATH, Config
from ovnhook.base.errors import InvalidConfig, InvalidRequest, NotFound
from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import PUBLIC, SECRET, Files
from ovnhook.pki.members import bracketed
from ovnhook.pki.token import API, NORTHBOUND, SOUTHBOUND, Token
from ovnhook.pki.x509 import Subject
from ovnhook.setup import chassis, configuration, enrolment, switch, underlay
from ovnhook.setup.command import run
from ovnhook.setup.control import RENEWAL
from ovnhook.setup.enrolment import Door, enrol
from ovnhook.setup.services import enabled, restarted
from ovnhook.setup.step import Step


@dataclass(frozen=True)
class MemberOptions:
    """What an administrator asks for.

    Attributes:
        address: where its tunnels are to end, or "".
        gateway: whether routers may reach the outside by this host.
        interface: that leads outside, or "".
    """

    address: str
    gateway: bool
    interface: str


def join(token: Token, wishes: MemberOptions, config: Config, door: Door) -> Iterator[Step]:
    """The steps, each to be carried out before the next one is asked for.

    Raises:
        OvnhookError: the token is not for a node, the host is part of another cloud, or who answers is another one.
    """
    if token.role != x509.NODE:
        raise InvalidRequest(
            f"this token is for a {token.role} host", "ovnhook node init --control --cluster --token -"
        )
    yield enabled("openvswitch-switch", "openvswitch-switch")
    hosts = enrolment.hosts(token)
    # A control host is a node of its own cloud by its own databases.
    remote = Config.southbound if config.authority else _everywhere("ssl:", hosts, SOUTHBOUND)
    chassis.check(remote, wishes.interface)
    ids = switch.settings()
    name = switch.name_for(token.name, token.name, ids)
    address = underlay.checked(wishes.address) or ids.get("ovn-encap-ip") or underlay.address(hosts[0])
    if not config.authority:
        yield from _lets_in(token, name, address, hosts, door)
    # Debian records the host's name anew at each boot, with its domain if that can be found out just then. A host may
    # not change it in the southbound database: ovn-controller would be refused all else too. This key goes before.
    own = f"hostname-{name}"
    yield switch.knows(own, ids.get(own) or socket.gethostname())
    yield from chassis.steps(name, config, remote, address, wishes.interface, gateway=wishes.gateway)
    yield enabled("ovnhook-agent", "ovnhook-hypervisor")
    if PATH.exists():
        yield restarted("ovnhook-agent", PATH)
    yield enabled(RENEWAL, "python3-ovnhook")
    yield Step(
        f"the cloud knows this host as {name}",
        lambda: _is_known(door, name),
        within=120,  # an agent that was refused tries again within half a minute
        hint="its log is /var/log/ovn/ovn-controller.log; journalctl -u ovnhook-agent",
    )


def _lets_in(token: Token, name: str, address: str, hosts: Sequence[str], door: Door) -> Iterator[Step]:
    """The host has a certificate, and shows it to control hosts."""
    files, subject = keyfiles.node(), Subject(name, x509.NODE)
    yield Step("this host has a key", lambda: keyfiles.is_key(files.key), lambda: _new_key(files))
    yield Step(
        f"this host has a certificate as {subject}",
        lambda: _has_joined(files, subject, token) and door.is_let_in(_everywhere("", hosts, API).split(","), files),
        lambda: _enrol(files, token, address, door),
    )
    shown = (str(files.key), str(files.certificate), str(files.ca))
    yield Step(
        "Open vSwitch shows this host's certificate",
        lambda: all(path in run("ovs-vsctl", "--timeout=10", "get-ssl") for path in shown),
        lambda: _show(shown),
    )
    yield from configuration.says(
        {
            "database_certificate": str(files.certificate),
            "database_private_key": str(files.key),
            "database_ca": str(files.ca),
            **_reaches(hosts),
        }
    )


def renew(files: Files, door: Door) -> Iterator[Step]:
    """A node's certificate is good for a while yet, and it knows where all control hosts are.

    Args:
        files: what the node shows.
        door: the control service.
    """
    try:
        subject = x509.subject_of(keyfiles.read(files.certificate))
    except InvalidRequest as error:
        raise InvalidConfig(f"{files.certificate}: {error.message}", "ovnhook node join") from error
    yield Step(
        f"the certificate of {subject} is good for a while",
        lambda: not x509.needs_renewal(files.certificate.read_bytes()),
        lambda: _renew(files, door),
    )
    found = door.pages("ListCertificates", "certificates")
    hosts = [one["address"] for one in found if one["address"]]
    yield from configuration.says(_reaches(hosts))
    yield switch.knows("ovn-remote", _everywhere("ssl:", hosts, SOUTHBOUND))
    yield restarted("ovnhook-agent", PATH)


def _reaches(hosts: Sequence[str]) -> dict[str, str]:
    """What ``ovnhook.toml`` says of where a node reaches control hosts."""
    return {"northbound": _everywhere("ssl:", hosts, NORTHBOUND), "control": _everywhere("", hosts, API)}


def _everywhere(scheme: str, hosts: Sequence[str], port: int) -> str:
    """Where a server is on every control host, as lists of them are written."""
    return ",".join(f"{scheme}{bracketed(host)}:{port}" for host in sorted(hosts))


def _has_joined(files: Files, subject: Subject, token: Token) -> bool:
    """Whether this host has a certificate of the authority that a token is of; it may be let in no more with it."""
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


def _enrol(files: Files, token: Token, address: str, door: Door) -> None:
    ca, made = enrol(token, files.key.read_bytes(), address, door)
    keyfiles.write(files.ca, ca, PUBLIC)
    keyfiles.replace_certificate(files, made["certificate"].encode())


def _show(paths: tuple[str, ...]) -> None:
    run("ovs-vsctl", "--timeout=10", "--no-wait", "set-ssl", *paths)


def _is_known(door: Door, name: str) -> bool:
    try:
        return bool(door.call("GetNode", name=name)["agent_version"])
    except NotFound:
        return False


def _renew(files: Files, door: Door) -> None:
    made = door.call("RenewCertificate", request=x509.request(files.key.read_bytes()).decode())
    keyfiles.replace_certificate(files, made["certificate"].encode())
