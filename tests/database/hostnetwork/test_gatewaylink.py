"""A host that masquerades for guests, in namespaces with real packets: a router, the host, and two networks of it."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

from lab.waiting import HANG, until
from ovnhook.base.command import run
from ovnhook.base.deadline import Deadline
from ovnhook.hostnetwork import gatewayfilter, gatewaylink
from ovnhook.hostnetwork.forwarding import ForwardingSettings
from ovnhook.hostnetwork.gatewaylink import GatewayLink, LinkState, RoutedNetwork
from tests.database.hostnetwork.places import Place

GUEST, GUEST6 = "10.1.0.7", "fd00:1::7"
OWN, OWN6 = "203.0.113.10", "2001:db8::10"
OUTSIDE, OUTSIDE6 = "203.0.113.254", "2001:db8::fe"
BLUE = RoutedNetwork("blue", IPNetwork("10.1.0.0/24"), IPAddress("169.254.186.2"), 1442)
BLUE6 = RoutedNetwork("blue", IPNetwork("fd00:1::/64"), IPAddress("fd6f:766e:686b::2"), 1442)


@dataclass
class Scene:
    """A host with an uplink and another network, and the router behind its link, which is the guest as well."""

    router: Place
    host: Place
    outside: Place
    lan: Place
    folder: Path

    def link(self) -> GatewayLink:
        """The host's side, as a process sees it that has just begun."""
        return GatewayLink(ForwardingSettings(record=self.folder / "forwarding"), self.folder / "lock")

    def converge(self, *subnets: RoutedNetwork, link: GatewayLink | None = None) -> LinkState:
        """Bring it in order."""
        found = link or self.link()
        return self.host.call(lambda: found.converge(subnets or (BLUE,), Deadline.after(HANG)))

    @property
    def table(self) -> str:
        """The packet filter."""
        done = ["ip", "netns", "exec", self.host.name, "nft", "list", "table", *gatewayfilter.TABLE]
        return subprocess.run(done, check=False, capture_output=True, text=True, timeout=HANG).stdout


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A new one: forwarding is off, the host has its address and its default routes."""
    names = [f"{os.getpid()}-hostgw-{name}" for name in ("router", "host", "outside", "lan")]
    with Place(names[0]) as router, Place(names[1]) as host, Place(names[2]) as outside, Place(names[3]) as lan:
        for place in (router, host, outside, lan):
            place.setting("ipv6/conf/default/accept_dad", "0")
        host.connect_to(router, "br-host", "eth0")
        host.connect_to(outside, "up0", "eth0")
        host.connect_to(lan, "lan0", "eth0")
        for place, interface, addresses in (
            (router, "eth0", ("169.254.186.2/24", "fd6f:766e:686b::2/64")),
            (router, "lo", (f"{GUEST}/32", f"{GUEST6}/128")),
            (host, "up0", (f"{OWN}/24", f"{OWN6}/64")),
            (host, "lan0", ("198.51.100.1/24",)),
            (outside, "eth0", (f"{OUTSIDE}/24", f"{OUTSIDE6}/64")),
            (lan, "eth0", ("198.51.100.254/24",)),
        ):
            for one in addresses:
                place.ip("address", "add", one, "dev", interface, "nodad")
        router.ip("route", "add", "default", "via", "169.254.186.1")
        router.ip("route", "add", "default", "via", "fd6f:766e:686b::1")
        host.ip("route", "add", "default", "via", OUTSIDE)
        host.ip("route", "add", "default", "via", OUTSIDE6)
        for place in (outside, lan):  # they try what they can
            place.ip("route", "add", "10.1.0.0/24", "via", OWN if place is outside else "198.51.100.1")
        lan.ip("route", "add", "203.0.113.0/24", "via", "198.51.100.1")
        outside.ip("route", "add", "198.51.100.0/24", "via", OWN)
        outside.ip("route", "add", "fd00:1::/64", "via", OWN6)
        assert host.setting("ipv4/ip_forward") == "0"
        yield Scene(router, host, outside, lan, tmp_path)


def is_refused(client: Place, server: socket.socket, source: str = "") -> bool:
    """Nothing gets there."""
    with pytest.raises(OSError, match=r"timed out|No route|unreachable|refused|not permitted|Permission"):
        client.connect(server, source, timeout=0.5)
    return True


def test_guests_reach_the_outside_and_the_host_reaches_guests(scene: Scene) -> None:
    """The outside sees the host's address; guests and the host see each other's own; the host is no other's router."""
    state = scene.converge()
    assert state == LinkState(True, ("up0",), False, ("198.51.100.0/24", "203.0.113.0/24", "2001:db8::/64"))
    with scene.outside.listen(OUTSIDE) as outside, scene.lan.listen("198.51.100.254") as lan:
        assert scene.router.connect(outside, GUEST) == (OWN, GUEST)
        assert is_refused(scene.router, lan, GUEST)  # no default route leads there
        assert is_refused(scene.lan, outside)
        assert is_refused(scene.outside, lan)
    with scene.router.listen(GUEST) as guest, scene.host.listen(OWN) as host:
        assert scene.host.connect(guest) == (OWN, OWN)
        assert scene.router.connect(host, GUEST) == (GUEST, GUEST)
        assert "mtu 1442" in scene.host.ip("route", "show", "10.1.0.0/24")
        assert is_refused(scene.outside, guest)
        assert is_refused(scene.lan, guest)


def test_ipv6(scene: Scene) -> None:
    """The same, once a subnet has it; interfaces stay those of a host, and its default route stays."""
    scene.host.setting("ipv6/conf/up0/accept_ra", "1")
    scene.converge()
    assert scene.host.setting("ipv6/conf/all/forwarding") == "0"
    state = scene.converge(BLUE, BLUE6)
    assert state.problems == ()
    names = ("all", "default", "up0", "lan0", "br-host")
    assert [scene.host.setting(f"ipv6/conf/{name}/forwarding") for name in names] == ["1", "0", "0", "0", "1"]
    assert scene.host.setting("ipv6/conf/up0/accept_ra") == "1"
    with scene.outside.listen(OUTSIDE6) as outside, scene.router.listen(GUEST6) as guest:
        assert scene.router.connect(outside, GUEST6) == (OWN6, GUEST6)
        assert scene.host.connect(guest) == ("fd6f:766e:686b::1", "fd6f:766e:686b::1")
        assert is_refused(scene.outside, guest)
    scene.converge(BLUE)
    assert scene.host.setting("ipv6/conf/all/forwarding") == "0"
    assert "ipv6" not in scene.table


def advertise(scene: Scene) -> None:
    """Let the router outside send a router advertisement (RFC 4861, section 4.2)."""

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
            sender.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0))

    scene.outside.call(send)


def test_an_ipv6_default_route_by_advertisement(scene: Scene) -> None:
    """The host keeps it when it begins to forward, and goes on listening to advertisements."""

    def default_route() -> str:
        return scene.host.ip("-6", "route", "show", "default", "proto", "ra")

    def advertised() -> str:
        advertise(scene)
        return default_route()

    scene.host.ip("-6", "route", "del", "default")
    until(advertised, HANG, "the first advertisement")
    before = default_route().split("expires")[0]
    scene.converge(BLUE6)
    assert default_route().split("expires")[0] == before
    with scene.outside.listen(OUTSIDE6) as outside:
        assert scene.router.connect(outside, GUEST6)[0] == OWN6
    scene.host.ip("-6", "route", "flush", "default")
    until(advertised, HANG, "another advertisement")


def test_a_second_time_changes_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same process only reads; another one loads its packet filter."""
    commands: list[tuple[str, ...]] = []

    def noted(*argv: str, stdin: str = "", timeout: float, hint: str = "") -> str:
        commands.append(argv)
        return run(*argv, stdin=stdin, timeout=timeout, hint=hint)

    monkeypatch.setattr(gatewaylink, "run", noted)
    link = scene.link()
    scene.converge(BLUE, BLUE6, link=link)
    assert [argv for argv in commands if "-" in argv] == [
        ("ip", "-force", "-batch", "-"),
        ("nft", "-f", "-"),
        ("ip", "-force", "-batch", "-"),
    ]
    commands.clear()
    scene.converge(BLUE, BLUE6, link=link)
    assert [argv for argv in commands if "-" in argv] == []
    scene.converge(BLUE, BLUE6)
    assert [argv for argv in commands if "-" in argv] == [("nft", "-f", "-")]


def test_what_is_broken_by_hand_is_repaired(scene: Scene) -> None:
    """Addresses, routes, packet filter and settings."""
    link = scene.link()
    scene.converge(link=link)
    scene.host.ip("address", "flush", "dev", "br-host")
    scene.host.ip("link", "set", "br-host", "down")
    subprocess.run(["ip", "netns", "exec", scene.host.name, "nft", "flush", "ruleset"], check=True, timeout=HANG)
    for name in ("br-host", "up0"):
        scene.host.setting(f"ipv4/conf/{name}/forwarding", "0")
    scene.converge(link=link)
    with scene.outside.listen(OUTSIDE) as outside, scene.router.listen(GUEST) as guest:
        assert scene.router.connect(outside, GUEST)[0] == OWN
        assert scene.host.connect(guest)[0] == OWN


def test_another_address_and_another_uplink(scene: Scene) -> None:
    """The host's routes have its present address; what is no uplink any more forwards nothing."""
    scene.converge()
    scene.host.ip("address", "add", "203.0.113.11/24", "dev", "up0")
    scene.host.ip("address", "del", f"{OWN}/24", "dev", "up0")
    scene.host.ip("address", "add", "203.0.113.11/24", "dev", "up0")
    scene.host.ip("route", "replace", "default", "via", OUTSIDE)
    scene.converge()
    with scene.router.listen(GUEST) as guest:
        assert scene.host.connect(guest)[0] == "203.0.113.11"
    scene.host.ip("route", "replace", "default", "via", "198.51.100.254")
    scene.converge()
    assert [scene.host.setting(f"ipv4/conf/{name}/forwarding") for name in ("up0", "lan0")] == ["0", "1"]
    scene.host.ip("route", "del", "default")
    state = scene.converge()
    assert (state.uplinks, state.is_cut_off) == (("up0",), True)  # an uplink of IPv6
    assert "no IPv4 default route" in state.problems[0]
    with scene.router.listen(GUEST) as guest:
        assert scene.host.connect(guest)[0] in ("203.0.113.11", "198.51.100.1")
    state = scene.converge(BLUE6)
    assert (state.problems, state.is_cut_off) == ((), False)


def test_somebody_else_enables_forwarding(scene: Scene) -> None:
    """Then it is not ours to drop what is forwarded, nor to disable it."""
    scene.converge(BLUE, BLUE6)
    scene.host.setting("ipv4/ip_forward", "1")
    scene.host.setting("ipv6/conf/all/forwarding", "1")
    scene.converge(BLUE, BLUE6)
    assert (scene.folder / "forwarding").read_text() == ""
    with scene.outside.listen(OUTSIDE) as outside, scene.router.listen(GUEST) as guest:
        assert scene.lan.connect(outside)[0] == "198.51.100.254"
        assert is_refused(scene.outside, guest)
    scene.host.ip("route", "del", "default")
    scene.converge(BLUE)
    assert scene.host.setting("ipv4/conf/up0/forwarding") == "1"
    assert scene.host.setting("ipv6/conf/all/forwarding") == "1"


def test_a_subnet_that_is_the_hosts_network(scene: Scene) -> None:
    """It stays the host's; the problem names both. Other subnets have their routes, until they are gone."""
    same = RoutedNetwork("red", IPNetwork("198.51.100.128/25"), BLUE.via, 1442)
    state = scene.converge(BLUE, same)
    assert "subnet red (198.51.100.128/25) overlaps with network 198.51.100.0/24 of its interface lan0" in str(state)
    assert [line.split()[0] for line in scene.host.ip("-4", "route", "show", "proto", "111").splitlines()] == [
        "10.1.0.0/24"
    ]
    other = RoutedNetwork("red", IPNetwork("10.2.0.0/24"), BLUE.via, 1442)
    scene.converge(other)
    assert scene.host.ip("-4", "route", "show", "proto", "111").startswith("10.2.0.0/24 via 169.254.186.2 ")


def test_no_bridge(scene: Scene) -> None:
    """A host without the link is left alone."""
    scene.host.ip("link", "del", "br-host")
    assert scene.converge() == LinkState()
    assert scene.table == ""
