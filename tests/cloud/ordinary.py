"""Ordinary guests beside the lab's own: Debian with systemd-networkd and resolved, and with NetworkManager."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from lab import Guest, LabHost
from lab.debian import Role, debian_image
from lab.domain import interface_xml
from lab.image import Image, image
from lab.waiting import HANG, until
from tests.cloud.world import World

SUBNET = "ordinary"
DOMAIN = "lab.example"
GATEWAY, MTU = "10.80.0.1", 1442
SETTINGS = (SUBNET, "10.80.0.0/24", "--cidr6", "fd00:80::/64", "--domain", DOMAIN)


@dataclass(frozen=True)
class GuestKind:
    """A kind of guest.

    Args:
        name: of its domain, and its host name.
        image: that it boots.
        renew: command that renews its lease.
        servers: command that prints the DNS servers that it uses.
    """

    name: str
    image: Image
    renew: str
    servers: str


def kinds() -> tuple[GuestKind, ...]:
    """A guest of each kind; the last one is the lab's own, with musl's and glibc's resolver and nothing else."""
    networkd, manager = debian_image(Role.NETWORKD), debian_image(Role.NETWORK_MANAGER)
    return (
        GuestKind("networkd", networkd, "networkctl renew {nic}", "resolvectl dns {nic}"),
        GuestKind("manager", manager, "nmcli device connect {nic}", "cat /etc/resolv.conf"),
        GuestKind("plain", image(), "killall -USR1 udhcpc", "cat /etc/resolv.conf"),
    )


@dataclass
class OrdinaryGuest:
    """A guest that runs, and its addresses."""

    guest: Guest
    kind: GuestKind
    address: str
    address6: str
    nic: str

    @property
    def name(self) -> str:
        """Its host name."""
        return self.kind.name

    def run(self, command: str, check: bool = True) -> str:
        """Run a command in it; {nic} is its interface."""
        return self.guest.console(command.replace("{nic}", self.nic), check=check)

    def says(self, command: str, expected: str) -> None:
        """Wait until a command prints something that fits a regular expression."""
        said: list[str] = []

        def fits() -> bool:
            said.append(self.run(command, check=False))
            return re.search(expected, said[-1]) is not None

        until(fits, HANG, f"{command} in {self.name} to print {expected}", lambda: said[-1])

    def answers(self, questions: str, options: str = "") -> dict[str, str]:
        """What a DNS server answers: response code and data, by name and type.

        Args:
            questions: the server, then names and types.
            options: of ``names ask``.
        """
        found = {}
        for line in self.run(f"/lab/names ask {options} {questions}", check=False).splitlines():
            name, kind, *words = line.split()
            found[f"{name} {kind}"] = " ".join(word for word in words if word not in ("aa", "tc", "opt"))
        return found


def boot(world: World, host: LabHost, kind: GuestKind, **more: Any) -> Guest:
    """Boot a guest of a kind."""
    return world.boot(
        host, kind.name, interface_xml(), metadata=f"<ovn:interface subnet='{SUBNET}'/>", boots=kind.image, **more
    )


def wait_booted(world: World, guest: Guest, kind: GuestKind) -> OrdinaryGuest:
    """Wait until a guest has both of its addresses."""
    (port,) = world.ports(kind.name)
    address, address6 = port["addresses"].split()[1:]
    assert guest.wait_address() == address
    assert guest.wait_address(family=6) == address6
    return OrdinaryGuest(guest, kind, address, address6, guest.console("basename /sys/class/net/e*").strip())


def resolvers(world: World) -> list[str]:
    """The addresses of the subnet's DNS resolver: IPv4, IPv6."""
    return list(json.loads(world.ovnhook("subnet", "show", SUBNET, "--format", "json"))["resolvers"])
