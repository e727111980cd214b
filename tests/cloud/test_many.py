"""Many domains at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from lab.domain import interface_xml
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
