"""Moves this host's domains to other hosts, one after another, as an administrator would with ``virsh migrate``.

libvirt moves them peer to peer: this host's daemon speaks with the other's, and a migration comes to its end, good or
bad, whatever becomes of the command that asked for it. So libvirt is looked at before each one, and never remembered:
whoever drains a host again finds it as it is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ovnhook.agent.host import Host
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InUse, InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.base.text import quoted
from ovnhook.databases.southbound import Southbound
from ovnhook.domains.domainxml import DomainXML
from ovnhook.setup.drain import placement

PLACE = "{node}"
"""What stands in a URI for the name of a node."""

_HERE = "qemu:///system"
_PATIENCE = 10.0  # seconds for reading a database, or to reach another host's libvirt
_ANSWER = 30.0  # seconds for what libvirt does at once, but for a domain that a hook is at work for
_CANCEL = 30.0  # seconds in which a migration that is given up ends
_PAUSE = 0.5  # seconds between two looks

Say = Callable[[str], None]


@dataclass(frozen=True)
class DrainOptions:
    """What an administrator asks for.

    Attributes:
        node: the name of this host, said to be sure.
        to: the nodes that the domains are to go to; none for any.
        uri: of another host's libvirt, with PLACE in it.
        timeout: seconds that the move of one domain may take.
    """

    node: str
    to: tuple[str, ...]
    uri: str
    timeout: float


@dataclass(frozen=True)
class _Guest:
    uuid: str
    name: str
    runs: bool
    is_defined: bool
    starts_itself: bool
    is_saved: bool


def drain(wishes: DrainOptions, config: Config, say: Say) -> None:
    """Move all domains away; it may be repeated at any time.

    Args:
        wishes: what is asked for.
        config: of this host.
        say: is told each step.

    Raises:
        InUse: some stay, for the reasons that it tells.
        OvnhookError: the wishes have no meaning here, or nobody can be asked; no domain was touched.
    """
    if PLACE not in wishes.uri:
        raise InvalidRequest(f"--uri {wishes.uri}: it has no {PLACE}, for the name of the node that a domain goes to")
    host = Host(config)
    deadline = Deadline.after(_PATIENCE)
    here = _name(host, wishes.node, deadline)
    southbound = Southbound.of_host(host.vswitch.host(deadline).southbound)
    nodes = southbound.nodes(deadline)
    if wishes.node != here:
        if wishes.node not in {node.name for node in nodes}:
            raise NotFound(f"there is no node '{wishes.node}'", "ovnhook node list, on the control host")
        raise InvalidRequest(f"this host is node {here}, and not {wishes.node}", _there(wishes.node))
    names = placement.others(nodes, here, wishes.to, time.time())
    if not _guests():
        say(f"node {here} has no domains")
        return
    ports = host.northbound.port_counts(deadline)
    reached = [name for name in names if _is_reached(name, wishes, say)]
    if not reached:
        raise Unavailable(
            f"node {here} has domains, and no other node can take them",
            "a node takes them whose agent runs, and whose libvirt is reached from here by --uri",
        )
    _Drain(wishes, {name: ports[name] for name in reached}, say).run()


def _name(host: Host, asked: str, deadline: Deadline) -> str:
    try:
        return host.vswitch.chassis(deadline)
    except Unavailable as error:
        raise Unavailable(error.message, f"is this node {asked}? If not: {_there(asked)}") from error


def _there(node: str) -> str:
    return f"ssh {quoted(node)} ovnhook node drain {quoted(node)}"


def _is_reached(name: str, wishes: DrainOptions, say: Say) -> bool:
    """Whether a node has a libvirt that can be asked from here.

    Raises:
        OvnhookError: it has none, and was asked for by name.
    """
    try:
        _virsh(wishes.uri.replace(PLACE, name), "hostname", patience=_PATIENCE)
    except OvnhookError as error:
        if name in wishes.to:
            raise error.within(f"node {name}") from error
        say(f"not to     {name}: {error.message}")
        return False
    return True


class _Drain:
    """One drain: where each domain went, or why it stays.

    Args:
        wishes: what is asked for.
        interfaces: how many there are on each node that domains may go to.
        say: is told each step.
    """

    def __init__(self, wishes: DrainOptions, interfaces: dict[str, int], say: Say) -> None:
        self._wishes = wishes
        self._interfaces = interfaces
        self._say = say

    def run(self) -> None:
        reasons: dict[str, str] = {}
        # Looked at anew each time: a drain may last for hours, in which domains start and stop.
        while guest := next((one for one in _guests() if one.uuid not in reasons), None):
            reasons[guest.uuid] = "it was moved, and is here again"
            try:
                self._move(guest.uuid)
            except OvnhookError as error:
                reasons[guest.uuid] = error.message
                if _here(guest.uuid):
                    self._say(f"stays      {guest.name}: {error.message}")
                else:
                    self._say(f"gone       {guest.name}: it has left this host, or ended, by itself")
        if left := _guests():
            told = "; ".join(f"{guest.name}: {reasons.get(guest.uuid, 'it has just come')}" for guest in left)
            count = "1 domain is" if len(left) == 1 else f"{len(left)} domains are"
            raise InUse(
                f"{count} still on node {self._wishes.node}: {told}",
                f"when that is mended: ovnhook node drain {quoted(self._wishes.node)}",
            )
        self._say(f"node {self._wishes.node} has no domains any more")

    def _move(self, uuid: str) -> None:
        """Move a domain to the first node that takes it.

        Raises:
            OvnhookError: it was not moved; the message says why.
        """
        deadline = Deadline.after(self._wishes.timeout)
        guest = _settled(uuid, deadline)
        if guest is None:
            raise NotFound("it is not here any more")
        xml = DomainXML(_virsh(_HERE, "dumpxml", guest.uuid).encode())
        if not guest.runs:
            _check_nothing_stays_behind(guest, xml)
        refusals: dict[str, str] = {}
        for target in placement.emptiest_first(self._interfaces):
            self._say(f"moving     {guest.name} to {target}")
            try:
                self._migrate(guest, target, deadline)
            except Unavailable:
                raise  # it took too long: it would on the way to any other node
            except OvnhookError as error:
                refusals[target] = error.message
                continue
            self._interfaces[target] += max(1, len(xml.identify().macs))
            self._say(f"moved      {guest.name} to {target}{self._autostart(guest, target)}")
            return
        if len({*refusals.values()}) == 1:
            raise OvnhookError(next(iter(refusals.values())))
        raise OvnhookError("; ".join(f"to {target}: {why}" for target, why in refusals.items()))

    def _migrate(self, guest: _Guest, target: str, deadline: Deadline) -> None:
        """Move a domain to a node.

        Raises:
            Unavailable: it did not get there in time, and stays.
            OvnhookError: libvirt refuses it, in these words.
        """
        how = ["--p2p", "--live" if guest.runs else "--offline"]
        if guest.is_defined:
            how += ["--persistent", "--undefinesource"]
        uri = self._uri(target)
        try:
            _virsh(_HERE, "migrate", *how, guest.uuid, uri, patience=max(1.0, deadline.remaining))
        except Unavailable as late:
            _cancel(guest)
            if _settled(guest.uuid, Deadline.after(_CANCEL)):
                raise Unavailable(
                    f"it was not at {target} after {self._wishes.timeout:g} s, and the migration was cancelled; "
                    "--timeout says how long it may take"
                ) from late
            _virsh(uri, "domname", guest.uuid, patience=_PATIENCE)  # at the last moment: there it is
        except KeyboardInterrupt:
            _cancel(guest)
            raise
        if not guest.runs and (started := _here(guest.uuid)) and started.runs:
            # It was started meanwhile, and libvirt has but copied its definition, as of one that is off.
            self._migrate(started, target, deadline)

    def _autostart(self, guest: _Guest, target: str) -> str:
        """Let a domain start with its new host if it did with this one, which libvirt forgets; what is to be said."""
        if not guest.starts_itself:
            return ""
        try:
            _virsh(self._uri(target), "autostart", guest.uuid, patience=_PATIENCE)
        except OvnhookError as error:
            return f"; it will not start with that host: {error.message}"
        return ""

    def _uri(self, node: str) -> str:
        return self._wishes.uri.replace(PLACE, node)


def _guests() -> list[_Guest]:
    """The domains that are here: those that run first, by name.

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
    return sorted(found, key=lambda guest: (not guest.runs, guest.name))


def _here(uuid: str) -> _Guest | None:
    return next((guest for guest in _guests() if guest.uuid == uuid), None)


def _settled(uuid: str, deadline: Deadline) -> _Guest | None:
    """A domain, once libvirt does nothing else with it, as what a drain began that was killed; None if it is gone.

    Raises:
        Unavailable: libvirt does so still.
    """
    while True:
        guest = _here(uuid)
        if guest is None or not guest.runs or _is_idle(guest):
            return guest
        if not deadline.remaining:
            raise Unavailable(f"libvirt is busy with it: virsh domjobinfo {quoted(guest.name)}")
        time.sleep(_PAUSE)


def _is_idle(guest: _Guest) -> bool:
    try:
        said = _virsh(_HERE, "domjobinfo", guest.uuid)
    except OvnhookError:
        return False  # it is arriving from another host, which alone has the figures, or has just gone
    return said.split()[-1:] == ["None"]


def _cancel(guest: _Guest) -> None:
    try:
        _virsh(_HERE, "domjobabort", guest.uuid)
    except OvnhookError:
        return  # there is nothing to cancel any more; what became of it is seen afterwards


def _check_nothing_stays_behind(guest: _Guest, xml: DomainXML) -> None:
    """Refuse a domain that is off and has something on this host: its definition alone would go.

    Raises:
        OvnhookError: it has.
    """
    why = "and only the definition of a domain that is off is moved"
    if guest.is_saved:
        raise OvnhookError(f"its memory is saved on this host (managedsave), {why}")
    for what, path in xml.belongings():
        if not path or not placement.is_shared(_filesystem(path)):
            raise OvnhookError(f"its {what}{f', {path},' if path else ''} may be on this host alone, {why}")


def _filesystem(path: str) -> str:
    """What kind a file is on, or "" if that can't be told."""
    try:
        return _run(["findmnt", "--noheadings", "--output=FSTYPE", f"--target={path}"], _PATIENCE).strip()
    except OvnhookError:
        return ""


def _virsh(uri: str, *words: str, patience: float = _ANSWER) -> str:
    return _run(["virsh", "--quiet", "--connect", uri, *words], patience)


def _run(argv: Sequence[str], patience: float) -> str:
    """What a command prints.

    Raises:
        OvnhookError: there is no such command, or it ends with an error, which is told in its own words.
        Unavailable: it does not end.
    """
    try:
        done = subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            start_new_session=True,  # no terminal: ssh beneath it may not ask for a password, and Ctrl-C is for us
        )
    except FileNotFoundError as error:
        raise OvnhookError(f"there is no command {argv[0]}", "apt install libvirt-clients") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{argv[0]} did not end within {patience:g} s") from error
    if done.returncode:
        lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
        raise OvnhookError(": ".join(lines) or f"{argv[0]} ended with status {done.returncode}")
    return done.stdout
