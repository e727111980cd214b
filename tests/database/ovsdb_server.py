"""Real database servers that a test starts, freezes, kills and restarts."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import HANG, until

NORTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")
SOUTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-sb.ovsschema")
VSWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")

Dump = dict[str, dict[str, dict[str, Any]]]
"""Rows by table and UUID."""

_SSL = ("private_key", "certificate", "ca_cert")


class Server:
    """An ovsdb-server in the foreground, with a database file that outlives it.

    Args:
        directory: directory of its files; short, as the path of a unix socket has at most 107 characters.
        schema: schema of the database.
        file: existing database, or None to create one.
    """

    def __init__(self, directory: Path, schema: Path, file: Path | None = None) -> None:
        self.directory = directory
        self.name: str = json.loads(schema.read_text())["name"]
        self.tables: list[str] = sorted(json.loads(schema.read_text())["tables"])
        self.remote = f"unix:{directory}/s"
        self.file = file or directory / "db"
        if file is None:
            run("ovsdb-tool", "create", str(self.file), str(schema))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it serves."""
        assert self._process is None
        (self.directory / "s").unlink(missing_ok=True)  # stale after a crash
        options = ["--no-chdir", f"--log-file={self.directory}/log", "-vconsole:off", f"--unixctl={self.directory}/c"]
        connections = {
            "OVN_Northbound": "OVN_Northbound,NB_Global,connections",
            "OVN_Southbound": "OVN_Southbound,SB_Global,connections",
            "Open_vSwitch": "Open_vSwitch,Open_vSwitch,manager_options",
        }[self.name]
        remotes = [f"--remote=p{self.remote}", f"--remote=db:{connections}"]
        options += [f"--{column.replace('_', '-')}=db:{self.name},SSL,{column}" for column in _SSL]
        self._process = subprocess.Popen(["ovsdb-server", *options, *remotes, str(self.file)])
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it serves; a member of a cluster needs a leader for that."""
        wait_for((self.directory / "s").exists)
        run("ovsdb-client", f"--timeout={HANG:.0f}", "wait", self.remote, self.name, "connected")

    def stop(self) -> None:
        """Terminate it, as a shutdown of its host does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, as a crash does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it, so that it accepts connections but does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        self._signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def leads(self) -> bool:
        """True if it is the leader of its cluster."""
        return "Role: leader" in self.appctl("cluster/status", self.name)

    def transact(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a transaction with ovsdb-client, independently of ovnhook's own code."""
        output = run(
            "ovsdb-client", f"--timeout={HANG:.0f}", "transact", self.remote, json.dumps([self.name, *operations])
        )
        results: list[dict[str, Any]] = json.loads(output)
        assert all("error" not in (result or {}) for result in results), results
        return results

    def dump(self, *, versions: bool = False) -> Dump:
        """All rows of all tables, without the state of connections that the server writes.

        With `versions` also ``_version``, which changes with each write of a row.
        """
        found = self.transact(*({"op": "select", "table": table, "where": []} for table in self.tables))

        def left_out(table: str) -> set[str]:
            noted = {"status", "is_connected", "_version"} if table in ("Connection", "Manager") else set()
            return noted if versions else {*noted, "_version"}

        return {
            table: {
                row["_uuid"][1]: {key: value for key, value in row.items() if key not in left_out(table)}
                for row in result["rows"]
            }
            for table, result in zip(self.tables, found, strict=True)
        }

    def appctl(self, *command: str) -> str:
        """Run a command with ovs-appctl, and return its output."""
        return run("ovs-appctl", f"--timeout={HANG:.0f}", "-t", f"{self.directory}/c", *command)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(HANG)
            self._process = None


class Cluster:
    """Three servers of one northbound database (RAFT)."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def start(self, directory: Path) -> None:
        """Start the servers one after the other."""
        addresses = [f"unix:{directory}/{number}r" for number in range(3)]
        for number, address in enumerate(addresses):
            place = directory / str(number)
            place.mkdir()
            file = place / "db"
            if number:
                run("ovsdb-tool", "join-cluster", str(file), "OVN_Northbound", address, addresses[0])
            else:
                run("ovsdb-tool", "create-cluster", str(file), str(NORTHBOUND_SCHEMA), address)
            self.servers.append(Server(place, NORTHBOUND_SCHEMA, file))

    @property
    def remotes(self) -> list[str]:
        """Remotes of all servers."""
        return [server.remote for server in self.servers]

    def leader(self) -> Server:
        """Return the leader."""
        (leader,) = (server for server in self.servers if server.running and server.leads)
        return leader

    def kill_leader(self) -> Server:
        """Kill the leader, and return it."""
        leader = self.leader()
        leader.kill()
        return leader

    def stop(self) -> None:
        """Kill all servers."""
        for server in self.servers:
            server.kill()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; a failure shows the line of the test."""
    until(condition, HANG, "what the test waits for", longest=0.005)


def wait_for_scans(loop: object, step: str) -> None:
    """Wait until a loop has begun four more scans, and so completed three of them.

    Args:
        loop: object that scans.
        step: name of the method that is one scan.
    """
    begun: list[None] = []
    original = getattr(loop, step)

    def counted(*arguments: Any) -> Any:
        begun.append(None)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, step, counted)
        wait_for(lambda: len(begun) > 3)


def run(*command: str) -> str:
    """Run a command, which must succeed, and return its output."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=HANG).stdout
