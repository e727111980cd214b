"""What goes between the hosts: Geneve, and VXLAN where that is chosen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from lab import LabCloud
from lab.domain import interface_xml
from lab.fabric import NIC, UNDERLAY
from tests.cloud.world import World

PORTS = {"geneve": 6081, "vxlan": 4789}
"""Of UDP: RFC 8926, section 3.3, and RFC 7348, section 5."""


@pytest.fixture(params=["geneve", "vxlan"])
def tunnelled(request: pytest.FixtureRequest, world: World) -> Iterator[World]:
    """A cloud with these tunnels: the tests' own, or another one beside it."""
    if request.param == "geneve":
        yield world
        world.remove_domains()
        return
    prefix = f"x{os.getpid()}"
    try:
        with LabCloud(prefix, encapsulation=request.param) as cloud:
            cloud.control.run(["ovnhook", "subnet", "create", "default", "10.10.0.0/24", "--default"])
            yield World(cloud)
    finally:
        LabCloud(prefix).down()


def test_guests_reach_each_other_through_tunnels(tunnelled: World) -> None:
    """With the subnet's network id on each packet; the largest that DHCP allows goes through."""
    encapsulation = tunnelled.cloud.plan.encapsulation
    one = tunnelled.boot(tunnelled.hv1, "one", interface_xml())
    two = tunnelled.boot(tunnelled.hv2, "two", interface_xml())
    address = two.wait_address()
    one.wait_address()
    subnet = json.loads(tunnelled.ovnhook("subnet", "show", "default", "--format", "json"))
    assert subnet["mtu"] == {"geneve": 1442, "vxlan": 1450}[encapsulation]
    capture = tunnelled.hv2.spawn(
        "tunnel", ["tcpdump", "-lnvi", NIC[UNDERLAY], "-c", "1", f"udp port {PORTS[encapsulation]}"]
    )
    try:
        tunnelled.wait_for(lambda: "listening on" in capture.log.read_text(), "tcpdump")
        one.reach(address, size=subnet["mtu"] - 28)
        seen = f"vni 0x{subnet['network_id']:x}" if encapsulation == "geneve" else f"vni {subnet['network_id']}"
        tunnelled.wait_for(lambda: seen in capture.log.read_text(), seen, capture.log.read_text)
    finally:
        capture.kill()
