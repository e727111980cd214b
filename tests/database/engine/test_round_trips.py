"""How many transactions the northbound database is asked for by each verb: each is a wait of a domain's start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists
from ovnhook.domains.values import Domain, Interface
from ovnhook.resources.kind import Put
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet, isolated_subnet
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import IDS, MACS, MAIL, WEB, Hypervisors, domain, interface, soon

DUAL = Subnet(
    "dual",
    IPNetwork("10.7.0.0/24"),
    IPAddress("10.7.0.1"),
    cidr6=IPNetwork("fd00:7::/64"),
    gateway6=IPAddress("fd00:7::1"),
)


def named(one: Interface, name: str) -> Interface:
    """The same, asking for a host name."""
    return replace(one, request=replace(one.request, hostname=name))


def derived(*interfaces: Interface) -> Domain:
    """A domain that asks for no host name."""
    return replace(domain(*interfaces), interfaces=interfaces)


def own(mac: str) -> Interface:
    """An interface that asks for the domain's own subnet."""
    one = interface(mac, isolated_subnet(WEB))
    return replace(one, request=replace(one.request, isolated=True))


Trips = Callable[[Callable[[], object]], int]


@pytest.fixture
def trips(hv1: DirectHost, monkeypatch: pytest.MonkeyPatch) -> Trips:
    """Does something and counts its transactions of hv1 with the northbound database."""
    database = hv1.attachment.northbound.database
    transact, asked = database.transact, []

    def count(operations: Any, deadline: Any) -> Any:
        asked.append(operations)
        return transact(operations, deadline)

    def counted(action: Callable[[], object]) -> int:
        asked.clear()
        action()
        return len(asked)

    monkeypatch.setattr(database, "transact", count)
    return counted


def test_an_attach(world: Hypervisors, hv1: DirectHost, trips: Trips) -> None:
    """Two reads and a commit, one more read where addresses are to be found: for many interfaces as for one."""
    world.northbound.commit([Put(SUBNET, None, DUAL)], soon())
    one = domain(interface())
    assert trips(lambda: hv1.attach(one, soon())) == 4
    assert trips(lambda: hv1.attach(one, soon())) == 2
    assert trips(lambda: hv1.attach(one, soon(), running=True)) == 2
    hv1.detach(one, soon())
    assert trips(lambda: hv1.attach(one, soon())) == 3
    several = domain(interface(), interface(MACS[1], "blue"), interface(MACS[2], "dual"), interface(MACS[3], "blue"))
    assert trips(lambda: hv1.attach(several, soon())) == 4
    assert trips(lambda: hv1.attach(one, soon(), running=True)) == 3


def test_each_operation_is_one_call(hv1: DirectHost) -> None:
    """Of the control service, each of which would be a round trip to another host."""
    one = domain(interface())
    hv1.attach(one, soon())
    hv1.attach(one, soon())
    hv1.attach(one, soon(), running=True)
    hv1.detach(one, soon())
    hv1.update_leases(one, soon())
    hv1.roll_back(one, soon())
    hv1.release_leases(one.uuid, soon())
    assert hv1.calls.made == [
        *["AttachDomain"] * 3, "DetachDomain", "UpdateDomainLeases", "RollBackStart", "ReleaseDomainLeases",
    ]  # fmt: skip


def test_an_address_that_is_asked_for(hv1: DirectHost, trips: Trips) -> None:
    """It is not looked for."""
    assert trips(lambda: hv1.attach(domain(interface(subnet="blue", address="10.1.0.20")), soon())) == 3


def test_the_default_subnet(world: Hypervisors, hv1: DirectHost, trips: Trips) -> None:
    """It is read beside the registry while it is the same as before, else after it."""
    hv1.attach(domain(interface()), soon())
    assert trips(lambda: hv1.attach(domain(interface(MACS[1]), uuid=MAIL, name="mail"), soon())) == 3
    world.northbound.commit([Put(REGISTRY, Registry(1, "default"), Registry(2, "blue"))], soon())
    for number, asked in ((2, 4), (3, 3)):
        one = domain(interface(MACS[number]), uuid=UUID(int=number), name=f"files{number}")
        assert trips(partial(hv1.attach, one, soon())) == asked
    assert {port.mac: port.subnet for port in world.ports} == {
        MACS[0]: "default", MACS[1]: "default", MACS[2]: "blue", MACS[3]: "blue",
    }  # fmt: skip


def test_an_interface_that_is_plugged_in(hv1: DirectHost, trips: Trips) -> None:
    """Its host name and its interface id are looked up before."""
    hv1.attach(derived(interface()), soon())
    more = derived(interface(), named(interface(MACS[1], id=IDS[2]), "front"))
    assert trips(lambda: hv1.attach(more, soon(), running=True)) == 6


def test_a_subnet_of_its_own(world: Hypervisors, hv1: DirectHost, trips: Trips) -> None:
    """It takes the whole cloud, and a look at foreign switches, beside."""
    world.create_router()
    assert trips(lambda: hv1.attach(domain(own(MACS[0])), soon())) == 6


def test_a_host_name_that_is_taken(
    world: Hypervisors, hv1: DirectHost, hv2: DirectHost, trips: Trips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner is found by key: nothing is searched for, however many leases there are."""
    hv2.attach(domain(interface(MACS[3]), uuid=UUID(int=9)), soon())
    monkeypatch.setattr(hv1.attachment.northbound, "leases", None)
    assert trips(lambda: hv1.attach(derived(*(interface(MACS[n]) for n in range(3))), soon())) == 9
    with pytest.raises(AlreadyExists, match="host name 'web1' of subnet default is that of domain web1 on hv2"):
        hv1.attach(domain(interface(MACS[4]), uuid=MAIL), soon())


def test_a_record_that_leads_nowhere(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """A person has changed it: its owner is found nevertheless, and keeps its name."""
    hv2.attach(domain(interface(MACS[3]), uuid=UUID(int=9)), soon())
    records = {"op": "mutate", "table": "DNS", "where": [["_uuid", "==", ["uuid", str(uuids.dns_records("default"))]]]}
    gone, wrong = ["records", "delete", ["set", ["web1"]]], ["records", "insert", ["map", [["web1", "10.0.0.250"]]]]
    world.server.transact({**records, "mutations": [gone]}, {**records, "mutations": [wrong]})
    with pytest.raises(AlreadyExists, match="host name 'web1' of subnet default is that of domain web1 on hv2"):
        hv1.attach(domain(interface()), soon())
    hv1.attach(derived(interface()), soon())
    assert len({lease.hostname for lease in world.leases}) == 2


def test_a_virtual_address(hv1: DirectHost, trips: Trips) -> None:
    """It costs nothing, except where a domain that is off no longer names it."""
    plain = interface(subnet="blue", address="10.1.0.20")
    options = PortOptions(virtual=(IPAddress("10.1.0.100"),))
    one = domain(replace(plain, request=replace(plain.request, options=options)))
    assert trips(lambda: hv1.attach(one, soon())) == 3
    assert trips(lambda: hv1.attach(one, soon())) == 2
    assert trips(lambda: hv1.detach(one, soon())) == 4
    assert trips(lambda: hv1.attach(one, soon())) == 3
    hv1.detach(one, soon())
    assert trips(lambda: hv1.attach(domain(plain), soon())) == 4
