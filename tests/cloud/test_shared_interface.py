"""A gateway host whose only interface has its own addresses: routers share it by a macvlan interface."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.domain import interface_xml
from lab.fabric import EXTERNAL, NIC
from ovnhook.hostnetwork.sharedinterface import DEVICE
from tests.cloud.external import FLOATING, OUTSIDE, set_external_gateway
from tests.cloud.world import World

UNIT = Path(__file__).parents[2] / "packaging/debian/ovnhook-hypervisor.ovnhook-macvlan@.service"
OWN = "203.0.113.5"
INTERFACE = NIC[EXTERNAL]


@pytest.fixture
def shared(world: World) -> Iterator[World]:
    """The gateway host has an address on its only external interface, which the router shares."""
    control = world.control
    control.run(["ovs-vsctl", "del-port", "br-ex", INTERFACE])
    control.run(["ip", "address", "add", f"{OWN}/24", "dev", INTERFACE])
    for command in re.findall(r"^ExecStart=-?(.*)$", UNIT.read_text(), re.MULTILINE):
        control.run(command.replace("%I", INTERFACE).split())
    control.run(["ovs-vsctl", "add-port", "br-ex", DEVICE])
    set_external_gateway(world)
    yield world
    world.remove_domains()
    world.ovnhook("router", "set", "gateway", "--no-external")
    control.run(["ovs-vsctl", "del-port", "br-ex", DEVICE])
    control.run(["ip", "link", "delete", DEVICE])
    control.run(["ip", "address", "del", f"{OWN}/24", "dev", INTERFACE])
    control.run(["ovs-vsctl", "add-port", "br-ex", INTERFACE])


def state(world: World) -> str:
    """Addresses and routes of the interface."""
    show = (["address", "show", "dev", INTERFACE], ["route", "show"], ["-6", "route", "show", "dev", INTERFACE])
    return "".join(world.control.run(["ip", *words]).stdout for words in show)


def test_router_and_host_share_an_interface(shared: World) -> None:
    """Guests reach the outside by it, floating IPs are reached; the host keeps its addresses and routes."""
    before = state(shared)
    control, outside = shared.control, shared.cloud.outside
    guest = shared.boot(shared.hv1, "guest", interface_xml())
    guest.wait_address()
    guest.reach(OUTSIDE)
    shared.ovnhook("floating-ip", "create", FLOATING, "guest")
    for host, address in ((outside, FLOATING), (outside, OWN), (control, OUTSIDE)):
        ping = ["busybox", "ping", "-c", "1", "-w", "5", address]
        shared.wait_for(lambda: host.run(ping, check=False).returncode == 0, f"an answer of {address}")  # noqa: B023
    assert state(shared) == before
    # The host does not answer ARP requests for its address at the router's MAC address.
    (own,) = json.loads(control.run(["ip", "-json", "link", "show", "dev", INTERFACE]).stdout)
    neighbour = outside.run(["ip", "neigh", "show", OWN]).stdout
    assert own["address"] in neighbour
    assert not json.loads(control.run(["ip", "-json", "address", "show", "dev", DEVICE]).stdout)[0]["addr_info"]


def test_a_next_hop_that_nobody_has_used(shared: World) -> None:
    """The agent of the active gateway asks for it: OVN knows its MAC address before a guest sends anything."""
    hop = "203.0.113.250"
    shared.cloud.outside.run(["ip", "address", "add", f"{hop}/24", "dev", INTERFACE])
    try:
        find = ["ovn-sbctl", "--bare", "--columns=mac", "find", "MAC_Binding", f"ip={hop}"]

        def is_known() -> bool:
            return bool(shared.control.run(find).stdout.strip())

        assert not is_known()
        shared.ovnhook("router", "set", "gateway", "--next-hop", hop)
        shared.wait_for(is_known, "the next hop's MAC address")
    finally:
        shared.cloud.outside.run(["ip", "address", "del", f"{hop}/24", "dev", INTERFACE])


def test_the_mac_address_of_the_router(shared: World) -> None:
    """The agent gives it to the interface, also after somebody has changed it; another router is reported."""

    def mac() -> str:
        (link,) = json.loads(shared.control.run(["ip", "-json", "link", "show", "dev", DEVICE]).stdout)
        return str(link["address"])

    port = ["Logical_Router_Port", "external:gateway", "mac"]
    of_router = shared.control.run(["ovn-nbctl", "get", *port]).stdout.strip().strip('"')
    shared.wait_for(lambda: mac() == of_router, "the router's MAC address", mac)
    shared.control.run(["ip", "link", "set", "dev", DEVICE, "address", "02:00:00:00:00:99"])
    shared.wait_for(lambda: mac() == of_router, "the router's MAC address again", mac)
    way = ("--physical-network", "external", "--address", "203.0.113.11/24", "--next-hop", OUTSIDE)
    shared.ovnhook("router", "create", "other", *way)
    try:
        said = "router other has no connection by ovnhook-ex, which has the MAC address of router gateway"
        shared.wait_for(lambda: said in shared.control.run(["ovnhook", "status"], check=False).stdout, "the problem")
    finally:
        shared.ovnhook("router", "delete", "other")
