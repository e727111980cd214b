"""The network outside: a wire that machines are plugged into, its router with DHCP and DNS, and a host of the Internet.

Nobody there has a route to guests: who gets an answer has the address of a machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.process import run
from lab.waiting import HANG

ROUTER = "192.0.2.254"
ROUTER6 = "2001:db8:1::fe"
INTERNET = "198.51.100.1"
"""Address of the host of the Internet. Its port 7 tells who connects the address that it sees."""
INTERNET6 = "2001:db8:2::1"
INTERNET_NAME = "www.example.net"

_FOLDER = Path(__file__).resolve().parent
_FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


@dataclass(frozen=True)
class Plug:
    """Place of a machine on the wire.

    Attributes:
        tap: the interface that QEMU opens, in the namespace of the wire.
        mac: MAC address of the machine.
        address: address that DHCP gives the machine.
    """

    tap: str
    mac: str
    address: str


class Wire:
    """A bridge in a namespace, which is the router too, and the namespace of the host of the Internet.

    Args:
        names: of the machines, in the order of their numbers, which DNS knows.
    """

    def __init__(self, *names: str) -> None:
        self.namespace = f"ovnhook-{os.getpid()}-wire"
        self.plugs = {
            name: Plug(f"tap{number}", f"52:54:00:99:01:{number:02x}", f"192.0.2.{number}")
            for number, name in enumerate(names, 1)
        }
        self._undo = ExitStack()
        internet = f"ovnhook-{os.getpid()}-internet"
        for name in (self.namespace, internet):
            _ip("netns", "add", name)
            self._undo.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        own = ("-n", self.namespace)
        _ip(*own, "link", "add", "wire", "type", "bridge", "mcast_snooping", "0")
        _ip(*own, "link", "add", "out", "type", "veth", "peer", "name", "eth0", "netns", internet)
        for plug in self.plugs.values():
            _ip(*own, "tuntap", "add", "dev", plug.tap, "mode", "tap")
            _ip(*own, "link", "set", plug.tap, "master", "wire", "up")
        addresses = {
            ("wire", self.namespace): (f"{ROUTER}/24", f"{ROUTER6}/64"),
            ("out", self.namespace): ("198.51.100.254/24", "2001:db8:2::fe/64"),
            ("eth0", internet): (f"{INTERNET}/24", f"{INTERNET6}/64"),
        }
        for (interface, namespace), own_addresses in addresses.items():
            for address in own_addresses:
                _ip("-n", namespace, "address", "add", address, "dev", interface, "nodad")
            _ip("-n", namespace, "link", "set", interface, "up")
        self.run("sysctl", "-qw", *_FORWARDING)
        _ip("-n", internet, "route", "add", "default", "via", "198.51.100.254")
        _ip("-n", internet, "route", "add", "default", "via", "2001:db8:2::fe")
        self._start(internet, sys.executable, str(_FOLDER / "peer_address.py"))
        self._start(self.namespace, *self._dnsmasq())

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command on the router; returns its output."""
        return run(["ip", "netns", "exec", self.namespace, *argv], check=check).stdout

    def cut(self, name: str) -> None:
        """Pull the cable of a machine."""
        _ip("-n", self.namespace, "link", "set", self.plugs[name].tap, "nomaster")

    def remove(self) -> None:
        """Remove all of it; the machines are to be off."""
        self._undo.close()

    def _dnsmasq(self) -> list[str]:
        return [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file="),
            *("--interface=wire", "--bind-interfaces", "--except-interface=lo", "--leasefile-ro"),
            *("--dhcp-range=192.0.2.0,static", "--dhcp-range=2001:db8:1::,ra-only", "--enable-ra"),
            *(f"--dhcp-host={plug.mac},{plug.address},{name}" for name, plug in self.plugs.items()),
            *("--no-resolv", "--no-hosts", "--domain=example.org", "--expand-hosts", "--local=/example.org/"),
            *(f"--host-record={name}.example.org,{name},{plug.address}" for name, plug in self.plugs.items()),
            f"--host-record={INTERNET_NAME},{INTERNET},{INTERNET6}",
        ]

    def _start(self, namespace: str, *argv: str) -> None:
        child = subprocess.Popen(["ip", "netns", "exec", namespace, *argv], stdin=subprocess.DEVNULL)
        self._undo.callback(child.wait, HANG)
        self._undo.callback(child.terminate)


def _ip(*arguments: str) -> None:
    run(["ip", *arguments])
