"""Client ports, each plugged in a network namespace of its name on its host: cheaper than guests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab import LabHost
from tests.cloud.world import World


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

    def ip(self, *arguments: str) -> None:
        """Run ip(8) on its namespace."""
        self.host.run(["ip", "-n", self.name, *arguments])

    def answers(self, address: str, *, source: str = "", count: int = 1) -> bool:
        """Return whether a ping of an address is answered."""
        options = ["-I", source] if source else []
        ping = ["ping", "-c", str(count), "-W", "1", *options, address]
        return self.host.run(["ip", "netns", "exec", self.name, *ping], check=False).returncode == 0

    def reach(self, address: str, *, source: str = "") -> None:
        """Wait until pings of an address are answered."""
        self.world.wait_for(lambda: self.answers(address, source=source), f"{address} to answer {self.name}")


@contextmanager
def box(world: World, host: LabHost, name: str, *options: str) -> Iterator[Box]:
    """Create a port with options of the command, and plug it."""
    port = json.loads(world.ovnhook("port", "create", name, "--host", host.name, *options, "--format", "json"))
    try:
        ids = (f"external_ids:iface-id={port['id']}", f"external_ids:attached-mac={port['mac']}")
        plug = ("add-port", "br-int", name, "--", "set", "Interface", name, "type=internal")
        host.run(["ovs-vsctl", *plug, f'mac="{port["mac"]}"', *ids])
        host.run(["ip", "netns", "add", name])
        host.run(["ip", "link", "set", name, "netns", name])
        made = Box(world, host, name, port)
        made.ip("link", "set", name, "mtu", str(port["mtu"]), "up")
        made.ip("address", "add", f"{made.address}/24", "dev", name)
        yield made
    finally:
        host.run(["ovs-vsctl", "--if-exists", "del-port", "br-int", name])
        host.run(["ip", "netns", "delete", name], check=False)
        world.ovnhook("port", "delete", port["id"])
