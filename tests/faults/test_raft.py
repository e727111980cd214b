"""A northbound cluster whose leader is killed while many domains start: each has its address, none has another's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from lab import LabCloud, LabError, raft
from lab.domain import interface_xml
from lab.raft import RaftCluster
from lab.waiting import HANG
from tests.cloud.world import World
from tests.faults.invariants import ObservedCloud, differences
from tests.faults.observed import observe

STARTS = 50
AT_ONCE = 5
KILLED_AFTER = 10  # of them


@pytest.fixture
def clustered() -> Iterator[tuple[World, RaftCluster]]:
    """A lab whose northbound database is a cluster of three."""
    with LabCloud(f"r{os.getpid()}") as cloud:
        control = cloud.control
        for name in ("northd", "control"):
            control.daemon(name).stop()
        cluster = raft.start(control, cloud.management_address(control.name))
        northd = control.daemon("northd")
        northd.argv = [f"--ovnnb-db={cluster.unix}" if "nb-db=" in word else word for word in northd.argv]
        northd.start()
        cloud.configure(control, {"northbound": cluster.tcp})
        control.daemon("control").start()
        world = World(cloud)
        world.ovnhook("subnet", "create", "default", "10.10.0.0/24", "--default")
        yield world, cluster


def test_the_leader_is_killed_while_fifty_domains_start(clustered: tuple[World, RaftCluster]) -> None:
    """No start fails, no address is given twice, none is lost, and nothing is left over when they have gone."""
    world, cluster = clustered
    hosts = {f"many{n}": world.cloud.hypervisors[n % 2] for n in range(STARTS)}
    for name, host in hosts.items():
        world.define(host, name, interface_xml(), dhcp="none")

    def start(name: str) -> None:
        hosts[name].run(["virsh", "start", "--paused", name], timeout=HANG)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, future in enumerate(as_completed([pool.submit(start, name) for name in hosts])):
            if done == KILLED_AFTER:
                killed = cluster.leader()
                killed.daemon.kill()
            future.result()
    found = healed(world, cluster)
    assert len({interface.domain for interface in found.interfaces}) == STARTS
    assert len({lease.address for lease in found.leases}) == STARTS
    killed.daemon.start()
    world.remove_domains()
    assert not healed(world, cluster).leases


def healed(world: World, cluster: RaftCluster) -> ObservedCloud:
    """What there is, when it is as wanted."""
    wrong: list[str] = []
    found: list[ObservedCloud] = []

    def right() -> bool:
        try:
            found[:] = [observe(world.cloud, cluster.leader().unix)]
            wrong[:] = differences(found[0])
        except LabError as error:
            wrong[:] = [str(error)]
        return not wrong

    world.wait_for(right, "all to be as expected", lambda: wrong)
    return found[0]
