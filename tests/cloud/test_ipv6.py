"""IPv6, with guests: leased addresses by DHCPv6, the router's advertisements, to each other and outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lab import LabHost
from lab.daemon import Daemon
from lab.domain import interface_xml
from lab.waiting import HANG
from tests.attacks import advertisements
from tests.cloud.world import World

ADDRESS = "2001:db8::10"
OUTSIDE = "2001:db8::254"
CLIENT = "dhcpcd -6 -B -f /dev/null -c /lab/lease6 --nohook resolv.conf"
ROGUE = "rogue0"
UNADVERTISED = 150  # seconds: OVN's own interval between advertisements begins at 200


@pytest.fixture
def both(world: World) -> Iterator[World]:
    """A subnet of both, one of IPv6 alone; the outside knows the way back to the second one only."""
    world.ovnhook("subnet", "create", "both", "10.70.0.0/24", "--cidr6", "fd00:70::/64", "--domain", "both.example")
    world.ovnhook("subnet", "create", "six", "fd00:60::/64", "--domain", "six.example")
    outside = world.cloud.outside
    outside.run(["ip", "-6", "address", "add", f"{OUTSIDE}/64", "dev", "ext0", "nodad"])
    outside.run(["ip", "-6", "route", "add", "fd00:60::/64", "via", ADDRESS])
    yield world
    world.remove_domains()
    outside.run(["ip", "-6", "route", "del", "fd00:60::/64"])
    outside.run(["ip", "-6", "address", "del", f"{OUTSIDE}/64", "dev", "ext0"])
    world.ovnhook("router", "set", "gateway", "--no-external")
    world.wait_for(lambda: not world.leases(), "the leases to be gone", world.leases)
    for subnet in ("both", "six"):
        world.ovnhook("subnet", "delete", subnet)


def test_guests_have_leased_addresses_and_reach_each_other(both: World) -> None:
    """Dual stack and IPv6 alone, across hosts; by name; the same addresses after a stop."""
    one = both.boot(both.hv1, "one", interface_xml(), metadata="<ovn:interface subnet='both'/>")
    asks = "<ovn:interface subnet='six' address='fd00:60::20'/>"
    other = both.boot(both.hv2, "other", interface_xml(), metadata=asks)
    (four, six) = next(row["addresses"].split()[1:] for row in both.ports("one"))
    assert one.wait_address() == four
    assert one.wait_address(family=6) == six
    assert other.wait_address(family=6) == "fd00:60::20"
    one.reach("fd00:60::20")
    other.reach(six)
    look_up = "nslookup -type=aaaa one.both.example"
    both.wait_for(lambda: six in other.console(look_up, check=False), "the name of the other one")
    assert "name = one.both.example" in other.console(f"nslookup {six}")
    assert "nameserver fd00:60::2" in other.console("cat /etc/resolv.conf")
    both.destroy(both.hv1, "one")
    one = both.start(both.hv1, "one")
    assert one.wait_address(family=6) == six


def test_a_false_sender_address_gets_nowhere(both: World) -> None:
    """A guest has the address that is leased to it, and no other."""
    asks = "<ovn:interface subnet='six'/>"
    one = both.boot(both.hv1, "one", interface_xml(), metadata=asks)
    other = both.boot(both.hv2, "other", interface_xml(), metadata=asks)
    one.wait_address(family=6)
    address = other.wait_address(family=6)
    one.reach(address)
    one.console("ip -6 address add fd00:60::bad/128 dev eth0")
    one.console("while ip -6 address | grep -q tentative; do sleep 1; done")
    command = f"ping -c 3 -i 0.2 -W 1 -I fd00:60::bad {address}"
    assert "100% packet loss" in one.console(command, check=False)


def test_flows_that_come_after_the_solicitations(both: World) -> None:
    """A guest that nobody answered while it solicited has IPv6 in seconds: advertisements are not minutes apart."""
    controller = both.hv1.daemon("ovn-controller")
    controller.pause()
    try:
        early = both.boot(both.hv1, "early", interface_xml(), metadata="<ovn:interface subnet='both'/>", dhcp="none")
        early.console(f"{CLIENT} eth0 >/run/client 2>&1 &")
        both.wait_for(lambda: "no IPv6 Routers" in early.console("cat /run/client"), "the client to give up")
    finally:
        controller.resume()
    (six,) = (row["addresses"].split()[2] for row in both.ports("early"))
    assert early.wait_address(family=6, timeout=UNADVERTISED) == six


def test_link_local_addresses_of_guests_own(both: World) -> None:
    """Random or opaque ones work as those made of the MAC; the router's, and what is not leased, nobody can take."""
    addresses = {"odd1": "fd00:60::21", "odd2": "fd00:60::22", "usual": "fd00:60::23"}
    own = {"odd1": "fe80::1a2b:3c4d:5e6f:7a8b", "odd2": "fe80::1a2b:3c4d:5e6f:7a8c"}
    guests = {
        name: both.boot(
            both.hv2 if name == "odd2" else both.hv1,
            name,
            interface_xml(),
            metadata=f"<ovn:interface subnet='six' address='{address}'/>",
            dhcp="none" if name in own else "once",
        )
        for name, address in addresses.items()
    }
    for name, address in own.items():
        guests[name].console(
            "until ip link show eth0 | grep -q LOWER_UP; do sleep 1; done; ip link set eth0 down; "
            "echo 1 >/proc/sys/net/ipv6/conf/eth0/addr_gen_mode; ip link set eth0 up; "
            f"ip -6 address add {address}/64 dev eth0; "
            "dhcpcd -6 -B -q -f /dev/null -c /lab/lease6 --nohook resolv.conf eth0 >/dev/null 2>&1 &",
        )
    for name, guest in guests.items():
        assert guest.wait_address(family=6) == addresses[name]
        routes = guest.console("ip -6 route")
        assert "default via fe80::" in routes
    odd, usual = guests["odd1"], guests["usual"]
    assert own["odd1"] in odd.console("ip -6 address show scope link")
    router = odd.console("ip -6 route").partition("default via ")[2].split()[0]
    for target in (addresses["odd2"], addresses["usual"], "fd00:60::1", f"{own['odd2']}%eth0", f"{router}%eth0"):
        assert odd.ping(target).lost == 0, target
    assert guests["odd2"].ping(addresses["odd1"]).lost == 0

    # It takes the router's address, a neighbour's, and one that nobody has, and announces them.
    seen = f"ip -6 neigh show {router} dev eth0"
    assert usual.ping(f"{router}%eth0").lost == 0
    before = usual.console(seen).split()[:2]
    tap = both.hv1.run(["virsh", "domiflist", "usual"]).stdout.splitlines()[2].split()[0]
    # Only what it sends: the router goes on to advertise itself.
    capture = both.hv1.spawn(
        "capture-nd", ["tcpdump", "-lni", tap, f"icmp6 and ether src {both.mac(both.hv1, 'odd1')}"]
    )
    try:
        both.wait_for(lambda: "listening on" in capture.log.read_text(), "tcpdump")
        odd.console(
            "cd /proc/sys/net/ipv6/conf/eth0; echo 0 >accept_dad; echo 0 >dad_transmits; echo 1 >ndisc_notify; "
            f"taken='{router}/64 {addresses['odd2']}/128 fd00:60::bad/128'; "
            "for one in $taken; do ip -6 address add $one dev eth0; done; "
            "ip link set eth0 down; ip link set eth0 up; sleep 1; "
            f"for one in {own['odd1']}/64 {addresses['odd1']}/128; do ip -6 address add $one dev eth0; done; "
            # Its route goes with the link, and comes back with the next advertisement.
            "until ip -6 route | grep -q '^default via'; do sleep 0.2; done; "
            "for one in $taken; do ip -6 address add $one dev eth0; done; true",
            timeout=HANG,
        )
        told = f"tgt is {own['odd1']}"
        both.wait_for(lambda: told in capture.log.read_text(), "its own link-local address", capture.log.read_text)
        for source in (addresses["odd2"], "fd00:60::bad"):
            assert "100% packet loss" in odd.console(f"ping -c 2 -W 1 -I {source} {addresses['usual']}", check=False)
        text = capture.log.read_text()
    finally:
        capture.kill()
    for taken in (router, addresses["odd2"], "fd00:60::bad"):
        assert f"IP6 {taken} > " not in text
        assert f"advertisement, tgt is {taken}," not in text
    assert usual.console(seen).split()[:2] == before
    assert usual.ping("fd00:60::1").lost == 0


@pytest.fixture
def rogue(both: World) -> Iterator[dict[str, Any]]:
    """A port of an API client on hv1, in the subnet of IPv6 alone."""
    port = json.loads(both.ovnhook("port", "create", "rogue", "--host", "hv1", "--subnet", "six", "--format", "json"))
    ids = (f"external_ids:iface-id={port['id']}", f"external_ids:attached-mac={port['mac']}")
    plug = ("add-port", "br-int", ROGUE, "--", "set", "Interface", ROGUE, "type=internal")
    both.hv1.run(["ovs-vsctl", *plug, f'mac="{port["mac"]}"', *ids])
    both.hv1.run(["ip", "link", "set", ROGUE, "up"])
    both.hv1.run(["ip", "address", "add", f"{port['addresses'][0]}/64", "dev", ROGUE, "nodad"])
    yield port
    both.hv1.run(["ovs-vsctl", "--if-exists", "del-port", "br-int", ROGUE])
    both.ovnhook("port", "delete", port["id"])


def test_a_guest_that_advertises_itself_as_a_router(both: World, rogue: dict[str, Any]) -> None:
    """Others get its advertisements, on its host and on another one, as the trust model says."""
    guests = [
        (host, both.boot(host, name, interface_xml(), metadata="<ovn:interface subnet='six'/>"))
        for host, name in ((both.hv1, "near"), (both.hv2, "far"))
    ]
    for _, guest in guests:
        guest.wait_address(family=6)
    shown = both.hv1.run(["ip", "-json", "-6", "address", "show", "dev", ROGUE, "scope", "link"]).stdout
    (own,) = (one["local"] for row in json.loads(shown) for one in row.get("addr_info", ()) if one)
    captures = [_capture(both, host, guest.name, rogue["mac"]) for host, guest in guests]

    def arrived() -> bool:
        both.hv1.run([sys.executable, advertisements.__file__, ROGUE, own])
        return all("router advertisement" in capture.log.read_text() for capture in captures)

    try:
        both.wait_for(arrived, "the advertisements")
    finally:
        for capture in captures:
            capture.kill()


def _capture(world: World, host: LabHost, name: str, sender: str) -> Daemon:
    """Capture ICMPv6 packets that a guest gets from a MAC address."""
    tap = host.run(["virsh", "domiflist", name]).stdout.splitlines()[2].split()[0]
    capture = host.spawn(f"capture-{name}", ["tcpdump", "-lni", tap, f"icmp6 and ether src {sender}"])
    world.wait_for(lambda: "listening on" in capture.log.read_text(), "tcpdump")
    return capture


def test_guests_reach_the_outside(both: World) -> None:
    """Routed, seen with their own address; with the router's address where that is asked for."""
    way = ("--physical-network", "external", "--address6", f"{ADDRESS}/64", "--next-hop6", OUTSIDE)
    both.ovnhook("router", "set", "gateway", *way)
    both.wait_for(lambda: "active gateway    control" in both.ovnhook("router", "show", "gateway"), "a gateway")
    routed = both.boot(both.hv1, "routed", interface_xml(), metadata="<ovn:interface subnet='six'/>")
    hidden = both.boot(both.hv2, "hidden", interface_xml(), metadata="<ovn:interface subnet='both'/>")
    address = routed.wait_address(family=6)
    hidden.wait_address(family=6)
    routed.reach(OUTSIDE)
    ping = ["busybox", "ping", "-c", "1", "-w", "5", address]
    both.wait_for(lambda: both.cloud.outside.run(ping, check=False).returncode == 0, "an answer to the outside")
    assert hidden.ping(OUTSIDE).received == 0  # nobody outside knows the way back
    both.ovnhook("router", "set", "gateway", "--snat6")
    both.wait_for(lambda: hidden.ping(OUTSIDE, count=1), "a ping to come back")
    capture = both.cloud.outside.spawn("capture6", ["tcpdump", "-lni", "ext0", "-c", "1", "icmp6[0] == 128"])
    try:
        both.wait_for(lambda: "listening on" in capture.log.read_text(), "tcpdump")
        hidden.reach(OUTSIDE)
        both.wait_for(lambda: f"IP6 {ADDRESS} >" in capture.log.read_text(), "the router's address")
    finally:
        capture.kill()
