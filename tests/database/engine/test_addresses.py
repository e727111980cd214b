"""Subnets and addresses of a domain's interfaces on real databases: chosen, asked for, exchanged, kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.errors import AlreadyExists, Exhausted, InvalidRequest, NotFound
from ovnhook.resources.ip import Range
from ovnhook.resources.kind import Put
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet, isolated_subnet
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import (
    BLUE,
    DEFAULT,
    MACS,
    MAIL,
    WEB,
    Hypervisors,
    domain,
    interface,
    soon,
)
from tests.database.ovsdb_server import Server


def test_an_address_is_chosen(world: Hypervisors, hv1: DirectHost) -> None:
    """Different ones for the interfaces of a domain, all in the default subnet and none the gateway."""
    hv1.attach(domain(*map(interface, MACS)), soon())
    chosen = [IPAddress(address) for address in world.addresses.values()]
    assert len(set(chosen)) == len(MACS)
    assert all(address in DEFAULT.cidr and address != DEFAULT.gateway for address in chosen)
    assert [lease.address for lease in world.leases] == sorted(chosen)


def test_a_move_to_another_subnet(world: Hypervisors, hv1: DirectHost) -> None:
    """One port throughout, an address of the new subnet, and the old lease given back."""
    hv1.attach(domain(interface()), soon())
    (before,) = world.ports
    hv1.attach(domain(interface(subnet="blue")), soon())
    (after,) = world.ports
    assert after.uuid == before.uuid
    assert after.subnet == "blue"
    assert after.addresses[0] in BLUE.cidr
    assert [(lease.subnet, lease.address) for lease in world.leases] == [("blue", after.addresses[0])]
    switches = world.server.dump()["Logical_Switch"]
    assert switches[str(DEFAULT.uuid)]["ports"] == ["set", []]
    assert switches[str(BLUE.uuid)]["ports"] == ["uuid", str(after.uuid)]
    port = world.server.dump()["Logical_Switch_Port"][str(after.uuid)]
    assert port["dhcpv4_options"] == ["uuid", str(uuids.dhcp_options("blue"))]


def test_another_address(world: Hypervisors, hv1: DirectHost) -> None:
    """The metadata's address takes the place of the lease, in the port too."""
    hv1.attach(domain(interface(address="10.0.0.50")), soon())
    hv1.attach(domain(interface(address="10.0.0.60")), soon())
    assert world.addresses == {MACS[0]: "10.0.0.60"}
    assert [str(lease.address) for lease in world.leases] == ["10.0.0.60"]


def test_interfaces_exchange_their_addresses(world: Hypervisors, hv1: DirectHost) -> None:
    """What one interface of a domain leaves, another one of it may have in the same step."""
    hv1.attach(domain(interface(address="10.0.0.50"), interface(MACS[1], address="10.0.0.60")), soon())
    hv1.attach(domain(interface(address="10.0.0.60"), interface(MACS[1], address="10.0.0.50")), soon())
    assert world.addresses == {MACS[0]: "10.0.0.60", MACS[1]: "10.0.0.50"}
    assert {str(lease.address): lease.mac for lease in world.leases} == {"10.0.0.60": MACS[0], "10.0.0.50": MACS[1]}


def test_an_interface_gives_way_to_one_that_asks(world: Hypervisors, hv1: DirectHost) -> None:
    """An address that one interface has just by lease goes to the one whose metadata names it; both have one."""
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    first = world.addresses[MACS[1]]
    hv1.attach(domain(interface(address=first), interface(MACS[1])), soon())
    assert world.addresses[MACS[0]] == first
    assert world.addresses[MACS[1]] != first
    assert {lease.mac: str(lease.address) for lease in world.leases} == world.addresses


def test_an_address_of_an_interface_that_comes_later(world: Hypervisors, hv1: DirectHost) -> None:
    """What an interface holds that is not attached yet (a network's, in prepare) is taken, also within its domain."""
    both = domain(interface(), interface(MACS[1], address="10.0.0.50"))
    hv1.attach(both, soon())
    before = world.exact()
    with pytest.raises(AlreadyExists, match=r"address 10\.0\.0\.50"):
        hv1.attach(replace(both, interfaces=(interface(address="10.0.0.50"),)), soon())
    assert world.exact() == before


def test_a_lease_that_became_the_gateway(world: Hypervisors, hv1: DirectHost) -> None:
    """After the subnet's gateway was set to the address of a stopped domain, the domain has another one."""
    hv1.attach(domain(interface(subnet="blue")), soon())
    hv1.detach(domain(interface()), soon())
    world.northbound.commit([Put(SUBNET, BLUE, replace(BLUE, gateway=world.leases[0].address))], soon())
    hv1.attach(domain(interface(subnet="blue")), soon())
    (port,) = world.ports
    assert port.addresses[0] != world.northbound.cloud(soon()).of(Subnet)[0].gateway
    assert [lease.address for lease in world.leases] == list(port.addresses)


def test_a_whole_subnet_for_one_domain(world: Hypervisors, hv1: DirectHost) -> None:
    """Interfaces of one domain do not choose the same address, however few there are."""
    hv1.attach(domain(*(interface(mac, "tiny") for mac in MACS[:5])), soon())
    assert len(set(world.addresses.values())) == 5
    before = world.exact()
    with pytest.raises(Exhausted):
        hv1.attach(domain(*(interface(mac, "tiny") for mac in MACS[:6])), soon())
    assert world.exact() == before


@pytest.mark.parametrize("address", ["", "10.0.0.50"])
def test_a_changed_mac(world: Hypervisors, hv1: DirectHost, address: str) -> None:
    """The old interface's lease goes with it, even when the new one is to have its address."""
    hv1.attach(domain(interface(address=address)), soon())
    hv1.detach(domain(interface(address=address)), soon())
    hv1.attach(domain(interface(MACS[1], address=address)), soon())
    (port,) = world.ports
    assert port.mac == MACS[1]
    assert [(lease.mac, lease.address) for lease in world.leases] == [(MACS[1], port.addresses[0])]
    hv1.release_leases(WEB, soon())
    assert world.leases == []


def test_no_default_subnet(northbound: Server, make_host: Callable[[str], Server]) -> None:
    """An empty cloud: the message says that a subnet is wanted, and how to make one."""
    hv1 = DirectHost(Config(northbound=northbound.remote, vswitch=make_host("hv1").remote))
    with pytest.raises(NotFound, match="no default subnet") as caught:
        hv1.attach(domain(interface()), soon())
    assert "--default" in caught.value.hint
    assert all(rows == {} for rows in northbound.dump().values())


def test_a_full_subnet_is_told(world: Hypervisors, hv1: DirectHost) -> None:
    """Every address can be had, the next one is refused, and one that is given back can be had again."""
    capacity = 5  # of a /29: six hosts, one of them the gateway
    for n in range(capacity):
        hv1.attach(domain(interface(MACS[n], "tiny"), uuid=UUID(int=n), name=f"vm{n}"), soon())
    assert len(set(world.addresses.values())) == capacity
    before = world.exact()
    with pytest.raises(Exhausted, match=rf"domain web1: interface {MACS[7]}: subnet tiny is full: all {capacity} "):
        hv1.attach(domain(interface(MACS[7], "tiny")), soon())
    assert world.exact() == before
    free = world.addresses[MACS[3]]
    hv1.release_leases(UUID(int=3), soon())
    hv1.attach(domain(interface(MACS[7], "tiny")), soon())
    assert world.addresses[MACS[7]] == free


def test_the_last_address_of_a_range(world: Hypervisors, hv1: DirectHost) -> None:
    """With ranges only those are given, to the last one; what is asked for may be beside them."""
    ranges = (Range(IPAddress("10.3.0.1"), IPAddress("10.3.0.2")), Range(IPAddress("10.3.0.9"), IPAddress("10.3.0.9")))
    subnet = Subnet("ranged", IPNetwork("10.3.0.0/24"), IPAddress("10.3.0.1"), ranges=ranges)
    world.northbound.commit([Put(SUBNET, None, subnet)], soon())
    hv1.attach(domain(interface(MACS[0], "ranged"), interface(MACS[1], "ranged")), soon())
    assert sorted(world.addresses.values()) == ["10.3.0.2", "10.3.0.9"]
    more = domain(interface(MACS[2], "ranged"), uuid=MAIL, name="mail")
    with pytest.raises(Exhausted, match="all 2 addresses"):
        hv1.attach(more, soon())
    hv1.attach(domain(interface(MACS[2], "ranged", "10.3.0.77"), uuid=MAIL, name="mail"), soon())
    assert world.addresses[MACS[2]] == "10.3.0.77"


def test_another_default_subnet(world: Hypervisors, hv1: DirectHost) -> None:
    """Who named no subnet keeps the address that it has, running or not; who is new goes to the new one."""
    hv1.attach(domain(interface()), soon())
    before = world.addresses
    move = Put(REGISTRY, Registry(1, "default"), Registry(2, "blue"))
    world.northbound.commit([move], soon())
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    assert world.addresses[MACS[0]] == before[MACS[0]]
    assert world.addresses[MACS[1]].startswith("10.1.0.")
    hv1.detach(domain(interface()), soon())
    hv1.attach(domain(interface(), run=2), soon())
    assert world.addresses[MACS[0]] == before[MACS[0]]


def test_a_subnet_that_is_named_no_more(world: Hypervisors, hv1: DirectHost) -> None:
    """The interface goes to the default one."""
    hv1.attach(domain(interface(subnet="blue")), soon())
    hv1.attach(domain(interface(), run=2), soon())
    assert world.addresses[MACS[0]].startswith("10.0.0.")


def test_another_domains_own_subnet(world: Hypervisors, hv1: DirectHost) -> None:
    """Nobody gets into it by its name."""
    own = Subnet(isolated_subnet(MAIL), IPNetwork("10.224.0.0/28"), IPAddress("10.224.0.1"), isolated=True)
    world.northbound.commit([Put(SUBNET, None, own)], soon())
    with pytest.raises(InvalidRequest, match="is another domain's own"):
        hv1.attach(domain(interface(subnet=own.name)), soon())


def test_a_start_reads_as_much_however_many_ports_there_are(world: Hypervisors, hv1: DirectHost) -> None:
    """What it is told of a subnet does not grow with its ports, nor what it is told of addresses that are taken."""

    def read() -> int:
        told = 0
        transact = hv1.northbound.database.transact

        def counting(*asked: Any) -> Any:
            nonlocal told
            found = transact(*asked)
            told += len(json.dumps(found))
            return found

        hv1.northbound.database.transact = counting  # type: ignore[assignment,method-assign]
        hv1.attach(domain(interface()), soon())
        hv1.northbound.database.transact = transact  # type: ignore[method-assign]
        hv1.detach(domain(interface()), soon())
        hv1.release_leases(WEB, soon())
        return told

    alone = read()
    for number in range(100):
        mac = f"52:54:00:00:01:{number:02x}"
        hv1.attach(domain(interface(mac), uuid=UUID(int=number + 1), name=f"other{number}"), soon())
    a_lease = json.dumps({"_uuid": ["uuid", str(WEB)]})
    assert read() <= alone + len(address.WINDOWS) * address.WINDOWS[0] * len(a_lease)
