"""A network between machines, with nobody else on it."""

from __future__ import annotations

import os
import subprocess

from lab.process import run
from lab.waiting import HANG

_BRIDGE = "wire"


class MachineNetwork:
    """A bridge in a namespace of its own, and for each machine a namespace with an interface on that bridge."""

    def __init__(self) -> None:
        self._wire = f"ovnhook-{os.getpid()}-wire"
        self._namespaces: list[str] = []
        self._hosts: dict[str, str] = {}
        _ip("netns", "add", self._wire)
        _ip("-n", self._wire, "link", "add", _BRIDGE, "type", "bridge", "mcast_snooping", "0")
        _ip("-n", self._wire, "link", "set", _BRIDGE, "addrgenmode", "none", "up")

    def host(self, address: str) -> str:
        """Make the namespace of one more machine, in which the interface ``eth0`` has an address; its name.

        It outlives the machine's being switched off, as a cable does.

        Args:
            address: with the network's length; that of a machine that is off is taken over.
        """
        number = len(self._namespaces) + 1
        name, far = f"ovnhook-{os.getpid()}-{number}", f"host{number}"
        _ip("netns", "add", name)
        self._namespaces.append(name)
        self._hosts[address.partition("/")[0]] = name
        peer = ("peer", "name", far, "netns", self._wire)
        _ip("link", "add", "eth0", "netns", name, "type", "veth", *peer)
        _ip("-n", self._wire, "link", "set", far, "master", _BRIDGE, "addrgenmode", "none", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "address", "add", address, "dev", "eth0", "nodad")
        for namespace, interface in ((name, "eth0"), (self._wire, far)):
            # Checksums are computed before a packet leaves: no userspace switch on the way would do it.
            _ip("netns", "exec", namespace, "ethtool", "-K", interface, "tx", "off")
        return name

    def switch_off(self, address: str) -> None:
        """Let nobody be heard at an address, and the kernel forget what it was told, as that of a host that is off."""
        _ip("-n", self._hosts[address], "link", "set", "eth0", "down")
        for command in (
            ("ip", "xfrm", "policy", "flush"),
            ("ip", "xfrm", "state", "flush"),
            ("nft", "flush", "ruleset"),
        ):
            _ip("netns", "exec", self._hosts[address], *command)

    def switch_on(self, address: str) -> None:
        """Let there be somebody at an address again."""
        name, length = self._hosts[address], 64 if ":" in address else 24
        _ip("-n", name, "link", "set", "eth0", "up")
        # With the link an address of IPv6 had gone.
        _ip("-n", name, "address", "replace", f"{address}/{length}", "dev", "eth0", "nodad")

    def name(self, address: str) -> str:
        """The namespace of the host that was made with an address."""
        return self._hosts[address]

    def move(self, address: str, taken: str) -> None:
        """Let the host that was made with an address take another one, and the others hear of it."""
        name, length = self._hosts[address], 64 if ":" in taken else 24
        _ip("-n", name, "address", "flush", "dev", "eth0", "scope", "global")
        _ip("-n", name, "address", "add", f"{taken}/{length}", "dev", "eth0", "nodad")

    def run(self, address: str, *argv: str) -> str:
        """What a program says, to both, that is run where the host made with an address is, however it ends."""
        command = ["ip", "netns", "exec", self._hosts[address], *argv]
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG,
        )
        return done.stdout

    def remove(self) -> None:
        """Take it away; the machines are to be off."""
        for name in (*self._namespaces, self._wire):
            _ip("netns", "del", name)
        self._namespaces.clear()
        self._hosts.clear()


def _ip(*arguments: str) -> None:
    run(["ip", *arguments])
