"""Two clouds on one external network: neither takes the other's packets, also when both come from earlier versions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from lab import LabCloud, LabHost
from lab.domain import interface_xml
from lab.fabric import EXTERNAL
from lab.pings import RATE, Pings
from lab.waiting import HANG
from ovnhook.base import uuids
from tests.cloud.external import ADDRESS, OUTSIDE, set_external_gateway
from tests.cloud.world import World

OTHER = "203.0.113.11"
SENT = 50


@pytest.fixture
def second(world: World) -> Iterator[LabCloud]:
    """Another cloud, of one host, whose router is on the external network of the first one."""
    set_external_gateway(world)
    with LabCloud(f"s{os.getpid()}", hypervisors=0) as cloud:
        cloud.fabric.cut(cloud.outside, EXTERNAL)
        world.cloud.fabric.join(cloud.fabric, EXTERNAL)
        external = ("--physical-network", "external", "--address", f"{OTHER}/24", "--next-hop", OUTSIDE)
        cloud.control.run(["ovnhook", "router", "set", "gateway", *external])
        world.wait_for(lambda: _answers(world.cloud.outside, OTHER, 1), "the second cloud's router")
        yield cloud
    world.make_whole()
    world.remove_domains()
    world.ovnhook("router", "set", "gateway", "--no-external")


def test_two_clouds_on_one_wire(world: World, second: LabCloud) -> None:
    """Both routers answer every ping at once; the same after both were as an earlier version made them."""
    outside = world.cloud.outside
    controls = (world.control, second.control)
    macs = [_mac(control) for control in controls]
    assert macs[0] != macs[1]
    assert _both(world) == [SENT, SENT]

    guest = world.boot(world.hv1, "goes-on", interface_xml())
    guest.wait_address()
    world.wait_for(lambda: guest.ping(OUTSIDE, count=1), "a ping to be answered")
    legacy = uuids.external_mac(None, "gateway")
    for control in controls:
        control.daemons["control"].stop()
        _make_legacy(control, legacy)
    assert [_mac(control) for control in controls] == [legacy, legacy]

    # The second cloud is moved over first: the guest's packets come back then.
    second.control.daemons["control"].start()
    world.wait_for(lambda: _mac(second.control) != legacy, "another MAC address")
    world.wait_for(lambda: _answers(outside, OTHER, 1), "the second cloud's router")
    outside.run(["ip", "neigh", "flush", "dev", "ext0"])
    world.wait_for(lambda: guest.ping(OUTSIDE, count=1), "a ping to be answered")
    pings = Pings(guest, OUTSIDE)
    world.control.daemons["control"].start()
    world.wait_for(lambda: _mac(world.control) != legacy, "another MAC address")
    lost, _ = pings.settle(3)
    print(f"lost at {RATE} a second when the router had another MAC address: {lost}")  # that is a matter of speed
    assert len({_mac(control) for control in controls}) == len(controls)
    assert _both(world) == [SENT, SENT]
    done = outside.run(["ip", "neigh", "show", ADDRESS]).stdout
    assert _mac(world.control) in done


def _answers(outside: LabHost, address: str, count: int) -> int:
    """How many of some pings an address answers."""
    done = outside.run(["ping", "-n", "-c", str(count), "-i", "0.1", "-W", "1", address], check=False, timeout=HANG)
    found = re.search(r"(\d+) received", done.stdout)
    return int(found[1]) if found else 0


def _both(world: World) -> list[int]:
    """How many of SENT pings each of the two routers answers, sent at the same time."""
    pings = [
        world.cloud.outside.spawn(f"ping-{address}", ["ping", "-n", "-c", str(SENT), "-i", "0.1", "-W", "2", address])
        for address in (ADDRESS, OTHER)
    ]
    found = []
    for ping in pings:
        world.wait_for(lambda: " received" in ping.log.read_text(), "the end of pings", ping.log.read_text)  # noqa: B023
        received = re.search(r"(\d+) received", ping.log.read_text())
        assert received
        found.append(int(received[1]))
    return found


def _mac(control: LabHost) -> str:
    """The MAC address of the router's external gateway port."""
    get = ["ovn-nbctl", "get", "Logical_Router_Port", "external:gateway", "mac"]
    return control.run(get).stdout.strip().strip('"')


def _make_legacy(control: LabHost, mac: str) -> None:
    """Let the rows be as versions without an id of the cloud wrote them."""
    peer = control.run(["ovn-nbctl", "--bare", "--columns=name", "find", "Logical_Switch_Port"]).stdout.split()
    (name,) = (one for one in peer if one.startswith("outside:gateway"))
    control.run(
        [
            *("ovn-nbctl", "--wait=hv", "clear", "DNS", str(uuids.REGISTRY), "records"),
            *("--", "remove", "Logical_Router", "gateway", "external_ids", '"ovnhook:mac"'),
            *("--", "set", "Logical_Router_Port", "external:gateway", f'mac="{mac}"'),
            *("--", "set", "Logical_Switch_Port", name, 'name="outside:gateway"'),
        ],
    )
