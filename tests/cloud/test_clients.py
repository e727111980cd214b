"""What is not libvirt's: attached over the API, plugged by hand, and left alone by everybody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.domain import interface_xml
from tests.cloud.world import World


@pytest.fixture
def box(world: World) -> Iterator[dict[str, Any]]:
    """A port for something on hv1 that libvirt does not know, plugged as the how-to says, with its address."""
    port = json.loads(world.ovnhook("port", "create", "box", "--host", "hv1", "--format", "json"))
    ids = (f"external_ids:iface-id={port['id']}", f"external_ids:attached-mac={port['mac']}")
    plug = ("add-port", "br-int", "box0", "--", "set", "Interface", "box0", "type=internal")
    world.hv1.run(["ovs-vsctl", *plug, f'mac="{port["mac"]}"', *ids])
    world.hv1.run(["ip", "link", "set", "box0", "mtu", str(port["mtu"]), "up"])
    world.hv1.run(["ip", "address", "add", f"{port['addresses'][0]}/24", "dev", "box0"])
    yield port
    world.hv1.run(["ovs-vsctl", "--if-exists", "del-port", "br-int", "box0"])
    world.remove_domains()
    world.ovnhook("port", "delete", port["id"])
    assert not world.left_over()


def test_it_is_on_the_network(world: World, box: dict[str, Any]) -> None:
    """Guests on another host reach it, also by name; it may send from its address only."""
    guest = world.boot(world.hv2, "guest", interface_xml())
    guest.wait_address()
    (address,) = box["addresses"]
    guest.reach(address)
    world.wait_for(lambda: address in guest.console("nslookup -type=a box", check=False), "its name")
    target = guest.wait_address()
    ping = ["ping", "-c", "1", "-W", "2", "-I", "box0", target]
    world.wait_for(lambda: world.hv1.run(ping, check=False).returncode == 0, "the guest to be reached")
    world.hv1.run(["ip", "address", "add", "10.10.0.253/24", "dev", "box0"])
    ping = ["ping", "-c", "2", "-W", "1", "-I", "10.10.0.253", target]
    assert world.hv1.run(ping, check=False).returncode != 0


def test_the_agent_leaves_it_alone(world: World, box: dict[str, Any]) -> None:
    """While it takes away what a domain of libvirt's has left over."""
    world.boot(world.hv1, "goes", interface_xml(), dhcp="none")
    agent = world.hv1.daemon("agent")
    agent.kill()
    world.destroy(world.hv1, "goes")
    world.hv1.run(["virsh", "undefine", "goes"])
    assert world.leases("goes")
    agent.start()
    world.wait_for(lambda: not world.leases("goes"), "the agent to look twice")
    assert [port["name"] for port in world.ports()] == [box["id"]]
    assert list(world.leases().values()) == box["addresses"]
