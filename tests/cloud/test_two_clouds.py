"""Two clouds on one external network: neither takes the other's packets, also when both come from earlier versions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from lab import Cloud, Host
from lab.domain import interface_xml
from lab.fabric import EXTERNAL
from lab.waiting import HANG
from ovnhook.base import uuids
from tests.cloud.test_routers import ADDRESS, OUTSIDE, lead_outside
from tests.cloud.world import World

OTHER = "203.0.113.11"
SENT = 50
RATE = 10  # pings a second


@pytest.fixture
def second(world: World) -> Iterator[Cloud]:
    """Another cloud, of one host, whose router is on the external network of the first one."""
    lead_outside(world)
    with Cloud(f"s{os.getpid()}", hypervisors=0) as cloud:
        cloud.fabric.cut(cloud.outside, EXTERNAL)
        world.cloud.fabric.join(cloud.fabric, EXTERNAL)
        leg = ("--physical-network", "external", "--address", f"{OTHER}/24", "--next-hop", OUTSIDE)
        cloud.control.run(["ovnhook", "router", "set", "gateway", *leg])
        world.wait_for(lambda: _answers(world.cloud.outside, OTHER, 1), "the second cloud's router")
        yield cloud
    world.make_whole()
    world.remove_domains()
    world.ovnhook("router", "set", "gateway", "--no-external")


def test_two_clouds_on_one_wire(world: World, second: Cloud) -> None:
    """Both routers answer every ping at once; the same after both were as an earlier version made them."""
    outside = world.cloud.outside
    controls = (world.control, second.control)
    macs = [_mac(control) for control in controls]
    assert macs[0] != macs[1]
    assert _both(world) == [SENT, SENT]

    guest = world.boot(world.hv1, "goes-on", interface_xml())
    guest.wait_address(timeout=120)
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
    guest.console(f"ping -i {1 / RATE} {OUTSIDE} >/run/pings 2>&1 & echo $! >/run/pings.pid")
    world.wait_for(lambda: _numbers(guest.console("cat /run/pings")), "answers")
    world.control.daemons["control"].start()
    world.wait_for(lambda: _mac(world.control) != legacy, "another MAC address")
    moved = _numbers(guest.console("cat /run/pings"))[-1]
    world.wait_for(lambda: _numbers(guest.console("cat /run/pings"))[-1] > moved + 3 * RATE, "answers")
    numbers = _numbers(guest.console("cat /run/pings"))
    lost = numbers[-1] - numbers[0] + 1 - len(set(numbers))
    print(f"lost at {RATE} a second when the router had another MAC address: {lost}")  # that is a matter of speed
    assert len({_mac(control) for control in controls}) == len(controls)
    assert _both(world) == [SENT, SENT]
    done = outside.run(["ip", "neigh", "show", ADDRESS]).stdout
    assert _mac(world.control) in done


def _answers(outside: Host, address: str, count: int) -> int:
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


def _mac(control: Host) -> str:
    """The MAC address of the router's external gateway port."""
    get = ["ovn-nbctl", "get", "Logical_Router_Port", "external:gateway", "mac"]
    return control.run(get).stdout.strip().strip('"')


def _make_legacy(control: Host, mac: str) -> None:
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


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"seq=(\d+)", text)]
