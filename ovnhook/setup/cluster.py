"""OVN's databases as a RAFT cluster of control hosts (ovsdb(7), "Clustered Database Service Model"), by TLS.

This is what makes Debian's ``ovn-central`` a member: ovn-ctl(8) is told by ``/etc/default/ovn-central``. A member that
does not lead passes writes on, so whoever asks the databases of his own host is served on each. northd asks the leaders
alone, which may be on other hosts: where it comes in to the southbound database there is no role. The one that has the
lock there is active, the others stand by.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ovnhook.base.errors import InUse, InvalidConfig, OvnhookError
from ovnhook.pki import keyfiles
from ovnhook.pki.fence import NORTHBOUND_RAFT, SOUTHBOUND_NORTHD, SOUTHBOUND_RAFT
from ovnhook.pki.keyfiles import Files
from ovnhook.pki.members import bracketed
from ovnhook.pki.remotes import ROLE
from ovnhook.pki.token import NORTHBOUND, SOUTHBOUND
from ovnhook.setup import central
from ovnhook.setup.command import holds, run
from ovnhook.setup.listening import Listening
from ovnhook.setup.services import enabled, runs_with
from ovnhook.setup.step import Step

_OPTIONS = Path("/etc/default/ovn-central")

_LINE = re.compile(r"^[ \t]*OVN_CTL_OPTS=(.*)$", re.MULTILINE)
_PATIENCE = "--timeout=10"  # seconds
_NO = 2  # the exit status of ovsdb-tool(1) that means no; 1 is an error


@dataclass(frozen=True)
class ClusterMember:
    """A control host of the cluster.

    Attributes:
        address: its own, that the others reach it at.
        joins: the address of a member that it joins by, or "" for the first one.
        members: the addresses of all that are known, its own among them.
        files: its certificate and key, and those that sign the others'; they are read again when they change.
    """

    address: str
    joins: str
    members: tuple[str, ...]
    files: Files


@dataclass(frozen=True)
class _Database:
    """One of the two.

    Attributes:
        short: what ovn-ctl(8) calls it.
        name: of the database.
        raft: the port that members reach each other at.
        asked: the port that it asks the leader at.
        serves: the ports that it listens at by its command line.
        listens: those by rows, each with the role of those who come by it.
    """

    short: str
    name: str
    raft: int
    asked: int
    serves: tuple[int, ...]
    listens: dict[int, str]

    @property
    def unit(self) -> str:
        return f"ovn-ovsdb-server-{self.short}"

    @property
    def file(self) -> Path:
        return Path(f"/var/lib/ovn/ovn{self.short}_db.db")

    @property
    def schema(self) -> Path:
        return Path(f"/usr/share/ovn/ovn-{self.short}.ovsschema")

    @property
    def pid(self) -> Path:
        return Path(f"/run/ovn/ovn{self.short}_db.pid")

    def cluster(self, command: str, *argv: str) -> str:
        """What this host's server answers to a command about the cluster (ovsdb-server(1))."""
        control = f"/run/ovn/ovn{self.short}_db.ctl"
        return run("ovs-appctl", _PATIENCE, "-t", control, f"cluster/{command}", self.name, *argv)

    def servers(self) -> dict[str, str]:
        """The identity of each member's server, by where the others reach it."""
        found = re.findall(r"^    (\w+) \(\w+ at (\S+)\)", self.cluster("status"), re.MULTILINE)
        return {where: identity for identity, where in found}


_DATABASES = (
    _Database("nb", "OVN_Northbound", NORTHBOUND_RAFT, NORTHBOUND, (NORTHBOUND,), {}),
    _Database(
        "sb", "OVN_Southbound", SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD, (), {SOUTHBOUND: ROLE, SOUTHBOUND_NORTHD: ""}
    ),
)


def steps(member: ClusterMember) -> Iterator[Step]:
    """Both databases of this host are members, listen by TLS, and northd finds whoever leads.

    The first member keeps all that its databases have. One that joins has what the cluster has; what it had before is
    beside it, in ``/var/lib/ovn/*.standalone``.

    Raises:
        InUse: a host that is to join has a cloud of its own.
    """
    yield enabled("ovn-central", "ovn-central")
    for database in _DATABASES:
        start = partial(_do, "start", database.unit)
        yield Step(f"{database.file} is there", database.file.exists, start, within=120)
    if member.joins:
        _check_empty(_DATABASES[0])
    wanted = _options(member)
    yield Step(
        f"{_OPTIONS} has this host as a member of the cluster",
        lambda: _merged(_read_options(), wanted) == _read_options(),
        lambda: _write_options(_merged(_read_options(), wanted)),
    )
    for database in _DATABASES:
        listening = Listening(database.short, [_target(port, member.address) for port in database.serves], member.files)
        if database.serves:
            yield listening.written()
        yield Step(
            f"{database.file} is that of a member",
            partial(_is_clustered, database),
            partial(_convert, database, member),
        )
        yield listening.runs() if database.serves else _runs(database, member)
        yield Step(
            f"{database.name} is part of the cluster" + (f" that {member.joins} is in" if member.joins else ""),
            partial(_takes_part, database, member.joins),
            within=120,
            hint=f"{member.joins or member.address} has to be reached at port {database.raft}; "
            f"the log is /var/log/ovn/ovsdb-server-{database.short}.log",
        )
        yield Step(
            f"{database.name} has the schema that this host's OVN wants, or a newer one",
            partial(_is_current, database),
            partial(_convert_schema, database),
        )
        if not database.listens:
            continue
        listens = ", ".join(f"{port} as {role}" if role else str(port) for port, role in database.listens.items())
        yield Step(
            f"{database.name} listens by TLS at {listens}",
            partial(_listens, database, member.address),
            partial(_listen, database, member.address),
        )
    northd = Path("/run/ovn/ovn-northd.pid")
    words = [f"--ovn{one.short}-db={_leaders(one, member)}" for one in _DATABASES]
    yield runs_with("ovn-northd", "ovn-northd goes to the leaders", northd, _restart_northd, *words)


def has_databases() -> bool:
    """Whether this host has databases of its own, of a cluster or by themselves."""
    return any(one.file.exists() for one in _DATABASES)


def is_member() -> bool:
    """Whether this host's databases are members of a cluster."""
    return all(one.file.exists() and _is_clustered(one) for one in _DATABASES)


def strangers(known: Collection[str]) -> list[str]:
    """The addresses of members that are no control hosts any more.

    Args:
        known: the addresses of all control hosts; one that joins is known before it is a member.
    """
    found: set[str] = set()
    for one in _DATABASES:
        there = one.servers()
        ours = {_at(address, one.raft) for address in known}
        if ours & there.keys():  # else it is another cloud's cluster
            found |= {_host(where) for where in there.keys() - ours}
    return sorted(found)


def without(address: str) -> Iterator[Step]:
    """The cluster has no member at an address: one that is gone for good, or is to join anew.

    Asked on a member that is part of the cluster, where most of the members are.
    """
    for database in _DATABASES:
        yield Step(
            f"{database.name} has no member at {address}",
            partial(_has_none, database, address),
            partial(_kick, database, address),
            within=120,
        )


def _is_clustered(database: _Database) -> bool:
    return holds("ovsdb-tool", "db-is-clustered", str(database.file), no=_NO)


def _options(member: ClusterMember) -> dict[str, str]:
    """What ovn-ctl(8) is to be told."""
    shown = {"key": member.files.key, "cert": member.files.certificate, "ca-cert": member.files.ca}
    told: dict[str, str] = {}
    # Whose file is lost joins again: else the first one would begin an empty cluster, which others take for theirs.
    met = member.joins or min({*member.members} - {member.address}, default="")
    for one in _DATABASES:
        for end, address in (("local", member.address), ("remote", met)):
            if address:
                told |= {f"db-{one.short}-cluster-{end}-addr": bracketed(address)}
                told |= {f"db-{one.short}-cluster-{end}-proto": "ssl"}
        told |= {f"ovn-{one.short}-db-ssl-{what}": str(path) for what, path in shown.items()}
        told |= {f"ovn-northd-{one.short}-db": _leaders(one, member)}
    return told | {f"ovn-northd-ssl-{what}": str(path) for what, path in shown.items()}


def _read_options() -> str:
    return keyfiles.read(_OPTIONS).decode()


def _write_options(text: str) -> None:
    keyfiles.write(_OPTIONS, text.encode(), keyfiles.PUBLIC)


def _merged(text: str, wanted: dict[str, str]) -> str:
    """The file with these options set, and all else as it was.

    Raises:
        InvalidConfig: what is there can't be understood.
    """
    lines = _LINE.findall(text)
    try:
        # Twice: systemd takes the quotes of the file away, and splits what is left into words, which may be quoted.
        present = shlex.split(" ".join(shlex.split(lines[-1]))) if lines else []
    except ValueError as error:
        raise InvalidConfig(f"{_OPTIONS}: OVN_CTL_OPTS: {error}") from error
    kept = [word for word in present if word.removeprefix("--").partition("=")[0] not in wanted]
    made = " ".join(map(_word, [*kept, *(f"--{option}={value}" for option, value in wanted.items())]))
    rest = _LINE.sub("", text).rstrip("\n")
    return f"{rest}\nOVN_CTL_OPTS={_quoted(made)}\n"


def _word(text: str) -> str:
    """A word as it stands in a list of them, quoted where it has to be (systemd.service(5), "Command lines")."""
    return text if re.fullmatch(r"[\w@%+=:,./\[\]-]+", text) else _quoted(text)


def _quoted(text: str) -> str:
    """A text in double quotes, as both systemd and a shell read it."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _check_empty(database: _Database) -> None:
    """Refuse to give up what a host has on which somebody has made a cloud before."""
    if not holds("ovsdb-tool", "db-is-standalone", str(database.file), no=_NO):
        return
    asked = [database.name, {"op": "select", "table": "Logical_Switch", "where": [], "columns": ["name"]}]
    (found,) = json.loads(run("ovsdb-tool", "query", str(database.file), json.dumps(asked)))
    if found["rows"]:
        names = ", ".join(sorted(row["name"] for row in found["rows"])[:3])
        raise InUse(
            f"this host has a cloud of its own, with {names}, which it would lose",
            "ovnhook control backup FILE; systemctl stop ovn-ovsdb-server-nb; rm /var/lib/ovn/ovnnb_db.db; then again",
        )


def _convert(database: _Database, member: ClusterMember) -> None:
    """Make the file a member's, as a whole or not at all."""
    _do("stop", database.unit)
    file = database.file
    new, old = file.with_suffix(".new"), file.with_suffix(".standalone")
    new.unlink(missing_ok=True)
    own = _at(member.address, database.raft)
    if member.joins:
        run("ovsdb-tool", "join-cluster", str(new), database.name, own, _at(member.joins, database.raft))
    else:
        run("ovsdb-tool", "create-cluster", str(new), str(file), own)
    if file.exists():
        old.unlink(missing_ok=True)
        old.hardlink_to(file)
    new.replace(file)


def _runs(database: _Database, member: ClusterMember) -> Step:
    restart = partial(_do, "restart", database.unit)
    key = f"--private-key={member.files.key}"
    return runs_with(database.unit, f"{database.unit} runs as a member's", database.pid, restart, key)


def _do(verb: str, unit: str) -> None:
    run("systemctl", verb, unit)


def _restart_northd() -> None:
    # Debian's ovn-northd.service, when it is stopped in order, stops the databases as well. Killed it is just started
    # again; there is nothing that it could lose.
    if holds("systemctl", "is-active", "--quiet", "ovn-northd"):
        run("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "ovn-northd")
    else:
        _do("start", "ovn-northd")


def _takes_part(database: _Database, joins: str) -> bool:
    try:
        _ask(database, "wait", database.name, "connected")
    except OvnhookError:
        return False
    return not joins or _at(joins, database.raft) in database.servers()


def _is_current(database: _Database) -> bool:
    there = _ask(database, "get-schema-version", database.name).strip()
    wanted = run("ovsdb-tool", "schema-version", str(database.schema)).strip()
    return holds("ovsdb-tool", "compare-versions", there, ">=", wanted, no=_NO)


def _convert_schema(database: _Database) -> None:
    _ask(database, "convert", str(database.schema))


def _ask(database: _Database, command: str, *argv: str) -> str:
    """What ovsdb-client(1) says of this host's server."""
    socket = f"unix:/run/ovn/ovn{database.short}_db.sock"
    return run("ovsdb-client", _PATIENCE, "--no-leader-only", command, socket, *argv)


def _has_none(database: _Database, address: str) -> bool:
    return _at(address, database.raft) not in database.servers()


def _kick(database: _Database, address: str) -> None:
    """Take a member out, unless another host has done so meanwhile."""
    server = database.servers().get(_at(address, database.raft))
    if server is None:
        return
    try:
        database.cluster("kick", server)
    except OvnhookError:
        if not _has_none(database, address):
            raise


def _listens(database: _Database, address: str) -> bool:
    return central.connections(f"ovn-{database.short}ctl") == _targets(database, address)


def _listen(database: _Database, address: str) -> None:
    central.listen(f"ovn-{database.short}ctl", _targets(database, address))


def _targets(database: _Database, address: str) -> dict[str, str]:
    return {_target(port, address): role for port, role in database.listens.items()}


def _leaders(database: _Database, member: ClusterMember) -> str:
    """Where northd looks for the leader."""
    return ",".join(_at(address, database.asked) for address in sorted(member.members))


def _target(port: int, address: str) -> str:
    return f"pssl:{port}:[::]" if ":" in address else f"pssl:{port}"


def _at(address: str, port: int) -> str:
    return f"ssl:{bracketed(address)}:{port}"


def _host(where: str) -> str:
    """The address in what `_at` makes."""
    return where.removeprefix("ssl:").rpartition(":")[0].strip("[]")
