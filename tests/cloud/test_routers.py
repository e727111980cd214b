"""Routers, with guests that send packets: to each other, to the outside, and where they must not come."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.domain import interface_xml
from lab.fabric import EXTERNAL, NIC
from tests.cloud.external import ADDRESS, FLOATING, OUTSIDE, set_external_gateway
from tests.cloud.world import World

MAC = "52:54:00:bb:00:07"


@pytest.fixture
def routed(world: World) -> Iterator[World]:
    """The default router leads outside; afterwards it doesn't."""
    set_external_gateway(world)
    yield world
    world.make_whole()
    world.remove_domains()
    world.ovnhook("router", "set", "gateway", "--no-external")


def test_subnets_on_one_router_reach_each_other(world: World) -> None:
    """Across hosts, by the gateway that DHCP names; in one hop."""
    one = world.boot(world.hv1, "one", interface_xml())
    other = world.boot(world.hv2, "other", interface_xml(), metadata="<ovn:interface subnet='green'/>")
    address = other.wait_address()
    assert one.wait_address().startswith("10.10.0.")
    assert address.startswith("10.20.0.")
    one.reach(address)
    one.reach("10.20.0.1")


def test_guests_reach_the_outside(routed: World) -> None:
    """With the router's address as theirs, ping and TCP; a file as large as many packets comes whole."""
    guest = routed.boot(routed.hv1, "goes-out", interface_xml())
    guest.wait_address()
    guest.reach(OUTSIDE)
    outside = routed.cloud.outside
    outside.write("/run/serve", "#!/bin/sh\nhead -c 1000000 /dev/zero\n", 0o755)
    server = outside.spawn("serve", ["busybox", "nc", "-ll", "-p", "7777", "-e", "/run/serve"])
    capture = outside.spawn("capture", ["tcpdump", "-lni", "ext0", "-c", "1", "tcp dst port 7777"])
    try:
        routed.wait_for(lambda: "listening on" in capture.log.read_text(), "tcpdump")
        received = guest.console(f"nc {OUTSIDE} 7777 </dev/null | wc -c")
        assert received.strip() == "1000000"
        routed.wait_for(lambda: f"IP {ADDRESS}." in capture.log.read_text(), "the router's address")
    finally:
        server.kill()
        capture.kill()


def test_a_subnet_without_a_router_stays_inside(routed: World) -> None:
    """No default route over DHCP, and none that helps by hand; its guests reach each other."""
    routed.ovnhook("subnet", "create", "inner", "10.50.0.0/24", "--no-router")
    asks = "<ovn:interface subnet='inner'/>"
    one = routed.boot(routed.hv1, "inner1", interface_xml(), metadata=asks)
    two = routed.boot(routed.hv2, "inner2", interface_xml(), metadata=asks)
    other = routed.boot(routed.hv2, "elsewhere", interface_xml())
    address = two.wait_address()
    one.wait_address()
    assert "default" not in one.console("ip route")
    one.reach(address)
    one.console("ip route add default via 10.50.0.1 dev eth0 onlink")
    for target in (OUTSIDE, other.wait_address()):
        assert one.ping(target, count=3).received == 0
    routed.remove_domains()
    routed.wait_for(lambda: not routed.leases(), "the leases to be gone", routed.leases)
    routed.ovnhook("subnet", "delete", "inner")


def test_two_routers_with_the_same_network(routed: World) -> None:
    """Guests have the same address on two routers, and each reaches its own neighbour only."""
    routed.ovnhook("router", "create", "lab")
    routed.ovnhook("subnet", "create", "again", "10.20.0.0/24", "--router", "lab")
    routed.ovnhook("subnet", "create", "beside", "10.60.0.0/24", "--router", "lab")

    def boot(name: str, subnet: str, address: str) -> None:
        asks = f"<ovn:interface subnet='{subnet}' address='{address}'/>"
        host = routed.hv1 if name.endswith("1") else routed.hv2
        assert routed.boot(host, name, interface_xml(), metadata=asks).wait_address() == address

    boot("same1", "green", "10.20.0.30")
    boot("same2", "again", "10.20.0.30")
    boot("lab1", "beside", "10.60.0.30")
    lab = routed.cloud.guest("lab1")
    lab.reach("10.20.0.30")
    routed.cloud.guest("same2").reach("10.60.0.30")
    assert routed.cloud.guest("same1").ping("10.60.0.30", count=3).received == 0
    assert lab.ping(OUTSIDE, count=3).received == 0
    routed.remove_domains()
    routed.wait_for(lambda: not routed.leases(), "the leases to be gone", routed.leases)
    for noun, name in (("subnet", "again"), ("subnet", "beside"), ("router", "lab")):
        routed.ovnhook(noun, "delete", name)


def test_a_floating_ip(routed: World) -> None:
    """Both ways, on another host after another start; gone with its domain, and the address is free for another one."""
    outside = routed.cloud.outside

    def answers() -> bool:
        return outside.run(["busybox", "ping", "-c", "2", "-w", "3", FLOATING], check=False).returncode == 0

    guest = routed.boot(routed.hv1, "known", interface_xml(MAC))
    guest.wait_address()
    routed.ovnhook("floating-ip", "create", FLOATING, "known")
    routed.wait_for(answers, "the floating IP to answer")
    capture = outside.spawn("capture", ["tcpdump", "-lni", "ext0", "-c", "1", f"icmp and src {FLOATING}"])
    try:
        routed.wait_for(lambda: "listening on" in capture.log.read_text(), "tcpdump")
        guest.reach(OUTSIDE)
        routed.wait_for(lambda: "echo request" in capture.log.read_text(), "the guest's own ping")
    finally:
        capture.kill()

    routed.destroy(routed.hv1, "known")
    routed.wait_for(lambda: not answers(), "it to answer no more")
    routed.start(routed.hv1, "known").wait_address()
    routed.wait_for(answers, "it to answer after a start")
    other = routed.boot(routed.hv2, "unknown", interface_xml())
    other.wait_address()
    refused = routed.control.run(["ovnhook", "floating-ip", "create", FLOATING, "unknown"], check=False)
    assert f"address {FLOATING} is the floating IP of domain known ({MAC})" in refused.stderr

    routed.hv1.run(["virsh", "destroy", "known"])
    routed.hv1.run(["virsh", "undefine", "known"])
    routed.wait_for(lambda: FLOATING not in routed.ovnhook("floating-ip", "list"), "it to go with its domain")
    port = routed.ports("unknown")[0]["name"]
    routed.ovnhook("floating-ip", "create", FLOATING, port)
    routed.wait_for(answers, "it to lead to the other one")
    routed.ovnhook("floating-ip", "delete", FLOATING)
    routed.wait_for(lambda: not answers(), "it to answer no more")


def test_an_isolated_subnet(routed: World) -> None:
    """It reaches the outside, and no other subnet reaches it nor it them: by a route of one's own or a false source."""
    for name, cidr in (("iso1", "10.71.0.0/24"), ("iso2", "10.72.0.0/24")):
        routed.ovnhook("subnet", "create", name, cidr, "--isolated")
    guests = {
        subnet: routed.boot(host, f"in-{subnet}", interface_xml(), metadata=f"<ovn:interface subnet='{subnet}'/>")
        for subnet, host in (("iso1", routed.hv1), ("iso2", routed.hv2), ("green", routed.hv2))
    }
    addresses = {subnet: guest.wait_address() for subnet, guest in guests.items()}
    neighbour = routed.boot(routed.hv2, "beside", interface_xml(), metadata="<ovn:interface subnet='iso1'/>")
    beside = neighbour.wait_address()
    guests["iso1"].reach(beside)
    guests["iso1"].reach(OUTSIDE)
    guests["green"].reach(OUTSIDE)

    def unreachable() -> None:
        for here, guest in guests.items():
            for there, address in addresses.items():
                if here != there:
                    assert guest.ping(address, count=2, wait=1).received == 0, (here, there)

    unreachable()
    for guest in guests.values():
        gateway = guest.console("ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'").strip()
        guest.console(
            f"for net in 10.71 10.72 10.20; do ip route add $net.0.0/24 via {gateway} 2>/dev/null; done; true"
        )
    unreachable()
    capture = routed.hv1.spawn("capture", ["tcpdump", "-lni", _tap(routed, "in-iso1"), "-c", "1", "icmp"])
    try:
        routed.wait_for(lambda: "listening on" in capture.log.read_text(), "tcpdump")
        spoofed = guests["green"]
        spoofed.console(f"ip addr add {beside}/32 dev eth0")
        spoofed.console(f"ping -c 3 -i 0.2 -w 3 -I {beside} {addresses['iso1']} || true")
        assert "ICMP" not in capture.log.read_text()
    finally:
        capture.kill()

    routed.ovnhook("subnet", "set", "iso2", "--no-isolated")
    routed.wait_for(lambda: guests["green"].ping(addresses["iso2"], count=1).received, "iso2 to be reached")
    assert guests["iso1"].ping(addresses["iso2"], count=2, wait=1).received == 0
    routed.remove_domains()
    routed.wait_for(lambda: not routed.leases(), "the leases to be gone", routed.leases)
    for name in ("iso1", "iso2"):
        routed.ovnhook("subnet", "delete", name)


def test_domains_with_subnets_of_their_own(routed: World) -> None:
    """Two that start at once have two; each reaches the outside and nobody else; they go with their domains."""
    asks = "<ovn:interface isolated='yes'/>"
    for host, name in ((routed.hv1, "own1"), (routed.hv2, "own2")):
        routed.define(host, name, interface_xml(), metadata=asks)
    with ThreadPoolExecutor(2) as pool:
        guests = list(pool.map(routed.start, (routed.hv1, routed.hv2), ("own1", "own2")))
    addresses = [guest.wait_address() for guest in guests]
    assert len({address.rpartition(".")[0] + str(int(address.rpartition(".")[2]) // 16) for address in addresses}) == 2
    for guest, other in zip(guests, reversed(addresses), strict=True):
        guest.reach(OUTSIDE)
        assert guest.ping(other, count=2, wait=1).received == 0
    routed.destroy(routed.hv1, "own1")
    assert routed.start(routed.hv1, "own1").wait_address() == addresses[0]
    routed.remove_domains()
    routed.wait_for(lambda: "isolated-" not in routed.ovnhook("subnet", "list"), "the subnets to go")


def _tap(world: World, domain: str) -> str:
    """The tap of a domain's interface."""
    return world.hv1.run(["virsh", "domiflist", domain]).stdout.splitlines()[2].split()[0]


def test_a_vlan_outside(routed: World) -> None:
    """The gateway host's switch takes only packets of that VLAN outside, and answers come back by it."""
    guest = routed.boot(routed.hv1, "tagged", interface_xml())
    guest.wait_address()
    routed.wait_for(lambda: guest.ping(OUTSIDE, count=1), "a ping to be answered")
    port = ["ovs-vsctl", "set", "Port", NIC[EXTERNAL]]
    routed.control.run([*port, "tag=42"])
    try:
        assert guest.ping(OUTSIDE).received == 0
        refused = routed.control.run(["ovnhook", "router", "set", "gateway", "--vlan", "42"], check=False)
        assert "this interrupts external connectivity of 1 guest, through gateway host control" in refused.stderr
        routed.ovnhook("router", "set", "gateway", "--vlan", "42", "--force")
        routed.wait_for(lambda: guest.ping(OUTSIDE, count=1), "a ping to be answered")
        guest.reach(OUTSIDE)
        routed.ovnhook("router", "set", "gateway", "--vlan", "43", "--force")
        routed.wait_for(lambda: not guest.ping(OUTSIDE, count=1, wait=1), "pings not to be answered")
    finally:
        routed.control.run([*port, "tag=[]"])


def test_a_packet_that_is_too_large_comes_back(routed: World) -> None:
    """Whoever sends it is told what fits, and what fits gets through."""
    guest = routed.boot(routed.hv1, "small", interface_xml())
    guest.wait_address()
    routed.ovnhook("floating-ip", "create", FLOATING, "small")
    outside = routed.cloud.outside
    ping = ["ping", "-c", "1", "-W", "2", "-M", "do", FLOATING]
    routed.wait_for(lambda: outside.run(ping, check=False).returncode == 0, "the floating IP")
    fits, too_large = ([*ping, "-s", size] for size in ("1414", "1472"))  # 1442 bytes with its headers, and 1500
    routed.wait_for(lambda: outside.run(fits, check=False).returncode == 0, "what fits")
    outside.run(["ip", "route", "flush", "cache"])
    routed.wait_for(lambda: "mtu = 1442" in outside.run(too_large, check=False).stdout, "what fits to be told")


def test_a_subnet_that_moves_there_and_back(world: World) -> None:
    """Running guests, on both hosts, reach the router that their subnet is on, and what else is on it, each time."""
    one = world.boot(world.hv1, "one", interface_xml())
    two = world.boot(world.hv2, "two", interface_xml())
    other = world.boot(world.hv2, "other", interface_xml(), metadata="<ovn:interface subnet='green'/>")
    address = other.wait_address()
    for guest in (one, two):
        guest.wait_address()
        guest.reach(address)
    world.ovnhook("router", "create", "second")
    try:
        for router, reached in (("second", False), ("gateway", True), ("second", False), ("gateway", True)):
            world.ovnhook("subnet", "set", "default", "--router", router)
            for guest in (one, two):
                world.wait_for(lambda: guest.ping("10.10.0.1", count=1), "the router")  # noqa: B023
                guest.reach("10.10.0.1")
                if reached:
                    world.wait_for(lambda: guest.ping(address, count=1), "the other subnet")  # noqa: B023
                else:
                    world.wait_for(lambda: not guest.ping(address, count=2), "the other subnet to be gone")  # noqa: B023
    finally:
        world.ovnhook("subnet", "set", "default", "--router", "gateway")
        world.ovnhook("router", "delete", "second")
