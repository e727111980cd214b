"""Real database servers, each test's own: started, frozen, killed and restarted by it, and gone after it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

NORTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")
VSWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")

Dump = dict[str, dict[str, dict[str, Any]]]
"""Rows by table and UUID."""

_PATIENCE = 20.0


class Server:
    """An ovsdb-server in the foreground, with a database file that outlives it.

    Args:
        directory: where its files are; short, for a unix socket's path has 107 characters at most.
        schema: of the database.
        file: an existing database, or None to make one.
    """

    def __init__(self, directory: Path, schema: Path, file: Path | None = None) -> None:
        self.directory = directory
        self.name: str = json.loads(schema.read_text())["name"]
        self.tables: list[str] = sorted(json.loads(schema.read_text())["tables"])
        self.remote = f"unix:{directory}/s"
        self._file = file or directory / "db"
        if file is None:
            _run("ovsdb-tool", "create", str(self._file), str(schema))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it serves."""
        assert self._process is None
        (self.directory / "s").unlink(missing_ok=True)  # what a crash left: nobody would answer there
        options = ["--no-chdir", f"--log-file={self.directory}/log", "-vconsole:off", f"--unixctl={self.directory}/c"]
        manager = "Open_vSwitch,Open_vSwitch,manager_options"
        connections = manager if self.name == "Open_vSwitch" else "OVN_Northbound,NB_Global,connections"
        remotes = [f"--remote=p{self.remote}", f"--remote=db:{connections}"]
        self._process = subprocess.Popen(["ovsdb-server", *options, *remotes, str(self._file)])
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it serves: for a member of a cluster, until it has a leader."""
        wait_for((self.directory / "s").exists)
        _run("ovsdb-client", f"--timeout={_PATIENCE:.0f}", "wait", self.remote, self.name, "connected")

    def stop(self) -> None:
        """End it, as its host's shutdown would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it, as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it be there and not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def leads(self) -> bool:
        """Whether it leads its cluster."""
        return "Role: leader" in self.appctl("cluster/status", self.name)

    def transact(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        """A transaction by the tool of Open vSwitch, and not by what is tested."""
        said = _run("ovsdb-client", "--timeout=20", "transact", self.remote, json.dumps([self.name, *operations]))
        results: list[dict[str, Any]] = json.loads(said)
        assert all("error" not in (result or {}) for result in results), results
        return results

    def dump(self, *, versions: bool = False) -> Dump:
        """Every row of every table; with `versions` also ``_version``, which changes whenever a row is written."""
        found = self.transact(*({"op": "select", "table": table, "where": []} for table in self.tables))
        return {
            table: {
                row["_uuid"][1]: {key: value for key, value in row.items() if versions or key != "_version"}
                for row in result["rows"]
            }
            for table, result in zip(self.tables, found, strict=True)
        }

    def appctl(self, *command: str) -> str:
        """What the server answers to ovs-appctl."""
        return _run("ovs-appctl", "--timeout=5", "-t", f"{self.directory}/c", *command)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(_PATIENCE)
            self._process = None


class Cluster:
    """Three servers of one northbound database (RAFT)."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def start(self, directory: Path) -> None:
        """Start them one after the other."""
        addresses = [f"unix:{directory}/{number}r" for number in range(3)]
        for number, address in enumerate(addresses):
            place = directory / str(number)
            place.mkdir()
            file = place / "db"
            if number:
                _run("ovsdb-tool", "join-cluster", str(file), "OVN_Northbound", address, addresses[0])
            else:
                _run("ovsdb-tool", "create-cluster", str(file), str(NORTHBOUND_SCHEMA), address)
            self.servers.append(Server(place, NORTHBOUND_SCHEMA, file))

    @property
    def remotes(self) -> list[str]:
        """Where the servers are."""
        return [server.remote for server in self.servers]

    def leader(self) -> Server:
        """The server that leads."""
        (leader,) = (server for server in self.servers if server.running and server.leads)
        return leader

    def kill_leader(self) -> Server:
        """Crash the server that leads; which it was."""
        leader = self.leader()
        leader.kill()
        return leader

    def stop(self) -> None:
        """End all that run."""
        for server in self.servers:
            server.kill()


def wait_for(condition: Callable[[], object]) -> None:
    """Look again until something is so."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="ovnhook-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make_server(directory: Path) -> Iterator[Callable[[str, Path], Server]]:
    """Make servers by name and schema; all of them are ended after the test."""
    with ExitStack() as stack:

        def make(name: str, schema: Path) -> Server:
            (directory / name).mkdir()
            server = Server(directory / name, schema)
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture
def northbound(make_server: Callable[[str, Path], Server]) -> Server:
    """A northbound database by itself."""
    return make_server("nb", NORTHBOUND_SCHEMA)


@pytest.fixture
def cluster(directory: Path) -> Iterator[Cluster]:
    """A northbound database on three servers."""
    made = Cluster()
    try:
        made.start(directory)
        yield made
    finally:
        made.stop()


@pytest.fixture
def make_host(make_server: Callable[[str, Path], Server]) -> Callable[[str], Server]:
    """Make the Open vSwitch databases of hosts: with a system-id and br-int, as after installing."""

    def make(name: str) -> Server:
        server = make_server(name, VSWITCH_SCHEMA)
        vsctl = ["ovs-vsctl", "--no-wait", f"--db={server.remote}"]
        _run(*vsctl, "init", "--", "set", "Open_vSwitch", ".", f"external_ids:system-id={name}")
        _run(*vsctl, "add-br", "br-int")
        return server

    return make


@pytest.fixture
def vswitch(make_host: Callable[[str], Server]) -> Server:
    """The Open vSwitch database of a host called hv1."""
    return make_host("hv1")
