"""Client ports, each plugged in a network namespace of its name on its host: cheaper than guests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import LabHost
from lab.daemon import Daemon
from lab.waiting import HANG
from tests.cloud.world import World

_TRAFFIC = Path(__file__).with_name("traffic.py")
_QUERY = Path(__file__).parents[1] / "dnsquery.py"
_DROPPED = 2.0  # seconds: TCP sends a SYN twice


@dataclass(frozen=True)
class Box:
    """A network namespace with a client port.

    Attributes:
        world: its cloud.
        host: its host.
        name: of port, interface and namespace.
        port: as the command shows it.
    """

    world: World
    host: LabHost
    name: str
    port: dict[str, Any]

    @property
    def address(self) -> str:
        """Its leased IPv4 address."""
        return str(self.port["addresses"][0])

    @property
    def address6(self) -> str:
        """Its leased IPv6 address."""
        return str(self.port["addresses"][1])

    def ip(self, *arguments: str) -> None:
        """Run ip(8) on its namespace."""
        self.host.run(["ip", "-n", self.name, *arguments])

    def answers(self, address: str, *, source: str = "", count: int = 1) -> bool:
        """Return whether a ping of an address is answered."""
        options = ["-I", source] if source else []
        ping = ["ping", "-c", str(count), "-W", "1", *options, address]
        return self.host.run(self._inside(*ping), check=False).returncode == 0

    def reach(self, address: str, *, source: str = "") -> None:
        """Wait until pings of an address are answered."""
        self.world.wait_for(lambda: self.answers(address, source=source), f"{address} to answer {self.name}")

    def serve(self, *ports: int) -> Daemon:
        """Echo on TCP ports, and log what comes to the same UDP ports."""
        ready = "serves"
        return self.host.spawn(
            f"{self.name}-serves", self._traffic("serve", *ports), ready=lambda server: ready in server.tail()
        )

    def connect(self, *targets: tuple[str, int]) -> None:
        """Connect to TCP ports.

        Raises:
            AssertionError: one can't be connected to.
        """
        assert self._connected(HANG, targets) == [*targets]

    def connected(self, *targets: tuple[str, int]) -> list[tuple[str, int]]:
        """Return which of some TCP ports, that should all drop packets, it can connect to."""
        return self._connected(_DROPPED, targets)

    def talk(self, address: str, port: int) -> Daemon:
        """Hold a TCP connection to a server; the log gets a line for each answer."""
        return self.host.spawn(f"{self.name}-talks", self._traffic("talk", address, port))

    def feed(self, port: int) -> Daemon:
        """Send to a client of a TCP port; the log gets a line for each part."""
        ready = "feeds"
        return self.host.spawn(
            f"{self.name}-feeds", self._traffic("feed", port), ready=lambda server: ready in server.tail()
        )

    def receive(self, address: str, port: int) -> Daemon:
        """Receive from a server, and send nothing."""
        return self.host.spawn(f"{self.name}-receives", self._traffic("receive", address, port))

    def unsent(self, port: int) -> str:
        """Bytes of connections of a TCP port that are not acknowledged, "0" for each if there are none."""
        sockets = self.host.run(self._inside("ss", "-Htn", f"sport = :{port}")).stdout
        return " ".join(line.split()[2] for line in sockets.splitlines())

    def send(self, address: str, port: int, source: int, text: str) -> None:
        """Send a UDP packet from a port of one's own."""
        self.host.run(self._traffic("send", address, port, source, text))

    def ask(self, server: str, *queries: str) -> list[dict[str, Any]]:
        """Answers of a DNS server to queries like ``web1.example/A``."""
        command = self._inside("python3", str(_QUERY), server, str(HANG), *queries)
        found: list[dict[str, Any]] = json.loads(self.host.run(command).stdout)
        return found

    def renew(self) -> str:
        """Request a DHCP lease, and return what the client prints."""
        client = ("busybox", "udhcpc", "-n", "-q", "-f", "-i", self.name, "-s", "/bin/true", "-t", "90", "-T", "3")
        return self.host.run(self._inside(*client)).stderr

    def _connected(self, timeout: float, targets: tuple[tuple[str, int], ...]) -> list[tuple[str, int]]:
        words = (word for target in targets for word in target)
        found = json.loads(self.host.run(self._traffic("connect", timeout, *words)).stdout)
        return [target for target, connects in zip(targets, found, strict=True) if connects]

    def _traffic(self, *words: object) -> list[str]:
        return self._inside("python3", str(_TRAFFIC), *map(str, words))

    def _inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]


@contextmanager
def box(world: World, host: LabHost, name: str, *options: str) -> Iterator[Box]:
    """Create a port with options of the command, and plug it."""
    port = json.loads(world.ovnhook("port", "create", name, "--host", host.name, *options, "--format", "json"))
    try:
        subnet = json.loads(world.ovnhook("subnet", "show", port["subnet"], "--format", "json"))
        ids = (f"external_ids:iface-id={port['id']}", f"external_ids:attached-mac={port['mac']}")
        plug = ("add-port", "br-int", name, "--", "set", "Interface", name, "type=internal")
        host.run(["ovs-vsctl", *plug, f'mac="{port["mac"]}"', *ids])
        host.run(["ip", "netns", "add", name])
        host.run(["ip", "link", "set", name, "netns", name])
        made = Box(world, host, name, port)
        made.ip("link", "set", "lo", "up")
        made.ip("link", "set", name, "mtu", str(port["mtu"]), "up")
        for address in port["addresses"]:
            version = "6" if ":" in address else ""
            length = subnet[f"cidr{version}"].partition("/")[2]
            made.ip("address", "add", f"{address}/{length}", "dev", name, *(["nodad"] if version else []))
            if gateway := subnet[f"gateway{version}"]:
                made.ip("route", "replace", "default", "via", gateway, "dev", name)  # advertised, too
        yield made
    finally:
        host.run(["ovs-vsctl", "--if-exists", "del-port", "br-int", name])
        host.run(["ip", "netns", "delete", name], check=False)
        world.ovnhook("port", "delete", port["id"])
