"""``ovnhook node drain``: a host's domains, on their way to others by its libvirt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from lab import Guest, LabCloud, LabHost, hypervisor
from lab.domain import domain_xml, interface_xml
from lab.waiting import HANG
from tests.cloud.migration import DIRTY, copying, settled
from tests.cloud.world import World

DISK = "<disk type='file'><source file='{path}'/><target dev='vda' bus='virtio'/></disk>"


def uri(world: World) -> str:
    """As ``--uri`` has it."""
    return world.cloud.libvirt_uri("hv2").replace(str(hypervisor.socket(world.hv2)), sockets(world))


def sockets(world: World) -> str:
    return str(hypervisor.socket(world.hv2)).replace("/hv2/", "/{node}/")


def argv(world: World, node: str, *more: str) -> Sequence[str]:
    return ["ovnhook", "node", "drain", node, "--uri", uri(world), *more]


def drain(world: World, host: LabHost, *more: str, node: str = "") -> subprocess.CompletedProcess[str]:
    return host.run(argv(world, node or host.name, *more), check=False, timeout=10 * HANG)  # many migrations


@contextmanager
def virsh_after(world: World, command: str) -> Iterator[None]:
    """Let hv1 run a shell command before each virsh, whose arguments it has."""
    virsh = world.hv1.folder / "bin" / "virsh"
    virsh.write_text(f'#!/bin/sh\n{command}\nexec /usr/bin/virsh "$@"\n')
    virsh.chmod(0o755)
    try:
        yield
    finally:
        virsh.unlink()


def names(host: LabHost, *which: str) -> list[str]:
    return host.run(["virsh", "list", "--name", *(which or ["--all"])]).stdout.split()


def disk(host: LabHost) -> str:
    """A disk that one host has."""
    path = "/var/lib/libvirt/local.raw"
    host.run(["truncate", "--size=1M", path])
    return DISK.format(path=path)


def test_all_domains_go_and_come_back(world: World) -> None:
    """Running ones with their addresses and their work, one that is off, a transient one, one that is not ours."""
    guests = {name: world.boot(world.hv1, name, interface_xml()) for name in ("left", "right")}
    addresses = {name: guest.wait_address() for name, guest in guests.items()}
    passing = domain_xml("passing", [interface_xml()])
    world.hv1.run(["virsh", "create", "/dev/stdin"], input=passing)
    addresses["passing"] = Guest(world.hv1, "passing").wait_address()
    world.boot(world.hv1, "foreign")
    world.define(world.hv1, "asleep", interface_xml())
    world.hv1.run(["virsh", "autostart", "asleep"])
    world.hv1.run(["virsh", "autostart", "left"])
    world.hv1.run(["virsh", "suspend", "foreign"])
    leases = world.leases()
    for source, target in ((world.hv1, world.hv2), (world.hv2, world.hv1)):
        before = {name: source.run(["virsh", "domuuid", name]).stdout for name in names(source)}
        done = drain(world, source)
        assert (done.returncode, done.stderr) == (0, "")
        moved = [f"moved      {name} to {target.name}" for name in ("foreign", "left", "passing", "right", "asleep")]
        said = done.stdout.splitlines()
        assert [line for line in said if line.startswith("moved")] == moved
        assert said[-1] == f"node {source.name} has no domains left"
        assert names(source) == []
        assert {name: target.run(["virsh", "domuuid", name]).stdout for name in names(target)} == before
        assert {*names(target, "--all", "--autostart")} == {"asleep", "left"}
        assert {*names(target, "--transient")} == {"passing"}
        assert world.domain_state(target, "foreign") == "paused"
        assert world.domain_state(target, "asleep") == "shut off"
        for name in ("left", "right", "passing"):
            settled(world, name, target)
        assert world.leases() == leases
        for one, other in (("left", "right"), ("right", "passing"), ("passing", "left")):
            Guest(target, one).reach(addresses[other])
        again = drain(world, source)
        assert (again.returncode, again.stdout, again.stderr) == (0, f"node {source.name} has no domains\n", "")


def test_what_can_not_be_moved_stays(world: World) -> None:
    """It runs on; the others are moved; libvirt's words are told, and what would be lost by moving a definition."""
    local = disk(world.hv1)
    world.boot(world.hv1, "alive", local)
    world.define(world.hv1, "asleep", local)
    world.boot(world.hv1, "saved")
    world.hv1.run(["virsh", "managedsave", "saved"])
    guest = world.boot(world.hv1, "zebra", interface_xml())
    address = guest.wait_address()
    for attempt in ("first", "again"):
        done = drain(world, world.hv1)
        assert done.returncode == 5
        error, hint = done.stderr.splitlines()
        assert error.startswith("error: 3 domains are still on node hv1: alive: Unsafe migration: ")
        assert "; asleep: its disk vda, /var/lib/libvirt/local.raw, may be local to this host, " in error
        assert "; saved: its memory is saved on this host (managedsave), " in error
        assert hint == "hint: when that is fixed: ovnhook node drain hv1"
        assert ("moved      zebra to hv2" in done.stdout.splitlines()) is (attempt == "first")
        assert "failed     alive: Unsafe migration: " in done.stdout
        assert {*names(world.hv1)} == {"alive", "asleep", "saved"}
        assert world.domain_state(world.hv1, "alive") == "running"
    assert Guest(world.hv2, "zebra").wait_address() == address
    world.hv1.run(["virsh", "destroy", "alive"])
    for name in ("alive", "asleep"):
        world.hv1.run(["virsh", "undefine", name])
    world.hv1.run(["virsh", "start", "saved"])
    assert drain(world, world.hv1).returncode == 0
    assert {*names(world.hv2)} == {"saved", "zebra"}


@pytest.mark.parametrize(
    ("host", "node", "more", "status", "error", "hint"),
    [
        ("hv1", "hv2", (), 2, "this host is node hv1, not hv2", "ssh hv2 ovnhook node drain hv2"),
        ("control", "hv1", (), 2, "this host is node control, not hv1", "ssh hv1 ovnhook node drain hv1"),
        ("hv1", "hv9", (), 3, "there is no node 'hv9'", "ovnhook node list, on the control host"),
        ("hv1", "hv1", ("--to", "hv9"), 3, "there is no node 'hv9'", "ovnhook node list, on the control host"),
        ("hv1", "hv1", ("--to", "hv2", "--to", "hv1"), 2, "--to hv1: cannot be the drained node itself", ""),
        ("hv1", "hv1", ("--to", "control"), 1, "node control: failed to connect to the hypervisor: ", ""),
        ("hv1", "hv1", ("--uri", "qemu:///system"), 2, "--uri qemu:///system: expected {node} ", ""),
        (
            "hv1",
            "hv1",
            ("--uri", "qemu+tcp://{node}/system"),
            7,
            "no other node can take the domains of node hv1",
            "a target needs",
        ),
    ],
)
def test_wrong_wishes(
    world: World, host: str, node: str, more: tuple[str, ...], status: int, error: str, hint: str
) -> None:
    """What was meant is told, and nothing is touched."""
    world.define(world.hv1, "asleep", interface_xml())
    done = drain(world, world.cloud.host(host), *more, node=node)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(f"error: {error}")
    assert f"hint: {hint}" in done.stderr if hint else "hint" not in done.stderr
    assert names(world.hv1) == ["asleep"]


def test_killed_half_way(world: World) -> None:
    """What it had begun comes to its end, the next one waits for that, and does the rest."""
    guests = {name: world.boot(world.hv1, name, interface_xml()) for name in ("early", "late")}
    addresses = {name: guest.wait_address() for name, guest in guests.items()}
    guests["early"].console(DIRTY)
    world.hv1.run(["virsh", "migrate-setspeed", "early", "1"])
    draining = world.hv1.popen(argv(world, "hv1"))
    world.wait_for(lambda: copying(world, "early"), "the copy to begin")
    draining.kill()
    draining.wait(HANG)
    waits, uuid = world.hv1.outside_path("/run/waits"), world.hv1.run(["virsh", "domuuid", "early"]).stdout.strip()
    waits.unlink(missing_ok=True)
    with virsh_after(world, f'case "$*" in *"domjobinfo {uuid}"*) touch /run/waits ;; esac'):
        again = world.hv1.popen(argv(world, "hv1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        world.wait_for(waits.exists, "the next one to ask for the job")
    assert copying(world, "early")
    guests["early"].console("kill $(cat /run/dirty.pid)")
    world.hv1.run(["virsh", "migrate-setspeed", "early", "1000"])
    said = again.communicate(timeout=HANG)[0].decode().splitlines()
    assert again.returncode == 0, said
    assert "gone       early: stopped or migrated by something else" in said
    assert "moved      late to hv2" in said
    assert names(world.hv1) == []
    for name in guests:
        settled(world, name, world.hv2)
    Guest(world.hv2, "early").reach(addresses["late"])


def test_one_that_takes_too_long(world: World) -> None:
    """It is cancelled and stays, with its network; the next one is moved."""
    slow = world.boot(world.hv1, "early", interface_xml())
    world.boot(world.hv1, "late", interface_xml()).wait_address()
    slow.wait_address()
    slow.console(DIRTY)
    world.hv1.run(["virsh", "migrate-setspeed", "early", "1"])
    done = drain(world, world.hv1, "--timeout", "40")
    assert done.returncode == 5
    assert "1 domain is still on node hv1: early: the migration to hv2 timed out after 40 s and was " in done.stderr
    assert "moved      late to hv2" in done.stdout.splitlines()
    assert names(world.hv1) == ["early"]
    settled(world, "early", world.hv1)
    assert world.domain_state(world.hv1, "early") == "running"
    slow.reach(Guest(world.hv2, "late").wait_address())


def test_one_that_is_started_at_the_last_moment(world: World) -> None:
    """libvirt copies the definition of one that runs as if it were off; it is moved for all that."""
    world.define(world.hv1, "asleep", interface_xml())
    with virsh_after(world, 'case "$*" in *--offline*) /usr/bin/virsh start asleep ;; esac'):
        done = drain(world, world.hv1)
    assert done.returncode == 0, done.stderr
    assert (names(world.hv1), names(world.hv2, "--state-running")) == ([], ["asleep"])
    settled(world, "asleep", world.hv2)
    assert world.leases("asleep") == {world.mac(world.hv2, "asleep"): Guest(world.hv2, "asleep").wait_address()}


@pytest.mark.parametrize("end", ["source", "destination"])
def test_libvirt_killed_half_way(world: World, end: str) -> None:
    """The guest is where it was, with its network; libvirt is back, and it is moved."""
    guest = world.boot(world.hv1, "early", interface_xml())
    address = guest.wait_address()
    guest.console(DIRTY)
    world.hv1.run(["virsh", "migrate-setspeed", "early", "1"])
    draining = world.hv1.popen(argv(world, "hv1"), stderr=subprocess.PIPE)
    world.wait_for(lambda: copying(world, "early"), "the copy to begin")
    killed = {"source": world.hv1, "destination": world.hv2}[end].daemon("libvirtd")
    killed.kill()
    told = draining.communicate(timeout=HANG)[1].decode()
    assert draining.returncode == {"source": 7, "destination": 5}[end], told
    killed.start()
    guest.console("kill $(cat /run/dirty.pid)")
    world.hv1.run(["virsh", "migrate-setspeed", "early", "1000"])
    # The destination may still be removing what had half arrived there: then it refuses the domain, and takes it later.
    world.wait_for(lambda: drain(world, world.hv1).returncode == 0, "the domain to be moved")
    settled(world, "early", world.hv2)
    assert Guest(world.hv2, "early").wait_address() == address


def test_given_up_by_its_user(world: World) -> None:
    """Ctrl-C cancels what it is at."""
    slow = world.boot(world.hv1, "early", interface_xml())
    slow.wait_address()
    slow.console(DIRTY)
    world.hv1.run(["virsh", "migrate-setspeed", "early", "1"])
    # Whoever runs the tests in the background may have let them ignore what Ctrl-C sends.
    draining = world.hv1.popen(["env", "--default-signal=INT", *argv(world, "hv1")])
    world.wait_for(lambda: copying(world, "early"), "the copy to begin")
    draining.send_signal(signal.SIGINT)
    assert draining.wait(HANG) == 130
    world.wait_for(lambda: not copying(world, "early"), "the copy to end")
    assert world.domain_state(world.hv1, "early") == "running"
    settled(world, "early", world.hv1)


def told_of(world: World) -> set[str]:
    nodes = json.loads(world.ovnhook("node", "list", "--format", "json"))
    return {node["name"] for node in nodes if node["agent_version"]}


def test_spread_over_hosts() -> None:
    """Each goes to the host with the fewest interfaces; another one takes what one refuses."""
    with LabCloud(f"d{os.getpid()}") as cloud:
        world = World(cloud)
        third = cloud.add_hypervisor()
        world.ovnhook("subnet", "create", "default", "10.10.0.0/24", "--default")
        world.wait_for(lambda: {"hv1", "hv2", "hv3"} <= told_of(world), "the agents to tell of their hosts")
        world.boot(world.hv2, "old", interface_xml(), interface_xml())
        for name in ("a", "b", "c", "d"):
            world.define(world.hv1, name, interface_xml())
        done = drain(world, world.hv1)
        assert done.returncode == 0, done.stderr
        assert (names(world.hv2, "--inactive"), names(third, "--all")) == (["c"], ["a", "b", "d"])
        done = drain(world, third, "--to", "hv1")
        assert done.returncode == 0, done.stderr
        assert (names(world.hv1), names(third)) == (["a", "b", "d"], [])
        world.define(third, "a", interface_xml())  # another domain of that name
        done = drain(world, world.hv1)
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stdout.splitlines() if " a " in line] == [
            "moving     a to hv3",
            "moving     a to hv2",
            "moved      a to hv2",
        ]
        assert names(world.hv1) == []
