"""Two hosts on one wire, each a cloud of its own. One has packages of an earlier commit, and is upgraded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machines import installation
from tests.machines.earlier_packages import earlier_packages
from tests.machines.nested_guest import NestedGuest
from tests.machines.virtual_machine import VirtualMachine, side_by_side
from tests.packages.machine import newer, packages

INIT = "ovnhook node init --all-in-one"


@pytest.fixture(scope="module")
def guests(machines: Callable[..., list[VirtualMachine]]) -> tuple[NestedGuest, NestedGuest]:
    """A guest of the earlier packages, and one of those of this checkout, in two clouds."""
    earlier, current = machines("hv1", "hv2")
    side_by_side(
        lambda: installation.install(earlier, earlier_packages()), lambda: installation.install(current, packages())
    )
    made = NestedGuest("web1", earlier), NestedGuest("web1", current)
    for guest in made:
        installation.init(guest.machine, INIT)
        guest.define()
    side_by_side(*(guest.start for guest in made))
    return made


def test_upgrade(guests: tuple[NestedGuest, NestedGuest], tmp_path: Path, record_property: Callable[..., None]) -> None:
    """The packages of the earlier commit are upgraded while a guest runs: it loses no ping, and keeps its address."""
    guest, host = guests[0], guests[0].machine
    before, pid = guest.address(), host.run("pidof qemu-system-x86_64")
    guest.run("ping 10.128.0.1 >/run/pings 2>&1 &")
    installation.install(host, newer(packages(), tmp_path))
    host.run("virsh net-undefine default")  # libvirt's, which has the name of the subnet: docs/how-to/upgrade.md
    installation.settle(host)
    installation.init(host, INIT)
    installation.settle(host)
    numbers = [int(number) for number in re.findall(r"seq=(\d+)", guest.run("killall ping; cat /run/pings"))]
    record_property("seen", f"{numbers[-1] + 1 - len(set(numbers))} of {numbers[-1] + 1} pings of a second were lost")
    assert sorted(set(numbers)) == list(range(numbers[-1] + 1))
    assert host.run("pidof qemu-system-x86_64") == pid
    assert guest.address() == before
    assert "+next" in host.run("dpkg-query -W ovnhook-hypervisor")
    assert installation.denied(host) == []


def test_two_clouds(guests: tuple[NestedGuest, NestedGuest]) -> None:
    """Two clouds with the same subnet share a wire: guests have the same gateway, and don't meet."""
    for guest in guests:
        guest.reaches("10.128.0.1")
        assert "web1" in guest.machine.run("ovnhook lease list")
        installation.settle(guest.machine)
    one, two = (guest.machine.run("ovn-sbctl --bare --columns=hostname list Chassis").split() for guest in guests)
    assert (len(one), len(two)) == (1, 1)
    assert one != two
