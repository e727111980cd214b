"""Two hosts on one wire, in one cloud. The cases follow one another on the same machines."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.machines import installation
from tests.machines.installation import CONTROL, HYPERVISOR
from tests.machines.nested_guest import NestedGuest
from tests.machines.virtual_machine import VirtualMachine, side_by_side
from tests.machines.wire import INTERNET
from tests.packages.machine import packages

Pair = tuple[VirtualMachine, VirtualMachine]


@pytest.fixture(scope="module")
def hosts(machines: Callable[..., list[VirtualMachine]]) -> Pair:
    """A control host and a hypervisor that has joined it; both run guests, and either can be their gateway."""
    first, second = machines("hv1", "hv2")
    side_by_side(
        lambda: installation.install(first, packages(), [CONTROL, HYPERVISOR]),
        lambda: installation.install(second, packages(), [HYPERVISOR]),
    )
    installation.init(first, "ovnhook node init --control")
    for machine in (first, second):
        token = first.run(f"ovnhook node token {machine.name}").strip()
        machine.write(f"{token}\n", "/root/token")
        installation.init(machine, "ovnhook node join --gateway /root/token")
    return first, second


@pytest.fixture(scope="module")
def guests(hosts: Pair) -> tuple[NestedGuest, NestedGuest]:
    """A guest on each host."""
    made = NestedGuest("web1", hosts[0]), NestedGuest("web2", hosts[1])
    for guest in made:
        guest.define()
    side_by_side(*(guest.start for guest in made))
    return made


def test_geneve(hosts: Pair, guests: tuple[NestedGuest, NestedGuest]) -> None:
    """Guests on two hosts reach each other by ping and TCP, through Geneve tunnels of Debian's kernel."""
    one, two = guests
    one.reaches(two.address())
    two.reaches(one.address())
    two.run("(while :; do nc -l -p 5000 -e head -c 1000000 /dev/zero; done) >/dev/null 2>&1 &")
    one.machine.wait_for(
        lambda: "1000000" in one.run(f"nc {two.address()} 5000 </dev/null | wc -c"), "a megabyte by TCP"
    )
    for host in hosts:
        assert "genev_sys_6081" in host.run("ovs-dpctl show")
        assert installation.denied(host) == []


def test_migration(hosts: Pair, guests: tuple[NestedGuest, NestedGuest], record_property: Callable[..., None]) -> None:
    """A guest migrates over ssh to the other host; it keeps its address and its TCP connection."""
    source, destination = hosts
    one, two = guests
    with_key(source)
    address = one.address()
    two.run(f"ping {address} >/run/pings 2>&1 &")
    host_key = "ssh -o StrictHostKeyChecking=accept-new -n hv2 true"
    source.run(f"{host_key}; virsh migrate --live --persistent --undefinesource web1 qemu+ssh://hv2/system")
    one.machine = destination
    one.reaches(two.address())
    said = two.run("cat /run/pings; killall ping")
    numbers = [int(number) for number in re.findall(r"seq=(\d+)", said)]
    record_property("seen", f"{numbers[-1] + 1 - len(set(numbers))} of {numbers[-1] + 1} pings of a second were lost")
    assert "hv2" in source.run("ovnhook port list --domain web1")
    for host in hosts:
        assert installation.denied(host) == []
    installation.settle(source)


def test_loss_of_a_host(hosts: Pair, guests: tuple[NestedGuest, NestedGuest]) -> None:
    """The other host's power is cut: its domain starts here with its address, and reaches the Internet.

    The other one comes back without it.
    """
    here, lost = hosts
    two = guests[1]
    address = two.address()
    xml = lost.run("virsh dumpxml --inactive web2")
    lost.pull_the_plug()
    here.write(xml, "/root/web2.xml")
    here.wait_for(lambda: not installation.is_well(here), "status to name the lost host")
    assert "hv2" in here.run("ovnhook status", check=False)
    here.run("virsh define /root/web2.xml")
    two.machine = here
    here.wait_for(lambda: "started" in here.run("virsh start web2", check=False), "the domain to start")
    here.wait_for(lambda: two.address() == address, "the domain to have its address")
    two.reaches(INTERNET)
    lost.switch_on()
    lost.connect()
    installation.settle(here)
    assert here.run("ovnhook port list --domain web2").split()[-2:] == ["hv1", "yes"]


def with_key(machine: VirtualMachine) -> None:
    """Let the machine log in to others as root."""
    machine.put(machine.key, ".ssh/id_ed25519")
    machine.run("chmod 600 .ssh/id_ed25519")
