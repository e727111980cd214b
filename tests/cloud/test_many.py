"""Many domains at once."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from lab.domain import interface_xml
from lab.hypervisor import HOOK
from lab.waiting import HANG
from tests.cloud.settings import REFUSING, changed_settings
from tests.cloud.world import World


def test_twenty_domains_start_at_once_on_two_hosts(world: World) -> None:
    """Every one gets a port and an address of its own, which no other has."""
    hosts = {f"many{n}": (world.hv1, world.hv2)[n % 2] for n in range(20)}
    for name, host in hosts.items():
        world.define(host, name, interface_xml(), dhcp="retry", memory=80)
    with ThreadPoolExecutor(20) as pool:
        guests = list(pool.map(lambda name: world.start(hosts[name], name), hosts))
    addresses = [guest.wait_address() for guest in guests]
    assert len(set(addresses)) == len(hosts)
    assert sorted(world.leases().values()) == sorted(addresses)
    assert len(world.ports()) == len(hosts)


STARTS = 50


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_the_control_service_ends_under_fifty_starts(world: World, verb: str) -> None:
    """Each call of the hook waits for it to be back, within its deadline: none fails."""
    hosts = {f"many{n}": (world.hv1, world.hv2)[n % 2] for n in range(STARTS)}
    for name, host in hosts.items():
        world.define(host, name, interface_xml())
    xml = {name: host.run(["virsh", "dumpxml", name]).stdout for name, host in hosts.items()}

    def call(name: str, operation: str) -> str:
        return hosts[name].run([HOOK, name, operation, "begin", "-"], input=xml[name]).stderr

    control = world.control.daemon("control")
    with (
        changed_settings(world.hv1, more=REFUSING),
        changed_settings(world.hv2, more=REFUSING),
        ThreadPoolExecutor(STARTS) as pool,
    ):
        calls = [pool.submit(call, name, "prepare") for name in hosts]
        wait(calls, HANG, FIRST_COMPLETED)
        assert not all(one.done() for one in calls)
        getattr(control, verb)()
        control.start()
        assert {one.result() for one in calls} == {""}
        assert len({*world.leases().values()}) == STARTS
        assert len(world.ports()) == STARTS
        [*pool.map(lambda name: call(name, "release"), hosts)]
    assert not world.ports()
