"""Changes of rows that others change at the same time: guarded, repeated where that helps, and else refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, Conflict, NotFound
from ovnhook.domains import plan
from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.port.values import Port
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet.kind import SUBNET
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import (
    BLUE,
    IDS,
    MACS,
    MAIL,
    TINY,
    WEB,
    Hypervisors,
    Overtaken,
    domain,
    interface,
    soon,
)


def test_a_subnet_that_is_in_use_is_not_removed(world: Hypervisors, hv1: DirectHost) -> None:
    """A lease is a use; without one it goes, with its DHCP options."""
    hv1.attach(domain(interface(subnet="blue")), soon())
    hv1.detach(domain(interface()), soon())
    before = world.exact()
    with pytest.raises(Conflict):
        world.northbound.commit([Put(SUBNET, BLUE, None)], soon())
    assert world.exact() == before
    hv1.release_leases(WEB, soon())
    world.northbound.commit([Put(SUBNET, BLUE, None)], soon())
    rows = world.server.dump()
    assert str(BLUE.uuid) not in rows["Logical_Switch"]
    assert str(uuids.dhcp_options("blue")) not in rows["DHCP_Options"]


def test_a_subnet_that_is_deleted_meanwhile(world: Hypervisors, hv1: DirectHost) -> None:
    """It was there when it was looked up, and is not when the port is made: there is no such subnet, and no row."""
    hv1.attachment.northbound = Overtaken(
        world.server.remote, lambda: world.northbound.commit([Put(SUBNET, BLUE, None)], soon())
    )
    with pytest.raises(NotFound, match="there is no subnet 'blue'"):
        hv1.attach(domain(interface(), interface(MACS[1], "blue")), soon())
    rows = world.server.dump()
    assert (world.leases, world.ports, world.northbound.lease_indexes(soon())) == ([], [], [])
    assert str(BLUE.uuid) not in rows["Logical_Switch"]


def test_a_subnet_that_is_attached_to_meanwhile(world: Hypervisors, hv1: DirectHost) -> None:
    """The other way round: the subnet was free when it was looked up, and stays, with its port."""
    overtaken = Overtaken(world.server.remote, lambda: hv1.attach(domain(interface(subnet="blue")), soon()))
    with pytest.raises(Conflict):
        overtaken.commit([Put(SUBNET, BLUE, None)], soon())
    assert [port.subnet for port in world.ports] == [lease.subnet for lease in world.leases] == ["blue"]


def test_a_subnet_that_is_changed_meanwhile(world: Hypervisors, hv1: DirectHost) -> None:
    """A domain is never put onto a subnet that is not what was read: here it is made anew, with other addresses."""
    anew = replace(BLUE, cidr=IPNetwork("10.8.0.0/28"), gateway=IPAddress("10.8.0.1"))
    change = partial(world.northbound.commit, [Put(SUBNET, BLUE, anew)], soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, change)
    hv1.attach(domain(interface(subnet="blue")), soon())
    (port,) = world.ports
    assert port.addresses[0] in anew.cidr


def test_an_address_that_is_taken_meanwhile(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Where any will do, the next one is given; where it was asked for, the start is refused."""
    hv1.attach(domain(interface()), soon())
    first = world.addresses[MACS[0]]
    hv1.release_leases(WEB, soon())
    mail = domain(interface(MACS[7], address=first), uuid=MAIL, name="mail")
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(mail, soon()))
    hv1.attach(domain(interface()), soon())
    assert world.addresses[MACS[7]] == first
    assert world.addresses[MACS[0]] != first
    hv2.release_leases(MAIL, soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(mail, soon()))
    with pytest.raises(AlreadyExists, match=f"address {first} of subnet default is leased to domain mail"):
        hv1.attach(domain(interface(address=first)), soon())


def test_a_domain_that_is_taken_over_meanwhile(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """The release of the host that it left finds another owner at the last moment, and changes nothing."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(wanted, soon()))
    hv1.detach(wanted, soon())
    assert [port.host for port in world.ports] == ["hv2"]


def test_a_lease_that_is_released_meanwhile(world: Hypervisors, hv1: DirectHost) -> None:
    """An operator drops it while the domain starts: it has one in the end."""
    hv1.attach(domain(interface()), soon())
    hv1.detach(domain(interface()), soon())
    observed = world.northbound.observe_with_leases(WEB, MACS[:1], soon())
    drop = partial(world.northbound.commit, plan.release_lease(world.leases[0], observed), soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, drop)
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    assert {lease.mac: str(lease.address) for lease in world.leases} == world.addresses
    assert set(world.addresses) == {MACS[0], MACS[1]}


STALE_LEASE = Lease("blue", IPAddress("10.1.0.20"), WEB, "web1", MACS[5], "web1", "hv1", "hv1/1")
STALE_PORT = Port(IDS[1], "blue", MACS[0], (IPAddress("10.1.0.20"),), WEB, "web1", "hv9")
STALE_HOLDING = LeaseIndex(WEB, "web1", "hv9", ((MACS[0], "blue", IPAddress("10.1.0.20")),))
STALE: dict[str, Change] = {
    "need-subnet": Need(SUBNET, replace(BLUE, mtu=9000)),
    "need-lease": Need(LEASE, STALE_LEASE),
    "update-lease": Put(LEASE, STALE_LEASE, replace(STALE_LEASE, hostname="other")),
    "drop-lease": Put(LEASE, STALE_LEASE, None),
    "update-port": Put(PORT, STALE_PORT, replace(STALE_PORT, host="hv8")),
    "remove-port": Put(PORT, STALE_PORT, None),
    "set-holding": Put(LEASE_INDEX, STALE_HOLDING, replace(STALE_HOLDING, leases=())),
    "set-holding-anew": Put(LEASE_INDEX, None, STALE_HOLDING),
    "drop-holding": Put(LEASE_INDEX, STALE_HOLDING, None),
    "set-registry": Put(REGISTRY, Registry(7, "default"), Registry(8, "blue")),
    "set-registry-anew": Put(REGISTRY, None, Registry(1, "blue")),
    "add-lease": Put(LEASE, None, replace(STALE_LEASE, domain=MAIL)),
    "add-port": Put(PORT, None, replace(STALE_PORT, id="another")),
    "add-subnet": Put(SUBNET, None, replace(BLUE, mtu=9000)),
    "update-subnet": Put(SUBNET, replace(BLUE, mtu=9000), BLUE),
    "remove-subnet": Put(SUBNET, replace(TINY, mtu=9000), None),
}


@pytest.mark.parametrize("change", STALE.values(), ids=STALE.keys())
def test_a_change_of_what_is_not_so_any_more(world: Hypervisors, hv1: DirectHost, change: Change) -> None:
    """Each kind of change is guarded: where the rows are others than it was planned on, nothing is written at all."""
    hv1.attach(domain(interface(subnet="blue", address="10.1.0.20", id=IDS[1])), soon())
    before = world.exact()
    with pytest.raises(Conflict):
        world.northbound.commit([change, Put(SUBNET, None, replace(BLUE, name="beside"))], soon())
    assert world.exact() == before


def test_a_subnet_with_somebody_elses_port_is_not_removed(world: Hypervisors) -> None:
    """A port that an administrator put on our switch by hand is a use of it as well."""
    join = ["ports", "insert", ["set", [["named-uuid", "p"]]]]
    world.server.transact(
        {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": "theirs"}},
        {"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", "blue"]], "mutations": [join]},
    )
    before = world.exact()
    with pytest.raises(Conflict):
        world.northbound.commit([Put(SUBNET, BLUE, None)], soon())
    assert world.exact() == before


def test_changes_that_were_planned_elsewhere_are_tried_once(
    world: Hypervisors, hv1: DirectHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a conflict they have to be planned again: the same guards would fail until the deadline."""
    hv1.attach(domain(interface(subnet="blue", address="10.1.0.20", id=IDS[1])), soon())
    tried = []
    commit = hv1.northbound.commit

    def counted(changes: Sequence[Change], deadline: Deadline) -> None:
        tried.append(changes)
        commit(changes, deadline)

    monkeypatch.setattr(hv1.northbound, "commit", counted)
    with pytest.raises(Conflict):
        hv1.attachment.commit([Put(LEASE, replace(STALE_LEASE, domain=MAIL), None)], soon())
    assert len(tried) == 1
