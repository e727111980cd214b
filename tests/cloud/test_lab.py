"""The lab itself: several side by side, and nothing left of one that is taken down, whatever state it was in."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab import LabCloud, LabError
from lab.domain import domain_xml, interface_xml
from lab.state import ROOT
from lab.waiting import HANG, until
from tests.cloud.world import World

LAB = Path(__file__).parents[2] / "lab" / "lab"


@pytest.fixture
def prefix(world: World) -> Iterator[str]:
    """A prefix that is this test's own; whatever it leaves under it is taken away."""
    name = f"l{os.getpid()}"
    yield name
    LabCloud(name).down()


def traces(prefix: str) -> list[str]:
    """What there is of a lab on the machine: namespaces, mounts, files."""
    namespaces = [path.name for path in Path("/run/netns").iterdir() if path.name.startswith(f"{prefix}-")]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{prefix}" in line]
    files = [str(path) for path in ROOT.glob(f"{prefix}*")]
    return [*namespaces, *mounts, *files]


def in_namespaces(inodes: set[int]) -> list[str]:
    """The processes that are in these network namespaces."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "ns" / "net").stat().st_ino in inodes:
                found.append(f"{process.name} {(process / 'cmdline').read_bytes()!r}")
    return found


def test_a_second_lab_beside_the_first(world: World, prefix: str) -> None:
    """It has its own subnets, guests and a hypervisor that came later; the first one does not notice."""
    before = world.state()
    with LabCloud(prefix, hypervisors=1) as cloud:
        inodes = {inode for host in cloud.hosts.values() for kind, inode in host.namespaces() if kind == "net"}
        assert traces(prefix)
        assert in_namespaces(inodes)
        cloud.control.run(["ovnhook", "subnet", "create", "default", "10.10.0.0/24", "--default"])
        added = cloud.add_hypervisor()
        for host in (cloud.host("hv1"), added):
            host.run(["virsh", "define", "/dev/stdin"], input=domain_xml(f"on-{host.name}", [interface_xml()]))
            host.run(["virsh", "start", f"on-{host.name}"])
        other = cloud.guest(f"on-{added.name}").wait_address()
        cloud.guest("on-hv1").reach(other)
        with pytest.raises(LabError, match="is up already"):
            LabCloud(prefix).up()
    assert not traces(prefix)
    assert not in_namespaces(inodes)
    assert world.state() == before


@pytest.mark.parametrize("there", ["control", "hv2"])
def test_a_lab_that_was_killed_while_it_came_up(prefix: str, there: str) -> None:
    """What there was of it goes like a whole one."""
    up = subprocess.Popen([str(LAB), "--prefix", prefix, "up"], start_new_session=True)

    def comes_up() -> bool:
        assert up.poll() is None
        return (ROOT / prefix / there).exists()

    until(comes_up, HANG, f"{there} of the lab", longest=0.01)
    os.killpg(up.pid, signal.SIGKILL)
    up.wait(HANG)
    subprocess.run([str(LAB), "--prefix", prefix, "down"], check=True, timeout=HANG)
    assert not traces(prefix)
