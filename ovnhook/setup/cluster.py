"""RAFT cluster of OVN's databases on control hosts (ovsdb(7), "Clustered Database Service Model"), with TLS.

Debian's ``ovn-central`` becomes a member by options of ovn-ctl(8) in ``/etc/default/ovn-central``. Followers forward
writes to the leader, so clients use the databases of their own host. northd connects to the leaders, which may be on
other hosts, through a port of the southbound database without an RBAC role. One northd is active, by a lock there; the
others are on standby.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ovnhook.base.command import run, succeeds
from ovnhook.base.errors import FailedPrecondition, InvalidConfig, OvnhookError
from ovnhook.pki import keyfiles
from ovnhook.pki.fence import NORTHBOUND, NORTHBOUND_RAFT, SOUTHBOUND_NORTHD, SOUTHBOUND_RAFT
from ovnhook.pki.keyfiles import Files
from ovnhook.pki.members import bracketed
from ovnhook.pki.remotes import ROLE
from ovnhook.pki.token import SOUTHBOUND
from ovnhook.setup import central
from ovnhook.setup.listening import Listening
from ovnhook.setup.services import enabled, runs_with
from ovnhook.setup.step import Step

_OPTIONS = Path("/etc/default/ovn-central")

_LINE = re.compile(r"^[ \t]*OVN_CTL_OPTS=(.*)$", re.MULTILINE)
_TIMEOUT = "--timeout=10"  # seconds
_NO = 2  # exit status of ovsdb-tool(1) for "no"; 1 is an error


@dataclass(frozen=True)
class ClusterMember:
    """This host as a member of the cluster.

    Attributes:
        address: its address.
        joins: address of a member to join, or "" for the first member.
        members: addresses of all known members, including its own.
        northbound: TLS files of the northbound database, which are reloaded when they change.
        southbound: the same of the southbound database and of northd.
    """

    address: str
    joins: str
    members: tuple[str, ...]
    northbound: Files
    southbound: Files

    def files(self, short: str) -> Files:
        """TLS files of a database, by its name in ovn-ctl(8)."""
        return {"nb": self.northbound, "sb": self.southbound}[short]


@dataclass(frozen=True)
class _Database:
    """One of the two databases.

    Attributes:
        short: its name in ovn-ctl(8).
        name: name of the database.
        raft: RAFT port.
        northd: port for northd.
        listens: ports to listen on by Connection rows, with their RBAC roles; empty if its command line has the port.
    """

    short: str
    name: str
    raft: int
    northd: int
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
        """Run a cluster command in this host's server (ovsdb-server(1))."""
        control = f"/run/ovn/ovn{self.short}_db.ctl"
        return run("ovs-appctl", _TIMEOUT, "-t", control, f"cluster/{command}", self.name, *argv)

    def servers(self) -> dict[str, str]:
        """Server IDs of the members, by RAFT address."""
        found = re.findall(r"^    (\w+) \(\w+ at (\S+)\)", self.cluster("status"), re.MULTILINE)
        return {where: identity for identity, where in found}


_DATABASES = (
    _Database("nb", "OVN_Northbound", NORTHBOUND_RAFT, NORTHBOUND, {}),
    _Database("sb", "OVN_Southbound", SOUTHBOUND_RAFT, SOUTHBOUND_NORTHD, {SOUTHBOUND: ROLE, SOUTHBOUND_NORTHD: ""}),
)


def steps(member: ClusterMember) -> Iterator[Step]:
    """Make both databases members, let them listen with TLS, and connect northd to the leaders.

    The first member keeps its data. A host that joins gets the cluster's data; its own is kept in
    ``/var/lib/ovn/*.standalone``.

    Raises:
        FailedPrecondition: a host that joins has a cloud of its own.
    """
    yield enabled("ovn-central", "ovn-central")
    for database in _DATABASES:
        start = partial(_do, "start", database.unit)
        yield Step(f"{database.file} exists", database.file.exists, start, timeout=120)
    if member.joins:
        _check_empty(_DATABASES[0])
    wanted = _options(member)
    yield Step(
        f"{_OPTIONS} configures this host as a cluster member",
        lambda: _merged(_read_options(), wanted) == _read_options(),
        lambda: _write_options(_merged(_read_options(), wanted)),
    )
    # Control hosts only, once all nodes use the API: northd connects to the leader.
    listening = Listening(_target(NORTHBOUND, member.address), is_open=True, files=member.northbound)
    for database in _DATABASES:
        if not database.listens:
            yield listening.written()
        yield Step(
            f"{database.file} is a clustered database",
            partial(_is_clustered, database),
            partial(_convert, database, member),
        )
        yield _runs(database, member) if database.listens else listening.runs()
        yield Step(
            f"{database.name} is connected to the cluster" + (f" of {member.joins}" if member.joins else ""),
            partial(_is_connected, database, member.joins),
            timeout=120,
            hint=f"is port {database.raft} of {member.joins or member.address} reachable? "
            f"See /var/log/ovn/ovsdb-server-{database.short}.log",
        )
        yield Step(
            f"{database.name} has the schema version of this host's OVN or a newer one",
            partial(_is_current, database),
            partial(_convert_schema, database),
        )
        if not database.listens:
            continue
        listens = ", ".join(f"{port} as {role}" if role else str(port) for port, role in database.listens.items())
        yield Step(
            f"{database.name} listens with TLS on {listens}",
            partial(_listens, database, member.address),
            partial(_listen, database, member.address),
        )
    northd = Path("/run/ovn/ovn-northd.pid")
    words = [f"--ovn{one.short}-db={_leaders(one, member)}" for one in _DATABASES]
    yield runs_with("ovn-northd", "ovn-northd connects to the cluster leaders", northd, _restart_northd, *words)


def has_databases() -> bool:
    """Test for databases on this host, clustered or standalone."""
    return any(one.file.exists() for one in _DATABASES)


def is_member() -> bool:
    """Test for clustered databases on this host."""
    return all(one.file.exists() and _is_clustered(one) for one in _DATABASES)


def stale_members(known: Collection[str]) -> list[str]:
    """Addresses of cluster members that are not control hosts.

    Args:
        known: addresses of all control hosts; a host is registered before it becomes a member.
    """
    found: set[str] = set()
    for one in _DATABASES:
        there = one.servers()
        ours = {_at(address, one.raft) for address in known}
        if ours & there.keys():  # otherwise it is another cloud's cluster
            found |= {_host(where) for where in there.keys() - ours}
    return sorted(found)


def remove_member(address: str) -> Iterator[Step]:
    """Remove a member that is gone or will join again. Needs a member that is part of the cluster's majority."""
    for database in _DATABASES:
        yield Step(
            f"{database.name} has no member at {address}",
            partial(_is_removed, database, address),
            partial(_kick, database, address),
            timeout=120,
        )


def _is_clustered(database: _Database) -> bool:
    return succeeds("ovsdb-tool", "db-is-clustered", str(database.file), no=_NO)


def _options(member: ClusterMember) -> dict[str, str]:
    """Options for ovn-ctl(8)."""
    options: dict[str, str] = {}
    # With a remote, a member whose file was lost joins again. The first one would otherwise create an empty cluster.
    remote = member.joins or min({*member.members} - {member.address}, default="")
    for one in _DATABASES:
        for end, address in (("local", member.address), ("remote", remote)):
            if address:
                options |= {f"db-{one.short}-cluster-{end}-addr": bracketed(address)}
                options |= {f"db-{one.short}-cluster-{end}-proto": "ssl"}
        options |= {f"ovn-{one.short}-db-ssl-{kind}": path for kind, path in _tls(member.files(one.short)).items()}
        options |= {f"ovn-northd-{one.short}-db": _leaders(one, member)}
    return options | {f"ovn-northd-ssl-{kind}": path for kind, path in _tls(member.southbound).items()}


def _tls(files: Files) -> dict[str, str]:
    """TLS files by their names in options of ovn-ctl(8)."""
    return {"key": str(files.key), "cert": str(files.certificate), "ca-cert": str(files.ca)}


def _read_options() -> str:
    return keyfiles.read(_OPTIONS).decode()


def _write_options(text: str) -> None:
    keyfiles.write(_OPTIONS, text.encode(), keyfiles.PUBLIC)


def _merged(text: str, wanted: dict[str, str]) -> str:
    """Set options in the file's text, and keep everything else.

    Raises:
        InvalidConfig: OVN_CTL_OPTS has invalid quoting.
    """
    lines = _LINE.findall(text)
    try:
        # Twice: systemd removes the file's quotes, and splits the rest into words, which may be quoted again.
        present = shlex.split(" ".join(shlex.split(lines[-1]))) if lines else []
    except ValueError as error:
        raise InvalidConfig(f"{_OPTIONS}: OVN_CTL_OPTS: {error}") from error
    kept = [word for word in present if word.removeprefix("--").partition("=")[0] not in wanted]
    made = " ".join(map(_word, [*kept, *(f"--{option}={value}" for option, value in wanted.items())]))
    rest = _LINE.sub("", text).rstrip("\n")
    return f"{rest}\nOVN_CTL_OPTS={_quoted(made)}\n"


def _word(text: str) -> str:
    """Quote a word of a list if needed (systemd.service(5), "Command lines")."""
    return text if re.fullmatch(r"[\w@%+=:,./\[\]-]+", text) else _quoted(text)


def _quoted(text: str) -> str:
    """Double-quote a text for systemd and the shell."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _check_empty(database: _Database) -> None:
    """Refuse to discard a standalone database with logical switches."""
    if not succeeds("ovsdb-tool", "db-is-standalone", str(database.file), no=_NO):
        return
    query = [database.name, {"op": "select", "table": "Logical_Switch", "where": [], "columns": ["name"]}]
    (found,) = json.loads(run("ovsdb-tool", "query", str(database.file), json.dumps(query)))
    if found["rows"]:
        names = ", ".join(sorted(row["name"] for row in found["rows"])[:3])
        raise FailedPrecondition(
            f"this host has a cloud of its own, with the logical switches {names}, which would be lost",
            "ovnhook control backup FILE; systemctl stop ovn-ovsdb-server-nb; rm /var/lib/ovn/ovnnb_db.db; then repeat",
        )


def _convert(database: _Database, member: ClusterMember) -> None:
    """Convert the file to a clustered database, atomically."""
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
    key = f"--private-key={member.files(database.short).key}"
    return runs_with(database.unit, f"{database.unit} is running as a cluster member", database.pid, restart, key)


def _do(verb: str, unit: str) -> None:
    run("systemctl", verb, unit)


def _restart_northd() -> None:
    # A regular stop of Debian's ovn-northd.service stops the databases as well. After SIGKILL it is only restarted; it
    # has no state to lose.
    if succeeds("systemctl", "is-active", "--quiet", "ovn-northd"):
        run("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "ovn-northd")
    else:
        _do("start", "ovn-northd")


def _is_connected(database: _Database, joins: str) -> bool:
    try:
        _client(database, "wait", database.name, "connected")
    except OvnhookError:
        return False
    return not joins or _at(joins, database.raft) in database.servers()


def _is_current(database: _Database) -> bool:
    present = _client(database, "get-schema-version", database.name).strip()
    required = run("ovsdb-tool", "schema-version", str(database.schema)).strip()
    return succeeds("ovsdb-tool", "compare-versions", present, ">=", required, no=_NO)


def _convert_schema(database: _Database) -> None:
    _client(database, "convert", str(database.schema))


def _client(database: _Database, command: str, *argv: str) -> str:
    """Run ovsdb-client(1) with this host's server."""
    socket = f"unix:/run/ovn/ovn{database.short}_db.sock"
    return run("ovsdb-client", _TIMEOUT, "--no-leader-only", command, socket, *argv)


def _is_removed(database: _Database, address: str) -> bool:
    return _at(address, database.raft) not in database.servers()


def _kick(database: _Database, address: str) -> None:
    """Remove a member, unless another host has done so meanwhile."""
    server = database.servers().get(_at(address, database.raft))
    if server is None:
        return
    try:
        database.cluster("kick", server)
    except OvnhookError:
        if not _is_removed(database, address):
            raise


def _listens(database: _Database, address: str) -> bool:
    return central.connections(f"ovn-{database.short}ctl") == _targets(database, address)


def _listen(database: _Database, address: str) -> None:
    central.listen(f"ovn-{database.short}ctl", _targets(database, address))


def _targets(database: _Database, address: str) -> dict[str, str]:
    return {_target(port, address): role for port, role in database.listens.items()}


def _leaders(database: _Database, member: ClusterMember) -> str:
    """Remotes among which northd finds the leader."""
    return ",".join(_at(address, database.northd) for address in sorted(member.members))


def _target(port: int, address: str) -> str:
    return f"pssl:{port}:[::]" if ":" in address else f"pssl:{port}"


def _at(address: str, port: int) -> str:
    return f"ssl:{bracketed(address)}:{port}"


def _host(where: str) -> str:
    """Address in a remote, the inverse of `_at`."""
    return where.removeprefix("ssl:").rpartition(":")[0].strip("[]")
