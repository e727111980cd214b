"""The upgrade of a subnet whose guests ask OVN for names, to one that has a resolver: one step after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.ovsdb.operation import Operation, ref
from ovnhook.resources import tables
from ovnhook.resources.kind import Change, Kind, Put
from ovnhook.resources.kinds import apply_changes, complete
from ovnhook.resources.registry import FORMAT, REGISTRY
from ovnhook.resources.router.reach import with_reachable
from ovnhook.resources.router.values import Router
from ovnhook.resources.state import Cloud, Registry
from ovnhook.resources.subnet import earlier
from ovnhook.resources.subnet import rules as subnet_rules
from ovnhook.resources.subnet.dhcp import DHCP_LEASE_TIME
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.request import SubnetRequest
from ovnhook.resources.subnet.values import Subnet
from tests.unit.resources.subnet.subnet import KNOWN

NOW = 1_000_000
REGISTRY_ROW = Registry(7, "blue", format=FORMAT)
BLUE = Subnet("blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"), "gateway")
GREEN = Subnet("green", IPNetwork("10.2.0.0/24"), IPAddress("10.2.0.1"), "gateway")
ALONE = Subnet("alone", IPNetwork("10.3.0.0/24"), IPAddress("10.3.0.1"))
TINY = Subnet("tiny", IPNetwork("10.4.0.0/30"), IPAddress("10.4.0.1"))


def cloud_with(*subnets: Subnet) -> Cloud:
    """A cloud of these subnets."""
    return Cloud(REGISTRY_ROW, tuple(with_reachable([Router("gateway"), *sorted(subnets, key=SUBNET.order)])))


def unleased(_: Subnet) -> tuple[IPAddress, ...]:
    """No leases."""
    return ()


def made(changes: tuple[Change, ...], kind: Kind[Any] = SUBNET) -> list[Any]:
    """What changes make of the values of a kind."""
    return [one.new for one in changes if isinstance(one, Put) and one.kind is kind]


def references(changes: tuple[Change, ...], how: str) -> set[tuple[str, str]]:
    """Subnets whose switches are told of DNS rows, or no longer, with the subnets of these rows."""
    names = {one.name: one for one in (BLUE, GREEN, ALONE, TINY)}

    def pairs(operation: Operation) -> set[tuple[str, str]]:
        if (operation["op"], operation["table"]) != ("mutate", tables.SWITCH):
            return set()
        every = (one for one in operation.get("mutations", ()) if one[:2] == ["dns_records", how])
        rows = [row for _, _, (_, members) in every for row in members]
        (switch,) = (name for name, one in names.items() if ["_uuid", "==", ref(one.uuid)] in operation["where"])
        return {(switch, name) for name in names if ref(uuids.dns_records(name)) in rows}

    return set().union(*(pairs(operation) for change in changes for operation in change.operations))


def test_the_format_is_first() -> None:
    """Earlier versions would put the rows back as they were: they refuse a newer format."""
    before = Registry(7, "blue")
    (change,) = earlier.use_resolvers(Cloud(before, (BLUE,)))
    assert change == Put(REGISTRY, before, Registry(8, "blue", format=FORMAT))


def test_resolvers_are_added() -> None:
    """With an address that nobody has, nor gets meanwhile; where there is none left the subnet stays as it is."""
    leases = {"blue": {IPAddress("10.1.0.2")}, "green": {*map(IPAddress, GREEN.cidr)}}
    changes = earlier.add_resolvers(cloud_with(BLUE, GREEN, TINY), lambda one: leases.get(one.name, set()))
    assert made(changes, REGISTRY) == [replace(REGISTRY_ROW, serial=8)]
    assert made(changes) == [replace(BLUE, resolvers=(IPAddress("10.1.0.3"),))]
    assert not references(changes, "delete")
    assert earlier.add_resolvers(cloud_with(*made(changes), GREEN, TINY), lambda one: leases.get(one.name, set())) == ()


def test_resolvers_are_announced() -> None:
    """Of every subnet that has one, or no room for one; their guests may ask OVN until all of them have heard of it."""
    blue = replace(BLUE, resolvers=(IPAddress("10.1.0.2"),))
    changes = earlier.announce_resolvers(cloud_with(blue, GREEN, TINY), NOW)
    until = NOW + DHCP_LEASE_TIME
    assert made(changes) == [replace(blue, records_until=until), replace(TINY, records_until=until)]
    assert [[str(one) for one in subnet.servers(4)] for subnet in made(changes)] == [["10.1.0.2"], []]
    assert not references(changes, "delete")


@pytest.mark.parametrize(
    ("until", "is_over"),
    [(NOW - 1, True), (NOW, True), (NOW + 1, False), (NOW + DHCP_LEASE_TIME, False), (NOW + 9 * DHCP_LEASE_TIME, True)],
)
def test_records_are_removed(until: int, is_over: bool) -> None:
    """From the switches whose time is over: those of their own subnet and of others. A clock may have been wrong."""
    blue = replace(BLUE, resolvers=(IPAddress("10.1.0.2"),), records_until=until)
    alone = replace(ALONE, resolvers=(IPAddress("10.3.0.2"),), records_until=until)
    changes = earlier.remove_records(cloud_with(blue, alone, GREEN), NOW)
    assert made(changes) == ([replace(alone, records_until=0), replace(blue, records_until=0)] if is_over else [])
    gone = {("blue", "blue"), ("blue", "green"), ("alone", "alone")}
    assert references(changes, "delete") == (gone if is_over else set())


def test_step_by_step() -> None:
    """After the last one there is nothing left to do, in whatever order subnets come; each step is done once."""
    cloud = cloud_with(BLUE, GREEN, ALONE, TINY)
    steps: tuple[Callable[[Cloud], tuple[Change, ...]], ...] = (
        lambda cloud: earlier.add_resolvers(cloud, unleased),
        lambda cloud: earlier.announce_resolvers(cloud, NOW),
        lambda cloud: earlier.remove_records(cloud, NOW + DHCP_LEASE_TIME),
    )
    for step in steps:
        changes = step(cloud)
        cloud = apply_changes(cloud, changes)
        assert changes
        assert step(cloud) == ()
    assert not any(one.has_records for one in cloud.of(Subnet))
    assert not any(step(cloud) for step in steps)


def test_a_new_subnet_beside_an_old_one() -> None:
    """Its names are known where OVN answers; its own switch is told of none."""
    cloud = cloud_with(BLUE)
    changes = complete(subnet_rules.create(SubnetRequest("green", "10.2.0.0/24"), KNOWN, cloud), cloud)
    assert made(changes)[0] == replace(GREEN, resolvers=(IPAddress("10.2.0.2"),), records_until=0)
    assert references(changes, "insert") == {("blue", "green")}
