"""The agent's part for DNS, as a process without a control service: ``python3 -m … FILE``.

The file has what the control service would send, in JSON. It is read again when it changes. Problems are printed.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from netaddr import IPAddress, IPNetwork

from ovnhook.agent.hostview import NetworkListeners
from ovnhook.agent.nameservice import NameService
from ovnhook.base.config import Config
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork.resolvers import Resolvers
from ovnhook.hostnetwork.switchports import SwitchPorts
from ovnhook.resources.hostvalues import HostName, HostResolver, HostSubnet

POLL_INTERVAL = 0.02


class FileView:
    """What a file says of subnets and names."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listeners: list[NetworkListeners] = []

    def listen(self, listeners: NetworkListeners) -> None:
        """Add callbacks."""
        self._listeners.append(listeners)

    def networks(self) -> HostNetworks:
        """The subnets, all of which this host has ports in if their scope is listed."""
        read = self._read()
        return HostNetworks(
            {name: subnet(name, values) for name, values in read["subnets"].items()}, {}, read["scopes"]
        )

    def names(self, scope: str) -> tuple[HostName, ...]:
        """The names of a scope."""
        subnets = self.networks().subnets
        return tuple(
            HostName(inside, hostname, IPAddress(address))
            for inside, hostname, address in self._read()["names"]
            if subnets[inside].scope == scope
        )

    def follow(self, stop: threading.Event) -> None:
        """Tell of changes of the file."""
        last = self._read()
        while not stop.wait(POLL_INTERVAL):
            read = self._read()
            for one in self._listeners:
                if read["subnets"] != last["subnets"]:
                    one.networks_changed()
                if read != last:
                    for scope in {*read["scopes"], *last["scopes"]}:
                        one.names_changed(scope)
            last = read

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        return found


def subnet(name: str, values: dict[str, Any]) -> HostSubnet:
    """A subnet as in the file."""
    networks = tuple(map(IPNetwork, values["networks"]))
    resolver = HostResolver(f"dns:{name}", values["mac"], tuple(network[2] for network in networks))
    return HostSubnet(name, 1442, networks, router=values["router"], dns_domain=values["domain"], resolver=resolver)


def main() -> None:
    """Serve names until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    view = FileView(Path(sys.argv[1]))
    config = Config()
    service = NameService(view, Resolvers(SwitchPorts(config.vswitch, config.integration_bridge)))
    threading.Thread(target=service.run, daemon=True).start()
    view.follow(stop)


if __name__ == "__main__":
    main()
