"""What is defined, and what becomes of it without a start: leases follow the definition, ports the guest."""

from __future__ import annotations

from uuid import uuid4

from lab import LabHost
from lab.domain import domain_xml, interface_xml
from tests.cloud.interfaces import MACS
from tests.cloud.world import World

HOOK = "/etc/libvirt/hooks/qemu.d/ovnhook"


def names_of(world: World, domain: str) -> set[str]:
    """The domain's name in its leases and in what it holds."""
    rows = [*world._ours("DNS", "lease", ""), *world._ours("DNS", "domain", "")]
    return {ids["ovnhook:domain-name"] for row in rows if (ids := row["external_ids"])["ovnhook:domain"] == domain}


def redefine(host: LabHost, name: str, *swaps: tuple[str, str]) -> None:
    """Define a domain as it is but for some words."""
    xml = host.run(["virsh", "dumpxml", "--inactive", name]).stdout
    for old, new in swaps:
        assert old in xml
        xml = xml.replace(old, new)
    host.run(["virsh", "define", "/dev/stdin"], input=xml)


def test_defined_anew_and_renamed(world: World) -> None:
    """Leases are of what is in the live or the stored definition, and bear the name that the domain has."""
    hv1 = world.hv1
    world.boot(hv1, "before", interface_xml(MACS[0]), interface_xml(MACS[1]), dhcp="none")
    leases = world.leases()
    redefine(hv1, "before", (MACS[1], MACS[2]))  # the guest has the old interface until its next start
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"
    assert world.leases() == leases
    world.destroy(hv1, "before")
    hv1.run(["ovnhook", "check", "--repair"], check=False)
    assert world.leases() == {MACS[0]: leases[MACS[0]]}

    uuid = hv1.run(["virsh", "domuuid", "before"]).stdout.strip()
    hv1.run(["virsh", "domrename", "before", "after"])
    world.wait_for(lambda: names_of(world, uuid) == {"after"}, "the new name", lambda: names_of(world, uuid))
    assert world.leases("after") == {MACS[0]: leases[MACS[0]]}

    world.start(hv1, "after")
    (port,) = (one["name"] for one in world.ports("after") if one["external_ids"]["ovnhook:mac"] == MACS[0])
    assert world.leases("after").keys() == {MACS[0], MACS[2]}
    world.destroy(hv1, "after")
    redefine(hv1, "after", (port, str(uuid4())))
    world.start(hv1, "after")
    assert world.leases("after")[MACS[0]] == leases[MACS[0]]
    assert port not in {one["name"] for one in world.ports("after")}
    world.destroy(hv1, "after")
    redefine(hv1, "after", (MACS[0], MACS[3]), (MACS[2], MACS[4]))
    world.wait_for(lambda: not world.leases(), "the leases of what is no more to be given back", world.leases)


def test_saved_restored_and_reverted(world: World) -> None:
    """A guest that comes out of an image has the address that it had when it went in."""
    hv1 = world.hv1
    disk = "/run/lab/disk.qcow2"
    hv1.run(["qemu-img", "create", "-f", "qcow2", disk, "256M"])
    storage = f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk>"
    saved = world.boot(hv1, "saved", interface_xml(MACS[0]), storage)
    watches = world.boot(world.hv2, "watches", interface_xml(MACS[1]))
    address = saved.wait_address()
    watches.wait_address()
    # One that only the live domain has is in the image, and not in what is defined.
    hv1.run(["virsh", "attach-device", "saved", "/dev/stdin", "--live"], input=interface_xml(MACS[2]))
    world.wait_for(lambda: MACS[2] in world.leases("saved"), "the lease")
    leases, before = world.leases("saved"), world.ports("saved")
    hv1.run(["virsh", "managedsave", "saved"])
    assert world.ports("saved") == []
    assert hv1.run(["ovnhook", "check"]).stdout == "nothing differs\n"
    assert world.leases("saved") == leases
    world.start(hv1, "saved")
    assert world.leases("saved") == leases
    watches.reach(address)
    assert [port["name"] for port in world.ports("saved")] == [port["name"] for port in before]

    hv1.run(["virsh", "snapshot-create-as", "saved", "first"])
    hv1.run(["virsh", "snapshot-revert", "saved", "first", "--force"])
    watches.reach(address)
    world.destroy(hv1, "saved")
    hv1.run(["virsh", "snapshot-revert", "saved", "first", "--force"])
    watches.reach(address)
    assert world.leases("saved")[MACS[0]] == address
    hv1.run(["virsh", "snapshot-delete", "saved", "first"])


def test_a_snapshot_deleted_of_a_domain_that_is_off(world: World) -> None:
    """libvirt starts a paused QEMU for it, and calls the hook as for a start: afterwards all is as it was."""
    hv1 = world.hv1
    world.boot(hv1, "off", interface_xml(MACS[0]), dhcp="none")
    world.destroy(hv1, "off")
    before = world.state()
    xml = hv1.run(["virsh", "dumpxml", "--inactive", "off"]).stdout.replace(
        "<domain type='qemu'", "<domain id='7' type='qemu'"
    )
    for call in (
        ["prepare", "begin"],
        ["start", "begin"],
        ["started", "begin"],
        ["stopped", "end"],
        ["release", "end"],
    ):
        hv1.run([HOOK, "off", *call, "-"], input=xml)
        assert len(world.ports()) == (call[0] != "release")
    assert world.state() == before


def test_autostart_and_transient(world: World) -> None:
    """libvirtd starts domains before anybody can ask it anything; one that is defined nowhere keeps nothing."""
    hv1 = world.hv1
    world.define(hv1, "auto", interface_xml(MACS[0]), dhcp="none")
    hv1.run(["virsh", "autostart", "auto"])
    hv1.run(["virsh", "create", "/dev/stdin"], input=domain_xml("passing", [interface_xml(MACS[1])], dhcp="none"))
    assert len(world.ports("passing")) == 1
    hv1.daemon("libvirtd").stop()
    hv1.run(["rm", "-f", "/run/libvirt/qemu/autostarted"])
    hv1.daemon("libvirtd").start()
    world.wait_for(lambda: len(world.ports("auto")) == 1, "the port")
    world.wait_for(lambda: world.taps(hv1).keys() == {*MACS[:2]}, "both taps")
    world.destroy(hv1, "passing")
    world.wait_for(lambda: not world.leases("passing"), "the lease to be gone", world.leases)


def test_a_clone_with_the_same_interfaceid(world: World) -> None:
    """Refused as long as the other one runs, with what to do; which it then can."""
    hv1 = world.hv1
    world.boot(hv1, "source", interface_xml(MACS[0]), dhcp="none")
    (port,) = world.ports("source")
    world.define(hv1, "clone", interface_xml(MACS[1], interface_id=port["name"]), dhcp="none")
    before = world.state()
    line = world.refused(hv1, "clone")
    assert f"domain clone: interface {MACS[1]}: interfaceid {port['name']} belongs to domain source on hv1" in line
    assert "virsh edit clone: remove the interfaceid from <virtualport>" in line
    assert world.state() == before
    redefine(hv1, "clone", (f"<parameters interfaceid='{port['name']}'/>", ""))
    world.start(hv1, "clone")
    assert len({one["name"] for one in world.ports()}) == 2
