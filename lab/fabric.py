"""The networks: a namespace with a bridge for each, and links to the hosts."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network

from lab.errors import LabError
from lab.namespaces import NETNS, Namespaces
from lab.process import run

MANAGEMENT = "management"
UNDERLAY = "underlay"
EXTERNAL = "external"
NETWORKS = {
    MANAGEMENT: IPv4Network("172.31.0.0/24"),
    UNDERLAY: IPv4Network("172.31.1.0/24"),
    EXTERNAL: IPv4Network("203.0.113.0/24"),
}
"""management carries NB, SB and libvirt; underlay carries the tunnels; external is the external network."""

NIC = {MANAGEMENT: "mgmt0", UNDERLAY: "under0", EXTERNAL: "ext0"}
"""The name of a host's interface on each network."""


class Fabric:
    """The bridges that join the hosts."""

    def __init__(self, prefix: str) -> None:
        self.network = f"{prefix}-fabric"

    def create(self) -> None:
        """Create the bridges."""
        _ip("netns", "add", self.network)
        for name in NETWORKS:
            _ip("-n", self.network, "link", "add", name, "type", "bridge", "mcast_snooping", "0")
            _ip("-n", self.network, "link", "set", name, "addrgenmode", "none", "up")

    def destroy(self) -> None:
        """Remove them."""
        if (NETNS / self.network).exists():
            _ip("netns", "del", self.network)

    def namespaces(self) -> list[tuple[str, int]]:
        """The namespace as (kind, inode), if it exists."""
        path = NETNS / self.network
        return [("net", path.stat().st_ino)] if path.exists() and os.path.ismount(path) else []

    def link(self, host: Namespaces, network: str) -> str:
        """Connect a host to a network; return the name of its interface.

        Checksums are computed before a packet leaves: no userspace switch on the way would do it.
        """
        nic, far = NIC[network], self._far(host.name, network)
        peer = ("peer", "name", far, "netns", self.network)
        _ip("link", "add", nic, "netns", host.network, "type", "veth", *peer)
        _ip("-n", self.network, "link", "set", far, "master", network, "addrgenmode", "none", "up")
        _ip("-n", host.network, "link", "set", nic, "up")
        for namespace, name in ((host.network, nic), (self.network, far)):
            run(["ip", "netns", "exec", namespace, "ethtool", "-K", name, "tx", "off"])
        return nic

    def cut(self, host: Namespaces, network: str) -> None:
        """Take down a host's link to a network."""
        _ip("-n", self.network, "link", "set", self._far(host.name, network), "down")

    def restore(self, host: Namespaces, network: str) -> None:
        """Bring it up again."""
        _ip("-n", self.network, "link", "set", self._far(host.name, network), "up")

    def join(self, other: Fabric, network: str) -> None:
        """Connect a network of this fabric to another fabric's, until either is destroyed."""
        ends = {self.network: f"to-{other.network}"[:15], other.network: f"to-{self.network}"[:15]}
        peer = ("peer", "name", ends[other.network], "netns", other.network)
        _ip("link", "add", ends[self.network], "netns", self.network, "type", "veth", *peer)
        for namespace, end in ends.items():
            _ip("-n", namespace, "link", "set", end, "master", network, "addrgenmode", "none", "up")

    @staticmethod
    def _far(host: str, network: str) -> str:
        return f"{host}-{network[0]}"


def address(network: str, index: int) -> IPv4Address:
    """The address of the host with this number on a network."""
    block = NETWORKS[network]
    if not 0 < index < block.num_addresses - 1:
        raise LabError(f"host number {index} does not fit into {block}")
    return block[index]


def prefixed(network: str, index: int) -> str:
    """The same with prefix length, for ``ip address add``."""
    return f"{address(network, index)}/{NETWORKS[network].prefixlen}"


def _ip(*arguments: str) -> None:
    run(["ip", *arguments])
