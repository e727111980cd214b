"""Subnets as networks of libvirt on every hypervisor, and libvirt's own tools with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Guest, LabHost
from lab.debian import Role, debian_image
from lab.domain import CMDLINE, CONSOLES
from lab.image import Image, image
from lab.waiting import HANG
from tests.cloud.interfaces import MACS
from tests.cloud.migration import migrate
from tests.cloud.world import CONFIG, World

RED = "red"
FOREIGN = f"<network><name>{RED}</name><bridge name='virbr9'/></network>"
COMPLETE = ("active", "yes", "yes")
LONG = 4 * HANG
"""Seconds for the boot of a guest with cloud-init, which starts a dozen Python programs."""


def network(host: LabHost, name: str = RED) -> tuple[str, ...]:
    """State, autostart and persistence of a network of libvirt's; nothing if there is none."""
    lines = host.run(["virsh", "net-list", "--all"]).stdout.splitlines()[2:]
    return next((tuple(rest) for found, *rest in map(str.split, filter(str.strip, lines)) if found == name), ())


def wait_for_network(world: World, host: LabHost, state: tuple[str, ...] = COMPLETE) -> None:
    """Wait until a host has the network in a state."""
    world.wait_for(lambda: network(host) == state, f"network {RED} on {host.name}", lambda: network(host))


def virt_install(host: LabHost, name: str, boots: Image, *options: str) -> Guest:
    """Make a guest on the network as a user does, who knows nothing of OVN."""
    socket = f"{CONSOLES}/{name}"
    words = f"{CMDLINE.format(dhcp='retry')} {boots.cmdline}"
    consoles = ["--serial", f"unix,mode=bind,path={socket}.sock", "--serial", f"unix,mode=bind,path={socket}.cmd"]
    host.run(
        [
            *("virt-install", "--name", name, "--memory", str(boots.memory), "--virt-type", "qemu", "--machine", "q35"),
            *("--network", f"network={RED},mac={MACS[0]},model=virtio", "--import", *options),
            *("--boot", f"kernel={boots.kernel},initrd={boots.initramfs},kernel_args={words}"),
            *("--osinfo", "detect=off,require=off", "--graphics", "none", "--noautoconsole"),
            *("--console", "none", *consoles),
        ]
    )
    return Guest(host, name)


@pytest.fixture
def red(world: World) -> Iterator[World]:
    """A cloud with the subnet red, and afterwards without its networks."""
    world.ovnhook("subnet", "create", RED, "10.30.0.0/24")
    yield world
    world.make_whole()
    world.remove_domains()
    world.wait_for(lambda: not world.left_over(), "nothing to be left over", world.left_over)
    world.ovnhook("subnet", "delete", RED)
    for host in (world.hv1, world.hv2):
        wait_for_network(world, host, ())


def test_networks_follow_subnets(red: World) -> None:
    """On every hypervisor, whatever a user does to them, and whatever is restarted."""
    for host in (red.hv1, red.hv2):
        wait_for_network(red, host)
    hv1 = red.hv1
    hv1.run(["virsh", "net-destroy", RED])
    wait_for_network(red, hv1)
    hv1.run(["virsh", "net-undefine", RED])
    wait_for_network(red, hv1)
    assert hv1.run(["sh", "-c", f"ls /etc/libvirt/qemu/networks/autostart/{RED}.xml"])
    hv1.run(["sh", "-c", f"virsh net-autostart {RED} --disable; virsh net-destroy {RED}; virsh net-undefine {RED}"])
    wait_for_network(red, hv1)
    xml = hv1.run(["virsh", "net-dumpxml", RED]).stdout
    edited = xml.replace("</network>", "<portgroup name='green'/></network>")
    hv1.run(["virsh", "net-define", "/dev/stdin"], input=edited)
    red.wait_for(
        lambda: hv1.run(["virsh", "net-dumpxml", "--inactive", RED]).stdout == xml, "what was edited to be restored"
    )
    hv1.daemon("agent").stop()
    hv1.run(["virsh", "net-destroy", RED])
    hv1.daemon("agent").start()
    wait_for_network(red, hv1)
    hv1.daemon("libvirtd").restart()
    assert network(hv1) == COMPLETE
    hv1.run(["virsh", "net-destroy", RED])  # followed over the new connection
    wait_for_network(red, hv1)


def test_switched_off_and_on(red: World) -> None:
    """A host without the networks has none; what a user has made of one stays."""
    hv1 = red.hv1
    wait_for_network(red, hv1)
    copy = hv1.run(["virsh", "net-dumpxml", RED]).stdout.replace(f"<name>{RED}<", "<name>own<")
    hv1.run(["virsh", "net-define", "/dev/stdin"], input=re.sub("<uuid>.*</uuid>", "", copy))
    before = hv1.read(CONFIG)
    hv1.write(CONFIG, f"{before}libvirt_networks = false\n")
    hv1.daemon("agent").restart()
    wait_for_network(red, hv1, ())
    assert network(hv1, "own")
    hv1.write(CONFIG, before)
    hv1.daemon("agent").restart()
    wait_for_network(red, hv1)


def test_a_foreign_network_of_the_name(world: World) -> None:
    """It is left alone and reported; when it is gone, the subnet's takes its place."""
    hv1, hv2 = world.hv1, world.hv2
    hv1.run(["virsh", "net-define", "/dev/stdin"], input=FOREIGN)
    world.ovnhook("subnet", "create", RED, "10.30.0.0/24")
    try:
        wait_for_network(world, hv2)
        said = f"host hv1: libvirt network '{RED}' is not subnet {RED}"

        def status() -> str:
            return world.control.run(["ovnhook", "status"], check=False).stdout

        world.wait_for(lambda: said in status(), "the report", status)
        assert network(hv1) == ("inactive", "no", "yes")
        hv1.run(["virsh", "net-undefine", RED])
        wait_for_network(world, hv1)
        world.wait_for(lambda: said not in status(), "the report to end", status)
    finally:
        world.ovnhook("subnet", "delete", RED)
    for host in (hv1, hv2):
        wait_for_network(world, host, ())


def test_tools_of_libvirt(red: World) -> None:
    """virt-install, virt-clone, domifaddr, net-dhcp-leases, and a migration: none of them knows of OVN."""
    hv1, hv2 = red.hv1, red.hv2
    for host in (hv1, hv2):
        wait_for_network(red, host)
    address = virt_install(hv1, "tool", image(), "--disk", "none").wait_address()
    assert red.leases("tool") == {MACS[0]: address}
    assert address.startswith("10.30.0.")

    def shown(host: LabHost) -> list[str]:
        """What each of libvirt's two lists has of the guest: the line with its MAC."""
        lists = (["virsh", "domifaddr", "tool"], ["virsh", "net-dhcp-leases", RED])
        lines = [line for words in lists for line in host.run(words).stdout.splitlines() if MACS[0] in line]
        return [line for line in lines if f"{address}/0" in line]

    red.wait_for(lambda: len(shown(hv1)) == 2, "libvirt to know the address", lambda: shown(hv1))
    assert "tool" in shown(hv1)[1]

    hv1.run(["virsh", "net-destroy", RED])  # harms no running domain
    wait_for_network(red, hv1)
    migrate(red, "tool", hv1, hv2, "--persistent", "--undefinesource")
    red.wait_for(lambda: len(shown(hv2)) == 2, "libvirt to know the address there", lambda: shown(hv2))
    red.wait_for(lambda: red.leases("tool") == {MACS[0]: address}, "the lease to be as it was")
    assert " 0% packet loss" in Guest(hv2, "tool").console("ping -c 3 -i 0.2 10.30.0.1", check=False)

    red.destroy(hv2, "tool")
    red.wait_for(lambda: not hv2.run(["virsh", "net-dhcp-leases", RED]).stdout.count(MACS[0]), "libvirt to forget it")
    hv2.run(["virt-clone", "--original", "tool", "--name", "twin", "--auto-clone"])
    red.start(hv2, "twin")
    (lease,) = red.leases("twin").values()
    assert lease.startswith("10.30.0.")
    assert lease != address


def test_cloud_init(red: World, tmp_path: Path) -> None:
    """``virt-install --cloud-init``: NoCloud's settings arrive, and cloud-init's own network configuration works."""
    hv1, boots = red.hv1, debian_image(Role.CLOUD_INIT)
    red.ovnhook("subnet", "set", RED, "--domain", "red.example")
    wait_for_network(red, hv1)
    settings = tmp_path / "user-data"
    settings.write_text("#cloud-config\nhostname: cloud1\nwrite_files: [{path: /run/written, content: seen}]\n")
    disk = f"path={boots.disk},format=raw,readonly=on,bus=virtio,shareable=on"
    guest = virt_install(hv1, "cloud1", boots, "--disk", disk, "--cloud-init", f"user-data={settings}")
    assert guest.console("cloud-init status --wait", LONG).strip(".\n") == "status: done"
    assert guest.console("hostname; cat /run/written") == "cloud1\nseen"
    address = red.leases("cloud1")[MACS[0]]
    assert f"inet {address}/24" in guest.console("ip address show dev $(basename /sys/class/net/e*)")
    assert address in guest.console("getent hosts cloud1.red.example")
