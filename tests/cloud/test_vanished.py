"""A hypervisor that is gone from one moment to the next, and comes back when its domain runs elsewhere."""

from __future__ import annotations

from lab import Guest
from lab.domain import interface_xml
from lab.fabric import MANAGEMENT, UNDERLAY
from lab.pings import RATE, Pings
from tests.cloud.interfaces import MACS
from tests.cloud.migration import DIRTY, copying, settled, where
from tests.cloud.world import World


def start_anew(world: World, name: str) -> Guest:
    """Start a domain of hv1, which is gone, on hv2: it is refused until hv1 has not reported for some time."""
    hv2 = world.hv2
    done = hv2.run(["virsh", "start", name], check=False)
    assert done.returncode != 0
    assert f"domain {name} has interface " in done.stderr
    assert "on host 'hv1', not on hv2" in done.stderr
    world.wait_for(lambda: hv2.run(["virsh", "start", name], check=False).returncode == 0, "hv1 to count as dead")
    return Guest(hv2, name)


def test_a_host_that_vanishes_while_its_domain_leaves(world: World) -> None:
    """The destination of the migration starts the domain anew: it waits for nobody who is to hand the ports over."""
    hv1, hv2 = world.hv1, world.hv2
    guest = world.boot(hv1, "leaves", interface_xml(MACS[0]))
    guest.wait_address()
    xml = hv1.run(["virsh", "dumpxml", "--inactive", "leaves"]).stdout
    guest.console(DIRTY)
    moving = hv1.spawn("migrate", world.cloud.migrate_argv("leaves", "hv2", "--bandwidth", "1"))
    world.wait_for(lambda: ("hv1", "hv1,hv2", "hv1") in where(world, "leaves"), "both hosts")
    world.wait_for(lambda: copying(world, "leaves"), "the copy to begin")
    pid = hv1.read("/run/libvirt/qemu/leaves.pid").strip()
    for daemon in ("agent", "libvirtd"):
        hv1.daemon(daemon).kill()
    hv1.run(["kill", "-9", pid])
    moving.wait()
    world.wait_for(lambda: not hv2.run(["virsh", "list", "--name"]).stdout.strip(), "the copy to be given up")
    hv2.run(["virsh", "define", "/dev/stdin"], input=xml)
    start_anew(world, "leaves")
    settled(world, "leaves", hv2)
    world.make_whole()
    world.wait_for(lambda: not world.taps(hv1), "what is left of the tap to be gone", lambda: world.taps(hv1))
    settled(world, "leaves", hv2)


def test_a_host_that_vanishes_and_comes_back(world: World) -> None:
    """The domain's next host has port and lease; the old one changes nothing, and cleans up after itself."""
    hv1, hv2, fabric = world.hv1, world.hv2, world.cloud.fabric
    ethernet = f"<interface type='ethernet'><mac address='{MACS[1]}'/><model type='virtio'/></interface>"
    metadata = f"<ovn:interface mac='{MACS[1]}' subnet='green'/>"
    lost = world.boot(hv1, "lost", interface_xml(MACS[0]), ethernet, metadata=metadata)
    watches = world.boot(hv2, "watches", interface_xml())
    address = lost.wait_address(MACS[0])
    lost.wait_address(MACS[1])
    watches.wait_address()
    leases = world.leases("lost")
    xml = hv1.run(["virsh", "dumpxml", "--inactive", "lost"]).stdout
    ports = [port["_uuid"] for port in world.ports("lost")]
    pid = hv1.read("/run/libvirt/qemu/lost.pid").strip()
    for daemon in hv1.daemons.values():
        daemon.kill()
    hv1.run(["kill", "-9", pid])
    for network in (MANAGEMENT, UNDERLAY):
        fabric.cut(hv1, network)
    try:
        hv2.run(["virsh", "define", "/dev/stdin"], input=xml)
        guest = start_anew(world, "lost")
        settled(world, "lost", hv2)
        assert world.leases("lost") == leases
        assert [port["_uuid"] for port in world.ports("lost")] == ports
        assert guest.wait_address(MACS[0]) == address
        watches.reach(address)
    finally:
        for network in (MANAGEMENT, UNDERLAY):
            fabric.restore(hv1, network)
    pings = Pings(watches, address)
    before = world.rows()
    world.make_whole()
    world.wait_for(lambda: not world.taps(hv1), "what is left of the taps to be gone", lambda: world.taps(hv1))
    world.wait_for(
        lambda: "nothing differs" in hv1.run(["ovnhook", "check"], check=False).stdout, "nothing to differ there"
    )
    assert world.domain_state(hv1, "lost") == "shut off"
    missed, doubled = pings.settle()
    print(f"lost at {RATE} a second: {missed}")  # while the hosts learn of each other again: a matter of speed
    assert doubled == 0
    assert world.rows() == before
    hv1.run(["virsh", "undefine", "lost"])
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"
    assert world.rows() == before
    again = world.boot(hv1, "again", interface_xml())
    again.wait_address()
    assert again.ping(address)  # the first one may be lost while the hosts learn of each other again
