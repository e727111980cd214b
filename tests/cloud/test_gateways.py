"""Several gateway hosts: traffic goes on when one dies, loses its link, comes back, or is moved away from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from lab import LabCloud
from lab.domain import interface_xml
from lab.fabric import EXTERNAL, UNDERLAY
from lab.pings import RATE, Pings
from tests.cloud.external import ADDRESS, OUTSIDE
from tests.cloud.world import World


@pytest.fixture
def gateways() -> Iterator[World]:
    """A cloud with two gateway hosts, and a guest on the host that is none."""
    with LabCloud(f"g{os.getpid()}", gateways=("control", "hv2")) as cloud:
        world = World(cloud)
        world.set_long_deadline()
        world.ovnhook("subnet", "create", "default", "10.10.0.0/24", "--default")
        world.ovnhook(
            *("router", "set", "gateway", "--physical-network", "external"),
            *("--address", f"{ADDRESS}/24", "--next-hop", OUTSIDE),
        )
        world.boot(world.hv1, "pings", interface_xml()).wait_address()
        yield world
        print(cloud.logs())


def active(world: World) -> str:
    """The host that is the active gateway."""
    return shown(world, "active gateway")


def preferred(world: World) -> str:
    """The gateway of the highest priority."""
    return shown(world, "gateways")


def shown(world: World, heading: str) -> str:
    """The first host that is shown of the default router under a heading."""
    found = re.search(rf"{heading} +([^,\s]+)", world.ovnhook("router", "show", "gateway"))
    assert found
    return found[1]


def lost(pings: Pings) -> int:
    """How many were lost since this was asked last, when two seconds have gone well again."""
    return pings.settle(2)[0]


def test_the_active_gateway_dies_and_comes_back(gateways: World) -> None:
    """A second is lost at most when it dies, next to nothing when it comes back, nothing more when it is moved."""
    first = active(gateways)
    (other,) = {"control", "hv2"} - {first}
    pings = Pings(gateways.cloud.guest("pings"), OUTSIDE)
    lost(pings)
    vswitchd = gateways.cloud.host(first).daemon("ovs-vswitchd")

    vswitchd.kill()
    gateways.wait_for(lambda: active(gateways) == other, "the other gateway")
    died = lost(pings)
    gateways.wait_for(lambda: preferred(gateways) == other, "it to be preferred")

    vswitchd.start()
    gateways.cloud.host(first).run(["ip", "link", "set", "br-phy", "up"])
    came_back = lost(pings)
    assert active(gateways) == other

    for host in (other, "hv1"):
        gateways.wait_for(lambda: _watched(gateways, host, first), "the others to see it again")  # noqa: B023
    gateways.ovnhook("router", "move", "gateway", first)
    assert active(gateways) == first
    moved = lost(pings)
    print(f"lost at {RATE} a second: {died} when it died, {came_back} when it came back, {moved} when it was moved")


def test_the_active_gateways_host_is_cut_off(gateways: World) -> None:
    """It hears nobody, so it lets go; a second is lost at most, and next to nothing when it is back."""
    first = active(gateways)
    (other,) = {"control", "hv2"} - {first}
    pings = Pings(gateways.cloud.guest("pings"), OUTSIDE)
    lost(pings)
    host = gateways.cloud.host(first)
    gateways.cloud.fabric.cut(host, UNDERLAY)
    gateways.wait_for(lambda: active(gateways) == other, "the other gateway")
    cut = lost(pings)
    gateways.wait_for(lambda: preferred(gateways) == other, "it to be preferred")
    gateways.cloud.fabric.restore(host, UNDERLAY)
    for peer in (other, "hv1"):
        gateways.wait_for(lambda: _watched(gateways, peer, first), "the others to see it again")  # noqa: B023
    mended = lost(pings)
    print(f"lost at {RATE} a second: {cut} when it was cut off, {mended} when it was back")
    assert active(gateways) == other


def test_the_active_gateway_loses_its_uplink(gateways: World) -> None:
    """A second is lost at most, and next to nothing when the link is back; when all links are down the leg stays."""
    first = active(gateways)
    (other,) = {"control", "hv2"} - {first}
    hosts = {name: gateways.cloud.host(name) for name in (first, other)}
    fabric = gateways.cloud.fabric
    for host, peer in ((other, first), ("hv1", first), ("hv1", other)):
        gateways.wait_for(lambda: _watched(gateways, host, peer), "them to see each other")  # noqa: B023
    pings = Pings(gateways.cloud.guest("pings"), OUTSIDE)
    lost(pings)

    fabric.cut(hosts[first], EXTERNAL)
    gateways.wait_for(lambda: active(gateways) == other, "the other gateway")
    went_down = lost(pings)
    refused = gateways.control.run(["ovnhook", "router", "move", "gateway", first], check=False).stderr
    assert f"error: host {first} has no link to the physical network external that is up" in refused

    fabric.restore(hosts[first], EXTERNAL)
    gateways.wait_for(lambda: _uplinks_down(gateways, first) == "", "its agent to tell that it is back")
    came_back = lost(pings)
    assert active(gateways) == other
    print(f"lost at {RATE} a second: {went_down} when the link went down, {came_back} when it came back")

    for gateway in hosts.values():
        fabric.cut(gateway, EXTERNAL)
    gateways.wait_for(lambda: all(_uplinks_down(gateways, name) for name in hosts), "both to be told")
    fabric.restore(hosts[first], EXTERNAL)
    gateways.wait_for(lambda: active(gateways) == first, "the one whose link is back")
    lost(pings)
    fabric.restore(hosts[other], EXTERNAL)


def _uplinks_down(world: World, host: str) -> str:
    """What a host's agent tells of its uplinks."""
    find = ["ovn-sbctl", "--bare", "--columns=external_ids", "find", "Chassis_Private", f"name={host}"]
    told = re.search(r"ovnhook:uplinks-down=(\S*)", world.control.run(find).stdout)
    assert told
    return told[1]


def _watched(world: World, one: str, other: str) -> bool:
    """Whether two hosts know of each other that they are alive."""
    return all(
        "state=up"
        in world.cloud.host(host)
        .run(
            [
                *("ovs-vsctl", "--bare", "--columns=bfd_status", "find", "Interface"),
                f"options:remote_ip={world.cloud.tunnel_address(peer)}",
            ]
        )
        .stdout.split()
        for host, peer in ((one, other), (other, one))
    )
