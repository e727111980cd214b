"""Addresses that two guests on two hosts take over from each other, as by VRRP: reached from their subnet, from another
one, and from outside by a floating IP; what another guest may not, and a migration.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import Guest
from lab.domain import interface_xml
from tests.cloud.boxes import box
from tests.cloud.external import FLOATING, set_external_gateway
from tests.cloud.migration import migrate, settled
from tests.cloud.world import World

FOUR, SIX = "10.70.0.50", "fd00:70::50"
METADATA = f"<ovn:interface subnet='shared' virtual-address='{FOUR} {SIX}'/>"


@pytest.fixture
def routed(world: World) -> Iterator[World]:
    """Two dual-stack subnets on a router that leads outside."""
    set_external_gateway(world)
    world.ovnhook("subnet", "create", "shared", "10.70.0.0/24", "--cidr6", "fd00:70::/64")
    world.ovnhook("subnet", "create", "beside", "10.71.0.0/24", "--cidr6", "fd00:71::/64")
    yield world
    world.make_whole()
    world.remove_domains()
    world.wait_for(lambda: not world.leases(), "the leases to be gone", world.leases)
    kinds = {dict(row["external_ids"][1]).get("ovnhook:kind") for row in world.rows().values()}
    assert not kinds & {"virtual", "virtual-port", "floating"}
    for subnet in ("shared", "beside"):
        world.ovnhook("subnet", "delete", subnet)
    world.ovnhook("router", "set", "gateway", "--no-external")


def take_over(guest: Guest) -> None:
    """Become the master: gratuitous ARP tells of the IPv4 address, duplicate address detection of the IPv6 one."""
    guest.console(f"ip address add {FOUR}/32 dev eth0; ip -6 address add {SIX}/64 dev eth0")
    guest.console(f"arping -U -c 3 -I eth0 -s {FOUR} {FOUR}", check=False)


def give_up(guest: Guest) -> None:
    """No longer be the master."""
    guest.console(f"ip address del {FOUR}/32 dev eth0; ip -6 address del {SIX}/64 dev eth0")


def test_two_guests_take_over(routed: World) -> None:
    """Whoever announces the address has it; a guest that does not name it can't."""
    outside = routed.cloud.outside
    one = routed.boot(routed.hv1, "one", interface_xml(), metadata=METADATA)
    two = routed.boot(routed.hv2, "two", interface_xml(), metadata=METADATA)
    routed.ovnhook("floating-ip", "create", FLOATING, FOUR)
    with (
        box(routed, routed.hv1, "near", "--subnet", "shared") as near,
        box(routed, routed.hv2, "far", "--subnet", "beside") as far,
    ):

        def reached() -> None:
            far.reach(FOUR)
            far.reach(SIX)
            near.reach(FOUR)
            ping = ["busybox", "ping", "-c", "1", "-w", "2", FLOATING]
            routed.wait_for(lambda: outside.run(ping, check=False).returncode == 0, "the floating IP to answer")

        for guest in (one, two):
            guest.wait_address()
            guest.console("ip -6 route add default via fd00:70::1 dev eth0 onlink", check=False)
        assert not far.answers(FOUR)
        take_over(one)
        reached()
        give_up(one)
        take_over(two)
        reached()
        near.ip("address", "add", f"{FOUR}/32", "dev", near.name)
        claim = ["busybox", "arping", "-U", "-c", "3", "-I", near.name, "-s", FOUR, FOUR]
        routed.hv1.run(["ip", "netns", "exec", near.name, *claim], check=False)
        near.ip("address", "del", f"{FOUR}/32", "dev", near.name)
        reached()
        migrate(routed, "two", routed.hv2, routed.hv1)
        settled(routed, "two", routed.hv1)
        reached()
        routed.destroy(routed.hv1, "two")
        assert not far.answers(FOUR)
        take_over(one)
        reached()
        assert routed.hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"
