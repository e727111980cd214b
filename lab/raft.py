"""A RAFT cluster of three northbound servers on one host, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lab.central import SCHEMA
from lab.daemon import Daemon
from lab.host import LabHost
from lab.waiting import HANG, accepts, until

DATABASE = "OVN_Northbound"


@dataclass(frozen=True)
class RaftServer:
    """One server of the cluster."""

    number: int
    daemon: Daemon
    unix: str
    tcp: str


@dataclass(frozen=True)
class RaftCluster:
    """The servers and their endpoints."""

    host: LabHost
    servers: tuple[RaftServer, ...]

    @property
    def unix(self) -> str:
        """All unix endpoints, as a client on the host writes them."""
        return ",".join(server.unix for server in self.servers)

    @property
    def tcp(self) -> str:
        """All TCP endpoints."""
        return ",".join(server.tcp for server in self.servers)

    def leader(self, timeout: float = HANG) -> RaftServer:
        """The server that leads; an election is waited for."""
        return until(self._leaders, timeout, f"a leader of the cluster on {self.host.name}")[0]

    def stop(self) -> None:
        """End all servers."""
        for server in self.servers:
            server.daemon.stop()

    def status(self, server: RaftServer) -> dict[str, str]:
        """cluster/status of a server; empty if it is not running."""
        control = f"/run/ovn/raft{server.number}.ctl"
        argv = ["ovs-appctl", f"--timeout={HANG:.0f}", "-t", control, "cluster/status", DATABASE]
        done = self.host.run(argv, check=False)
        pairs = (line.partition(": ") for line in done.stdout.splitlines())
        return {key.strip(): value.strip() for key, mark, value in pairs if mark}

    def _leaders(self) -> list[RaftServer]:
        running = (server for server in self.servers if server.daemon.state == "running")
        return [server for server in running if self.status(server).get("Role") == "leader"]


def start(host: LabHost, address: str = "127.0.0.1", size: int = 3) -> RaftCluster:
    """Make an empty cluster on a host, with TCP endpoints on ``address``; when this returns one server leads."""
    folder = host.folder / "raft"
    folder.mkdir(exist_ok=True)
    servers = []
    for number in range(1, size + 1):
        file = folder / f"{number}.db"
        local = f"tcp:127.0.0.1:{6700 + number}"
        if not file.exists():
            if number == 1:
                argv = ["create-cluster", str(file), str(SCHEMA / "ovn-nb.ovsschema"), local]
            else:
                argv = ["join-cluster", str(file), DATABASE, local, "tcp:127.0.0.1:6701"]
            host.run(["ovsdb-tool", *argv])
        servers.append(_server(host, number, str(file), address))
    cluster = RaftCluster(host, tuple(servers))
    for server in servers:
        server.daemon.start()
    for server in servers:
        until(partial(_joined, cluster, server), HANG, f"server {server.number} to join")
    cluster.leader()
    return cluster


def _joined(cluster: RaftCluster, server: RaftServer) -> bool:
    return cluster.status(server).get("Status") == "cluster member"


def _server(host: LabHost, number: int, file: str, address: str) -> RaftServer:
    socket, port = f"raft{number}.sock", 6640 + 10 * number
    argv = [
        "ovsdb-server",
        "-vsyslog:off",
        f"--remote=punix:/run/ovn/{socket}",
        f"--remote=ptcp:{port}:{address}",
        f"--unixctl=/run/ovn/raft{number}.ctl",
        f"--pidfile=/run/ovn/raft{number}.pid",
        "--overwrite-pidfile",
        file,
    ]
    daemon = Daemon(host, f"raft{number}", argv, ready=lambda _: accepts(host.run_folder / "ovn" / socket))
    host.daemons[daemon.name] = daemon
    return RaftServer(number, daemon, f"unix:/run/ovn/{socket}", f"tcp:{address}:{port}")
