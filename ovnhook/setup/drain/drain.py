"""Migration of this host's domains to other hosts, one after another, with ``virsh migrate``.

Migrations are peer-to-peer between the two libvirt daemons, so they complete or fail even if the command is killed. The
state is therefore read from libvirt before each migration and never cached, and a drain can be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ovnhook.agent.host import Host
from ovnhook.api.client import Client
from ovnhook.base.command import complete
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition, InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.base.text import quoted
from ovnhook.domains.domainxml import DomainXML
from ovnhook.setup.drain import placement

PLACE = "{node}"
"""Placeholder for the name of a node in a URI."""

_HERE = "qemu:///system"
_TIMEOUT = 10.0  # seconds to read Open vSwitch, or to connect to another host's libvirt
_LIBVIRT_TIMEOUT = 30.0  # seconds for a call of libvirt, which waits for a hook of the same domain
_CANCEL_TIMEOUT = 30.0  # seconds for a migration to be cancelled
_POLL_INTERVAL = 0.5  # seconds

Say = Callable[[str], None]


@dataclass(frozen=True)
class DrainOptions:
    """Options of ``ovnhook node drain``.

    Attributes:
        node: name of this node, as a confirmation.
        to: names of the target nodes, empty for any.
        uri: libvirt URI of a target, with PLACE for its name.
        timeout: timeout of one domain's migration, in seconds.
    """

    node: str
    to: tuple[str, ...]
    uri: str
    timeout: float


@dataclass(frozen=True)
class _Guest:
    uuid: str
    name: str
    is_running: bool
    is_persistent: bool
    has_autostart: bool
    is_saved: bool


def drain(options: DrainOptions, config: Config, client: Client, say: Say) -> None:
    """Migrate all domains away. Idempotent.

    Args:
        options: options of the command.
        config: configuration of this host.
        client: client of the control service.
        say: receives progress messages.

    Raises:
        FailedPrecondition: some domains could not be migrated; the message has the reasons.
        OvnhookError: an option is invalid, or the control service, Open vSwitch or libvirt does not answer; no
            domain was touched.
    """
    if PLACE not in options.uri:
        raise InvalidRequest(f"--uri {options.uri}: expected {PLACE} in place of the target node's name")
    here = _name(config, options.node)
    nodes = {node["name"]: node for node in client.pages("ListNodes", "nodes")}
    if options.node != here:
        if options.node not in nodes:
            raise NotFound(f"there is no node '{options.node}'", "ovnhook node list, on the control host")
        raise InvalidRequest(f"this host is node {here}, not {options.node}", _there(options.node))
    names = placement.targets({name: node["agent_seen"] for name, node in nodes.items()}, here, options.to)
    if not _guests():
        say(f"node {here} has no domains")
        return
    reached = [name for name in names if _is_reachable(name, options, say)]
    if not reached:
        raise Unavailable(
            f"no other node can take the domains of node {here}",
            "a target needs a running agent, and a libvirt that this host can connect to with --uri",
        )
    _Drain(options, {name: nodes[name]["ports"] or 0 for name in reached}, say).run()


def _name(config: Config, asked: str) -> str:
    try:
        return Host(config).vswitch.chassis(Deadline.after(_TIMEOUT))
    except Unavailable as error:
        raise Unavailable(error.message, f"is this host node {asked}? If not: {_there(asked)}") from error


def _there(node: str) -> str:
    return f"ssh {quoted(node)} ovnhook node drain {quoted(node)}"


def _is_reachable(name: str, options: DrainOptions, say: Say) -> bool:
    """Test the connection to a node's libvirt.

    Raises:
        OvnhookError: it failed, and the node was requested by name.
    """
    try:
        _virsh(options.uri.replace(PLACE, name), "hostname", timeout=_TIMEOUT)
    except OvnhookError as error:
        if name in options.to:
            raise error.within(f"node {name}") from error
        say(f"skipped    {name}: {error.message}")
        return False
    return True


class _Drain:
    """State of a drain.

    Args:
        options: options of the command.
        interfaces: number of interfaces on each target node.
        say: receives progress messages.
    """

    def __init__(self, options: DrainOptions, interfaces: dict[str, int], say: Say) -> None:
        self._options = options
        self._interfaces = interfaces
        self._say = say

    def run(self) -> None:
        reasons: dict[str, str] = {}
        # Listed again each time: a drain may take hours, in which domains start and stop.
        while guest := next((one for one in _guests() if one.uuid not in reasons), None):
            reasons[guest.uuid] = "it was moved, and has returned"
            try:
                self._move(guest.uuid)
            except OvnhookError as error:
                reasons[guest.uuid] = error.message
                if _here(guest.uuid):
                    self._say(f"failed     {guest.name}: {error.message}")
                else:
                    self._say(f"gone       {guest.name}: stopped or migrated by something else")
        if left := _guests():
            causes = "; ".join(f"{guest.name}: {reasons.get(guest.uuid, 'it has just arrived')}" for guest in left)
            count = "1 domain is" if len(left) == 1 else f"{len(left)} domains are"
            raise FailedPrecondition(
                f"{count} still on node {self._options.node}: {causes}",
                f"when that is fixed: ovnhook node drain {quoted(self._options.node)}",
            )
        self._say(f"node {self._options.node} has no domains left")

    def _move(self, uuid: str) -> None:
        """Migrate a domain to the first node that accepts it.

        Raises:
            OvnhookError: it was not migrated; the message has the reason.
        """
        deadline = Deadline.after(self._options.timeout)
        guest = _settled(uuid, deadline)
        if guest is None:
            raise NotFound("it is no longer on this host")
        xml = DomainXML(_virsh(_HERE, "dumpxml", guest.uuid).encode())
        if not guest.is_running:
            _check_offline(guest, xml)
        refusals: dict[str, str] = {}
        for target in placement.emptiest_first(self._interfaces):
            self._say(f"moving     {guest.name} to {target}")
            try:
                self._migrate(guest, target, deadline)
            except Unavailable:
                raise  # a timeout would occur with any other node as well
            except OvnhookError as error:
                refusals[target] = error.message
                continue
            self._interfaces[target] += max(1, len(xml.identity.macs))
            self._say(f"moved      {guest.name} to {target}{self._autostart(guest, target)}")
            return
        if len({*refusals.values()}) == 1:
            raise OvnhookError(next(iter(refusals.values())))
        raise OvnhookError("; ".join(f"to {target}: {why}" for target, why in refusals.items()))

    def _migrate(self, guest: _Guest, target: str, deadline: Deadline) -> None:
        """Migrate a domain to a node.

        Raises:
            Unavailable: the migration timed out and was cancelled.
            OvnhookError: libvirt refused it; the message is libvirt's.
        """
        options = ["--p2p", "--live" if guest.is_running else "--offline"]
        if guest.is_persistent:
            options += ["--persistent", "--undefinesource"]
        uri = self._uri(target)
        try:
            _virsh(_HERE, "migrate", *options, guest.uuid, uri, timeout=max(1.0, deadline.remaining))
        except Unavailable as late:
            _cancel(guest)
            if _settled(guest.uuid, Deadline.after(_CANCEL_TIMEOUT)):
                raise Unavailable(
                    f"the migration to {target} timed out after {self._options.timeout:g} s and was cancelled; "
                    "see --timeout"
                ) from late
            _virsh(uri, "domname", guest.uuid, timeout=_TIMEOUT)  # completed before the cancellation
        except KeyboardInterrupt:
            _cancel(guest)
            raise
        if not guest.is_running and (started := _here(guest.uuid)) and started.is_running:
            # It was started meanwhile, and libvirt has only copied its definition.
            self._migrate(started, target, deadline)

    def _autostart(self, guest: _Guest, target: str) -> str:
        """Set autostart on the target, which a migration does not copy; return a note for the progress message."""
        if not guest.has_autostart:
            return ""
        try:
            _virsh(self._uri(target), "autostart", guest.uuid, timeout=_TIMEOUT)
        except OvnhookError as error:
            return f"; autostart could not be set there: {error.message}"
        return ""

    def _uri(self, node: str) -> str:
        return self._options.uri.replace(PLACE, node)


def _guests() -> list[_Guest]:
    """Domains on this host, sorted by name, running ones first.

    Raises:
        Unavailable: libvirt does not answer.
    """
    try:
        lines = _virsh(_HERE, "list", "--all", "--uuid", "--name").splitlines()
        running, defined, starting, saved = (
            {*_virsh(_HERE, "list", "--uuid", *which).split()}
            for which in ([], ["--all", "--persistent"], ["--all", "--autostart"], ["--all", "--with-managed-save"])
        )
    except OvnhookError as error:
        raise Unavailable(f"libvirt of this host: {error.message}", error.hint) from error
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    found = [
        _Guest(uuid, name, uuid in running, uuid in defined, uuid in starting, uuid in saved) for uuid, name in pairs
    ]
    return sorted(found, key=lambda guest: (not guest.is_running, guest.name))


def _here(uuid: str) -> _Guest | None:
    return next((guest for guest in _guests() if guest.uuid == uuid), None)


def _settled(uuid: str, deadline: Deadline) -> _Guest | None:
    """Wait until a domain has no job, such as a migration of a killed drain; return None if it is gone.

    Raises:
        Unavailable: the deadline passed.
    """
    while True:
        guest = _here(uuid)
        if guest is None or not guest.is_running or _is_idle(guest):
            return guest
        if not deadline.remaining:
            raise Unavailable(f"it still has a job: virsh domjobinfo {quoted(guest.name)}")
        time.sleep(_POLL_INTERVAL)


def _is_idle(guest: _Guest) -> bool:
    try:
        output = _virsh(_HERE, "domjobinfo", guest.uuid)
    except OvnhookError:
        return False  # an incoming migration, whose statistics are at the source, or the domain is gone
    return output.split()[-1:] == ["None"]


def _cancel(guest: _Guest) -> None:
    try:
        _virsh(_HERE, "domjobabort", guest.uuid)
    except OvnhookError:
        return  # the job has ended; the caller checks the outcome


def _check_offline(guest: _Guest, xml: DomainXML) -> None:
    """Refuse an offline migration of a domain with local state: only its definition would be migrated.

    Raises:
        OvnhookError: the domain has local disks, memory or the like.
    """
    why = "and an offline migration moves only the definition"
    if guest.is_saved:
        raise OvnhookError(f"its memory is saved on this host (managedsave), {why}")
    for what, path in xml.belongings():
        if not path or not placement.is_shared(_filesystem(path)):
            raise OvnhookError(f"its {what}{f', {path},' if path else ''} may be local to this host, {why}")


def _filesystem(path: str) -> str:
    """Type of a file's filesystem, or "" if unknown."""
    try:
        done = complete("findmnt", "--noheadings", "--output=FSTYPE", f"--target={path}", timeout=_TIMEOUT)
    except OvnhookError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def _virsh(uri: str, *words: str, timeout: float = _LIBVIRT_TIMEOUT) -> str:
    """Run virsh; return its output.

    Raises:
        OvnhookError: no such command, or it failed; the message is its own.
        Unavailable: it timed out.
    """
    done = complete("virsh", "--quiet", "--connect", uri, *words, timeout=timeout, package="libvirt-clients")
    if done.returncode:
        lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
        raise OvnhookError(": ".join(lines) or f"virsh: exit status {done.returncode}")
    return done.stdout
