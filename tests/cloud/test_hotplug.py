"""Interfaces that are plugged in and out while the guest runs, and metadata that changes under it."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

from lab import LabHost
from lab.domain import interface_xml
from tests.cloud.interfaces import MACS, NETWORK, address, device
from tests.cloud.world import World

KEY = "urn:ovnhook:domain:1"
ETHERNET = f"<interface type='ethernet'><mac address='{MACS[3]}'/><model type='virtio'/></interface>"


def describe(host: LabHost, name: str, metadata: str, *options: str) -> None:
    """Give a domain other metadata."""
    xml = f"<domain>{metadata}</domain>"
    host.run(["virsh", "metadata", name, KEY, "--key", "ovn", "--set", xml, *options])


def said(world: World, host: LabHost, *words: str) -> Callable[[], bool]:
    """Whether a line of the agent's log has all these words."""
    log = host.daemon("agent").log
    begin = len(log.read_text())
    return lambda: any(all(word in line for word in words) for line in log.read_text()[begin:].splitlines())


def test_every_kind_is_plugged_in_and_out(world: World) -> None:
    """It has its network within a second; out again nothing is left but the lease of what is defined."""
    hv1 = world.hv1
    hv1.run(["virsh", "net-define", "/dev/stdin"], input=NETWORK)
    hv1.run(["virsh", "net-start", "net1"])
    guest = world.boot(hv1, "plugs", interface_xml(MACS[0]), spare_slots=4)
    guest.wait_address(MACS[0])
    describe(hv1, "plugs", f"<interface mac='{MACS[3]}' subnet='green' hostname='third'/>", "--live", "--config")
    kinds = {
        MACS[1]: interface_xml(MACS[1]),
        MACS[2]: interface_xml(MACS[2], "net1"),
        MACS[3]: ETHERNET,
    }
    seconds = []
    for mac, xml in kinds.items():
        began = time.monotonic()
        device(hv1, "attach-device", "plugs", xml, "--live", "--config")
        world.wait_for(lambda: mac in world.leases("plugs"), "the lease")  # noqa: B023
        seconds.append(time.monotonic() - began)
        assert address(world, guest, mac) == world.leases("plugs")[mac]
    print(f"seconds until each had its port: {seconds}")
    ports = {port["external_ids"]["ovnhook:mac"]: port["name"] for port in world.ports("plugs")}
    assert ports == {mac: tap["iface-id"] for mac, tap in world.taps(hv1).items()}
    assert ports.keys() == {*MACS[:4]}
    leases = world.leases("plugs")
    assert leases[MACS[3]].startswith("10.20.0.")

    for mac, xml in kinds.items():
        device(hv1, "detach-device", "plugs", xml, "--live")
        world.wait_for(lambda: mac not in world.taps(hv1), "the tap to be gone")  # noqa: B023
        world.wait_for(
            lambda: mac not in {one["external_ids"]["ovnhook:mac"] for one in world.ports("plugs")},  # noqa: B023
            "the port to be gone",
        )
    assert world.leases("plugs") == leases
    device(hv1, "attach-device", "plugs", kinds[MACS[1]], "--live")
    assert address(world, guest, MACS[1]) == leases[MACS[1]]

    for mac in MACS[2:4]:
        device(hv1, "detach-device", "plugs", kinds[mac], "--config")  # of which libvirt tells nobody
    hv1.run(["virsh", "detach-interface", "plugs", "bridge", "--mac", MACS[1], "--live", "--config"])
    world.wait_for(lambda: [*world.leases("plugs")] == [MACS[0]], "their leases to be gone", world.leases)
    assert [*world.taps(hv1)] == [MACS[0]]


def test_what_cannot_be_attached_is_told_and_tried_again(world: World) -> None:
    """The device is there without network until what is wrong is put right; another one is not kept from its own."""
    hv1 = world.hv1
    world.boot(world.hv2, "first", interface_xml(), metadata="<ovn:interface address='10.10.0.77'/>", dhcp="none")
    world.boot(hv1, "wants", interface_xml(MACS[0]), dhcp="none", spare_slots=4)
    describe(hv1, "wants", f"<interface mac='{MACS[1]}' address='10.10.0.77'/>", "--live")
    told = said(world, hv1, "domain wants: interface " + MACS[1], "10.10.0.77", "is leased to domain first")
    device(hv1, "attach-device", "wants", interface_xml(MACS[1]), "--live")
    world.wait_for(told, "the agent to say why")
    device(hv1, "attach-device", "wants", interface_xml(MACS[2]), "--live")
    world.wait_for(lambda: MACS[2] in world.leases("wants"), "the other one to be attached", world.leases)
    assert MACS[1] not in world.leases("wants")
    world.destroy(world.hv2, "first")
    world.hv2.run(["virsh", "undefine", "first"])
    world.wait_for(lambda: not world.leases("first"), "the address to be free", world.leases)
    world.wait_for(lambda: world.leases("wants").get(MACS[1]) == "10.10.0.77", "the agent to try again")

    describe(hv1, "wants", f"<interface mac='{MACS[3]}' subnet='nowhere'/>", "--live")
    told = said(world, hv1, f"interface {MACS[3]}", "there is no subnet 'nowhere'", "ovnhook subnet list")
    device(hv1, "attach-device", "wants", ETHERNET, "--live")
    world.wait_for(told, "the agent to say why")


def test_metadata_under_a_running_guest(world: World) -> None:
    """A host name is taken at once; a subnet or an address waits for the next start, and the log says so."""
    hv1 = world.hv1
    world.define(hv1, "renames", interface_xml(MACS[0]), metadata="<ovn:interface hostname='old'/>", dhcp="none")
    world.start(hv1, "renames")
    before = world.ports("renames"), world.leases("renames")
    told = said(world, hv1, MACS[0], "subnet 'green', address 10.20.0.9", "next start", "on subnet default")
    new = "<interface hostname='new' subnet='green' address='10.20.0.9'/>"
    describe(hv1, "renames", new, "--live", "--config")
    world.wait_for(told, "the agent to say what has to wait")
    assert (world.ports("renames"), world.leases("renames")) == before
    (lease,) = world._ours("DNS", "lease", "renames")
    assert lease["external_ids"]["ovnhook:hostname"] == "new"
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"
    world.destroy(hv1, "renames")
    world.start(hv1, "renames")
    assert world.leases("renames") == {MACS[0]: "10.20.0.9"}


def test_an_interfaceid_that_differs_in_the_definition(world: World) -> None:
    """As libvirt makes it, if none is given: the lease is the interface's, whichever port it has."""
    hv1 = world.hv1
    world.boot(hv1, "differs", interface_xml(MACS[0], interface_id=str(uuid4())), dhcp="none")
    device(hv1, "attach-device", "differs", interface_xml(MACS[1]), "--live", "--config")
    world.wait_for(lambda: len(world.ports("differs")) == 2, "the port")
    leases = world.leases("differs")
    names = {port["name"] for port in world.ports("differs")}
    world.destroy(hv1, "differs")
    world.start(hv1, "differs")
    assert world.leases("differs") == leases
    assert {port["name"] for port in world.ports("differs")} != names
    assert {tap["iface-id"] for tap in world.taps(hv1).values()} == {port["name"] for port in world.ports("differs")}
