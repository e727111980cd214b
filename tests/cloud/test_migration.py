"""Live migration between two hypervisors, with a guest that answers pings all the while."""

from __future__ import annotations

import pytest

from lab import Guest
from lab.domain import domain_xml, interface_xml
from lab.hypervisor import HOOK
from lab.pings import RATE, Pings
from tests.cloud.external import FLOATING, OUTSIDE, set_external_gateway
from tests.cloud.interfaces import MACS, NETWORK
from tests.cloud.migration import DIRTY, copying, migrate, settled, where
from tests.cloud.world import World

IN_FLIGHT = 1  # pings that may be with both hosts when the guest stops at one; without activation it is five each time


def test_there_and_back(world: World) -> None:
    """The pings go on, and are not answered twice; one port and one lease throughout."""
    moves = world.boot(world.hv1, "moves", interface_xml())
    address = moves.wait_address()
    watches = world.boot(world.hv2, "watches", interface_xml())
    watches.wait_address()
    (port,) = world.ports("moves")
    leases = world.leases("moves")
    pings = Pings(watches, address)
    lost = []
    for source, target in [(world.hv1, world.hv2), (world.hv2, world.hv1)] * 2:
        migrate(world, "moves", source, target)
        lost.append(pings.settle())
        here = {(target.name, target.name, target.name)}
        world.wait_for(lambda: where(world, "moves") == here, "the port to be there alone")  # noqa: B023
        assert [one["_uuid"] for one in world.ports("moves")] == [port["_uuid"]]
        assert world.leases("moves") == leases
    # How many are lost is a matter of speed: bench/subjects/migration.py.
    print(f"lost and doubled at {RATE} a second: {lost}")
    assert max(doubled for _, doubled in lost) <= IN_FLIGHT


def test_every_kind_of_interface(world: World) -> None:
    """On the integration bridge, of a network, and one that libvirt plugs into nothing: each is at work there."""
    for host in (world.hv1, world.hv2):
        host.run(["virsh", "net-define", "/dev/stdin"], input=NETWORK)
        host.run(["virsh", "net-start", "net1"])
    interfaces = [
        interface_xml(MACS[0]),
        interface_xml(MACS[1], "net1"),
        f"<interface type='ethernet'><mac address='{MACS[2]}'/><model type='virtio'/></interface>",
    ]
    metadata = f"<ovn:interface mac='{MACS[2]}' subnet='green'/>"
    guest = world.boot(world.hv1, "kinds", *interfaces, metadata=metadata)
    addresses = [guest.wait_address(mac) for mac in MACS[:3]]
    for source, target in [(world.hv1, world.hv2), (world.hv2, world.hv1)]:
        migrate(world, "kinds", source, target)
        settled(world, "kinds", target)
        guest = Guest(target, "kinds")
        for device, gateway in (("eth0", "10.10.0.1"), ("eth1", "10.10.0.1"), ("eth2", "10.20.0.1")):
            assert " 0% packet loss" in guest.console(f"ping -c 3 -i 0.2 -I {device} {gateway}", check=False)
        assert world.leases("kinds") == dict(zip(MACS[:3], addresses, strict=True))
        names = {port["external_ids"]["ovnhook:mac"]: port["name"] for port in world.ports("kinds")}
        taps = {mac: ids["iface-id"] for mac, ids in world.taps(target).items() if mac in MACS[:3]}
        assert taps == names
        assert not {*MACS[:3]} & world.taps(source).keys()


@pytest.mark.parametrize("fault", ["cancelled", "destination killed"])
def test_a_migration_that_does_not_end_well(world: World, fault: str) -> None:
    """In mid-copy: the guest is where it was, with its network; nothing is left at the other host."""
    guest = world.boot(world.hv1, "stays", interface_xml())
    guest.wait_address()
    watches = world.boot(world.hv2, "watches", interface_xml())
    address = guest.wait_address()
    watches.wait_address()
    before = world.rows()
    pings = Pings(watches, address)
    guest.console(DIRTY)
    moving = world.hv1.spawn("migrate", world.cloud.migrate_argv("stays", "hv2", "--bandwidth", "1"))
    world.wait_for(lambda: ("hv1", "hv1,hv2", "hv1") in where(world, "stays"), "both hosts")
    world.wait_for(lambda: copying(world, "stays"), "the copy to begin")
    for host in (world.hv1, world.hv2):
        assert host.run(["ovnhook", "check"]).stdout == "nothing differs\n"
    if fault == "cancelled":
        world.hv1.run(["virsh", "domjobabort", "stays"])
    else:
        pid = world.hv2.read("/run/libvirt/qemu/stays.pid").strip()
        world.hv2.run(["kill", "-9", pid])
    moving.wait()
    settled(world, "stays", world.hv1)
    lost, doubled = pings.settle()
    print(f"lost at {RATE} a second: {lost}")  # while the flows of two hosts change: a matter of speed
    assert doubled <= IN_FLIGHT
    assert world.rows() == before
    assert [*world.taps(world.hv2)] == [world.mac(world.hv2, "watches")]
    assert world.domain_state(world.hv1, "stays") == "running"


def test_without_the_destinations_agent(world: World) -> None:
    """The hooks do the work themselves."""
    guest = world.boot(world.hv1, "moves", interface_xml())
    watches = world.boot(world.hv2, "watches", interface_xml())
    address = guest.wait_address()
    watches.wait_address()
    pings = Pings(watches, address)
    world.hv2.daemon("agent").kill()
    migrate(world, "moves", world.hv1, world.hv2)
    _, doubled = pings.settle()
    assert doubled <= IN_FLIGHT
    settled(world, "moves", world.hv2)


def test_without_the_sources_agent(world: World) -> None:
    """Nobody confirms it: it is refused, and the guest keeps its network. When the agent is back it is carried out."""
    guest = world.boot(world.hv1, "moves", interface_xml())
    watches = world.boot(world.hv2, "watches", interface_xml())
    address = guest.wait_address()
    watches.wait_address()
    world.hv1.daemon("agent").kill()
    done = migrate(world, "moves", world.hv1, world.hv2, check=False)
    assert done.returncode != 0
    assert "domain moves: host hv1 has not confirmed" in done.stderr
    assert "it stays where it is" in done.stderr
    watches.reach(address)
    settled(world, "moves", world.hv1)
    world.hv1.daemon("agent").start()
    migrate(world, "moves", world.hv1, world.hv2)
    settled(world, "moves", world.hv2)


def test_a_host_requests_what_is_not_on_its_way(world: World) -> None:
    """It gets nothing, whatever it says: libvirt does not migrate the domain."""
    world.boot(world.hv1, "stays", interface_xml(), dhcp="none")
    before = world.rows()
    xml = world.hv1.run(["virsh", "dumpxml", "stays"]).stdout
    done = world.hv2.run([HOOK, "stays", "migrate", "begin", "-"], input=xml, check=False)
    assert done.returncode != 0
    assert "host hv1 has not confirmed" in done.stderr
    assert world.rows() == before
    log = world.hv1.daemon("agent").log.read_text(encoding="utf-8")
    assert "domain stays: hv2 requests it, but libvirt is not migrating it" in log


def test_northbound_away(world: World) -> None:
    """Before: it is refused, and the guest keeps its network. In mid-copy: the guest moves, its ports follow later."""
    guest = world.boot(world.hv1, "moves", interface_xml())
    watches = world.boot(world.hv2, "watches", interface_xml())
    address = guest.wait_address()
    watches.wait_address()
    world.control.daemon("nb").stop()
    done = migrate(world, "moves", world.hv1, world.hv2, check=False)
    assert done.returncode != 0
    assert "domain moves: " in done.stderr
    assert "it stays where it is" in done.stderr
    watches.reach(address)
    world.control.daemon("nb").start()

    # In its first pass: in later ones QEMU's emulation may lose writes of the guest.
    moving = world.hv1.spawn("migrate", world.cloud.migrate_argv("moves", "hv2", "--bandwidth", "1"))
    world.wait_for(lambda: ("hv1", "hv1,hv2", "hv1") in where(world, "moves"), "both hosts")
    world.wait_for(lambda: copying(world, "moves"), "the copy to begin")
    world.control.daemon("nb").stop()
    assert world.domain_state(world.hv1, "moves") == "running"
    world.hv1.run(["virsh", "migrate-setspeed", "moves", "100"])
    moving.wait()
    assert world.domain_state(world.hv2, "moves") == "running"
    world.control.daemon("nb").start()
    settled(world, "moves", world.hv2)
    watches.reach(address)


def test_another_hook_refuses_it(world: World) -> None:
    """After ours has announced it; nobody is told, and the agent finds out."""
    guest = world.boot(world.hv1, "stays", interface_xml())
    guest.wait_address()
    before = world.rows()
    other = "/etc/libvirt/hooks/qemu.d/other"
    world.hv2.write(other, '#!/bin/sh\n[ "$2" != prepare ]\n', 0o755)
    try:
        assert migrate(world, "stays", world.hv1, world.hv2, check=False).returncode != 0
        world.wait_for(lambda: world.rows() == before, "the announcement to be taken back")
    finally:
        world.hv2.run(["rm", other])
    settled(world, "stays", world.hv1)


def test_an_offline_migration(world: World) -> None:
    """The leases go along, and stay when the source undefines the domain."""
    guest = world.boot(world.hv1, "asleep", interface_xml())
    address = guest.wait_address()
    world.destroy(world.hv1, "asleep")
    argv = ["virsh", "migrate", "--offline", "--persistent", "--undefinesource", "asleep"]
    world.hv1.run([*argv, "--desturi", world.cloud.libvirt_uri("hv2")])
    guest = world.start(world.hv2, "asleep")
    assert guest.wait_address() == address
    settled(world, "asleep", world.hv2)


def test_both_directions_at_once(world: World) -> None:
    """Two domains change places."""
    guests = {
        name: world.boot(host, name, interface_xml()) for name, host in (("left", world.hv1), ("right", world.hv2))
    }
    addresses = {name: guest.wait_address() for name, guest in guests.items()}
    moving = [
        world.hv1.spawn("migrate-left", world.cloud.migrate_argv("left", "hv2")),
        world.hv2.spawn("migrate-right", world.cloud.migrate_argv("right", "hv1")),
    ]
    for one in moving:
        one.wait()
    settled(world, "left", world.hv2)
    settled(world, "right", world.hv1)
    Guest(world.hv2, "left").reach(addresses["right"])


def test_a_transient_domain(world: World) -> None:
    """It is defined nowhere; where it runs it keeps its lease."""
    xml = world.cloud.folder / "transient.xml"
    xml.write_text(domain_xml("passing", [interface_xml()]))
    world.hv1.run(["virsh", "create", str(xml)])
    address = Guest(world.hv1, "passing").wait_address()
    migrate(world, "passing", world.hv1, world.hv2)
    settled(world, "passing", world.hv2)
    assert list(world.leases("passing").values()) == [address]
    world.destroy(world.hv2, "passing")
    world.wait_for(lambda: not world.leases(), "the lease to be gone", world.leases)


def test_every_kind_of_migration(world: World) -> None:
    """libvirt's job, which the source's agent looks for, is there whoever carries the data."""
    world.boot(world.hv1, "moves", interface_xml(), dhcp="none")
    kinds = (("--p2p",), ("--p2p", "--tunnelled"), ("--persistent", "--undefinesource"), ("--suspend",))
    hosts = [world.hv1, world.hv2]
    for kind in kinds:
        source, target = hosts
        argv = world.cloud.migrate_argv("moves", target.name, *kind)
        if "--tunnelled" in kind:  # through the connection to libvirt
            where_to = argv.index("--migrateuri")
            del argv[where_to : where_to + 2]
        source.run(argv)
        target.run(["virsh", "resume", "moves"], check=False)
        settled(world, "moves", target)
        hosts.reverse()


def test_post_copy(world: World) -> None:
    """The guest runs at the destination, with its port, while most of its memory is still at the source.

    It is switched over in the first pass: in later ones QEMU's emulation loses writes of the guest.
    """
    moves = world.boot(world.hv1, "moves", interface_xml())
    address = moves.wait_address()
    watches = world.boot(world.hv2, "watches", interface_xml())
    watches.wait_address()
    pings = Pings(watches, address)
    slowly = ("--postcopy", "--bandwidth", "1", "--postcopy-bandwidth", "1")
    moving = world.hv1.spawn("migrate", world.cloud.migrate_argv("moves", "hv2", *slowly))
    switch = ["virsh", "migrate-postcopy", "moves"]
    world.wait_for(lambda: world.hv1.run(switch, check=False).returncode == 0, "the copy to begin", moving.tail)
    world.wait_for(lambda: {chassis for _, _, chassis in where(world, "moves")} == {"hv2"}, "the port to be bound")
    assert world.hv1.run(["virsh", "domstate", "moves", "--reason"]).stdout.strip() == "paused (post-copy)"
    world.hv1.run(["virsh", "migrate-setspeed", "moves", "100", "--postcopy"])
    moving.wait()
    _, doubled = pings.settle()
    assert doubled <= IN_FLIGHT
    settled(world, "moves", world.hv2)


def test_a_floating_ip_follows(world: World) -> None:
    """The outside reaches the guest by it before and after, and the guest goes out with it."""
    set_external_gateway(world)
    guest = world.boot(world.hv1, "floats", interface_xml())
    guest.wait_address()
    world.ovnhook("floating-ip", "create", FLOATING, "floats")
    ping = ["busybox", "ping", "-c", "1", "-w", "2", FLOATING]
    outside = world.cloud.outside
    try:
        for source, target in ((world.hv1, world.hv2), (world.hv2, world.hv1)):
            world.wait_for(lambda: outside.run(ping, check=False).returncode == 0, "the floating IP")
            migrate(world, "floats", source, target)
            settled(world, "floats", target)
        world.wait_for(lambda: outside.run(ping, check=False).returncode == 0, "the floating IP")
        Guest(world.hv1, "floats").reach(OUTSIDE)
    finally:
        world.remove_domains()
        world.wait_for(lambda: not world.leases(), "the leases to be gone", world.leases)
        world.ovnhook("router", "set", "gateway", "--no-external", "--force")
