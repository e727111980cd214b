"""Three control services, of which one or all end at any moment of a start."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import LabCloud, LabHost
from lab.domain import interface_xml
from lab.waiting import HANG
from tests.cloud.settings import REFUSING, SHORT, changed_settings
from tests.cloud.world import World
from tests.faults.hook_barrier import AFTER, BEFORE, HookBarrier
from tests.faults.invariants import differences
from tests.faults.observed import observe

CONTROLS = ("control", "hv1", "hv2")
NAME = "starts"
MID_REQUEST = tuple(0.04 * number for number in range(1, 10, 2))
"""Seconds after virsh has begun: a request takes some hundredths of one."""

BARRIERS = {"before prepare": BEFORE, "after prepare": AFTER}
"""Hooks that hold libvirt: the domain's port is to be created, or its tap to be bound."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A lab with three control services, and a hypervisor without one, on which a domain is defined."""
    with LabCloud(f"c{os.getpid()}", hypervisors=3, controls=CONTROLS) as cloud:
        made = World(cloud)
        made.set_long_deadline()
        made.ovnhook("subnet", "create", "default", "10.10.0.0/24", "--default")
        made.define(cloud.host("hv3"), NAME, interface_xml(), dhcp="none")
        yield made


@pytest.fixture
def hypervisor(world: World, request: pytest.FixtureRequest) -> Iterator[LabHost]:
    """The hypervisor; afterwards all control services run, and the domain does not."""
    hv3 = world.cloud.host("hv3")
    failed = request.session.testsfailed
    yield hv3
    if request.session.testsfailed > failed:
        print(world.cloud.logs())
    world.make_whole()
    hv3.run(["virsh", "destroy", NAME], check=False)
    healed(world)


@pytest.mark.parametrize("killed", [*([name] for name in CONTROLS), [*CONTROLS]], ids=[*CONTROLS, "all"])
def test_killed_at_a_step(world: World, hypervisor: LabHost, killed: list[str]) -> None:
    """Another one answers, or the same one after systemd has started it: the domain starts with its network."""
    for hook in BARRIERS.values():
        barrier = HookBarrier(hypervisor, hook, NAME, "prepare", HANG)
        with changed_settings(hypervisor, more=REFUSING), ThreadPoolExecutor(1) as pool:
            try:
                start = pool.submit(hypervisor.run, ["virsh", "start", "--paused", NAME])
                barrier.wait_reached(HANG)
                each(world, killed, "kill")
                barrier.open()
                if killed == [*CONTROLS]:
                    each(world, killed, "start")
                start.result()
            finally:
                barrier.remove()
        healed(world)
        assert len(world.ports(NAME)) == 1
        each(world, killed, "start")
        hypervisor.run(["virsh", "destroy", NAME])


@pytest.mark.parametrize("killed", [*([name] for name in CONTROLS), [*CONTROLS]], ids=[*CONTROLS, "all"])
def test_killed_in_mid_request(world: World, hypervisor: LabHost, killed: list[str]) -> None:
    """Again and again, at other moments."""
    with changed_settings(hypervisor, more=REFUSING):
        for seconds in MID_REQUEST:
            timer = threading.Timer(seconds, crash, (world, killed))
            timer.start()
            hypervisor.run(["virsh", "start", "--paused", NAME])
            timer.join()
            assert len(world.ports(NAME)) == 1
            hypervisor.run(["virsh", "destroy", NAME])
            assert not world.ports(NAME)


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_all_are_away(world: World, hypervisor: LabHost, fault: str) -> None:
    """A domain starts without its network, which it gets once one is back, or its start is refused."""
    with changed_settings(hypervisor, deadline=SHORT, more=REFUSING):
        each(world, CONTROLS, fault)
        done = hypervisor.run(["virsh", "start", "--paused", NAME], check=False)
        assert done.returncode != 0
        assert "control service" in done.stderr
        assert f"domain {NAME}" in done.stderr
    with changed_settings(hypervisor, deadline=SHORT):
        hypervisor.run(["virsh", "start", "--paused", NAME])
        assert not world.ports(NAME)
        hypervisor.run(["virsh", "destroy", NAME])
        hypervisor.run(["virsh", "start", "--paused", NAME])
    each(world, ["hv2"], "start" if fault == "kill" else "resume")
    healed(world)
    assert len(world.ports(NAME)) == 1


def crash(world: World, names: Iterable[str]) -> None:
    """Kill the control services of some hosts, and start them again."""
    each(world, names, "kill")
    each(world, names, "start")


def each(world: World, names: Iterable[str], verb: str) -> None:
    """Do something with the control services of some hosts."""
    for name in names:
        getattr(world.cloud.host(name).daemon("control"), verb)()


def healed(world: World) -> None:
    """Wait until every domain that runs has its network, and no other one has any."""
    wrong: list[str] = []

    def is_right() -> bool:
        wrong[:] = differences(observe(world.cloud))
        return not wrong

    world.wait_for(is_right, "all to be as expected", lambda: wrong)
