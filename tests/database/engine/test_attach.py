"""The verbs of ovnhook.engine.attach on real databases, and every row that they leave, change or do not touch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from netaddr import IPAddress, IPNetwork

from lab.waiting import HANG
from ovnhook.agent.host import Host
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, Conflict, Exhausted, InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.vswitch import Binding
from ovnhook.domains import plan
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType, Tap
from ovnhook.resources.changes import (
    AddLease,
    AddPort,
    AddSubnet,
    Change,
    DropHolding,
    DropLease,
    NeedLease,
    NeedSubnet,
    Registry,
    RemovePort,
    RemoveSubnet,
    SetHolding,
    SetRegistry,
    UpdateLease,
    UpdatePort,
    UpdateSubnet,
)
from ovnhook.resources.lease.values import Holding, Lease
from ovnhook.resources.port.values import Port
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.values import Range, Subnet, isolated_subnet
from tests.database.ovsdb_server import Dump, Server, run

DEFAULT = Subnet("default", IPNetwork("10.0.0.0/24"), IPAddress("10.0.0.1"), default=True)
BLUE = Subnet("blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"), "gateway")
TINY = Subnet("tiny", IPNetwork("10.2.0.0/29"), IPAddress("10.2.0.1"))

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
MAIL = UUID("7d1c2a35-86b4-4f10-b1a4-5f8a3c1be5d2")
MACS = tuple(f"52:54:00:00:00:{n:02x}" for n in range(1, 9))


def soon() -> Deadline:
    """A deadline that only a hang exceeds."""
    return Deadline.after(HANG)


def interface(mac: str = MACS[0], subnet: str = "", address: str = "", *, id: str = "", tap: str = "") -> Interface:
    """An interface of ``type='bridge'``."""
    request = InterfaceRequest(subnet, addresses=tuple(map(IPAddress, address.split())))
    return Interface(mac, InterfaceType.BRIDGE, request, interface_id=id, device=tap)


def domain(*interfaces: Interface, uuid: UUID = WEB, name: str = "web1", run: int = 1) -> Domain:
    """A domain with these interfaces and no other; its name is its host name."""
    named = tuple(
        replace(one, request=replace(one.request, hostname=one.request.hostname or name)) for one in interfaces
    )
    return Domain(uuid, name, run, named, tuple(one.mac for one in interfaces))


class Hypervisors:
    """A northbound database with three subnets, and a way to make hosts."""

    def __init__(self, server: Server, make_host: Callable[[str], Server]) -> None:
        self.server = server
        self.northbound = Northbound(server.remote)
        self.vswitches: dict[str, Server] = {}
        self._make_host = make_host
        self.northbound.commit(
            [*map(AddSubnet, (DEFAULT, BLUE, TINY)), SetRegistry(None, Registry(1, "default"))], soon()
        )

    def host(self, name: str) -> Host:
        """What is at work on a host."""
        if name not in self.vswitches:
            self.vswitches[name] = self._make_host(name)
        return Host(Config(northbound=self.server.remote, vswitch=self.vswitches[name].remote))

    @property
    def leases(self) -> list[Lease]:
        """All leases."""
        return self.northbound.leases(soon())

    @property
    def ports(self) -> list[Port]:
        """All ports of ours."""
        return self.northbound.ports(soon())

    @property
    def addresses(self) -> dict[str, str]:
        """The address of every port, by MAC."""
        return {port.mac: " ".join(map(str, port.addresses)) for port in self.ports}

    def exact(self) -> Dump:
        """Every row, with its version."""
        return self.server.dump(versions=True)


@pytest.fixture
def world(northbound: Server, make_host: Callable[[str], Server]) -> Hypervisors:
    """As above."""
    return Hypervisors(northbound, make_host)


@pytest.fixture
def hv1(world: Hypervisors) -> Host:
    """What is at work on host hv1."""
    return world.host("hv1")


@pytest.fixture
def hv2(world: Hypervisors) -> Host:
    """What is at work on host hv2."""
    return world.host("hv2")


def test_attach_makes_a_port_with_all_that_it_needs(world: Hypervisors, hv1: Host) -> None:
    """Name, MAC and address, port security, DHCP and the chassis: the rows as OVN reads them."""
    hv1.attach(domain(interface(subnet="blue", address="10.1.0.20", id="if-1")), soon())
    rows = world.server.dump()
    (port,) = rows["Logical_Switch_Port"].values()
    assert port["name"] == "if-1"
    assert port["addresses"] == port["port_security"] == f"{MACS[0]} 10.1.0.20"
    assert port["options"] == ["map", [["requested-chassis", "hv1"]]]
    assert port["dhcpv4_options"] == ["uuid", str(uuids.dhcp_options("blue"))]
    assert rows["Logical_Switch"][str(BLUE.uuid)]["ports"] == port["_uuid"]
    (lease,) = world.leases
    assert (lease.subnet, str(lease.address), lease.domain, lease.mac) == ("blue", "10.1.0.20", WEB, MACS[0])
    assert (lease.hostname, lease.host, lease.run) == ("web1", "hv1", "hv1/1")


def test_dhcp_has_all_without_which_northd_is_silent(world: Hypervisors) -> None:
    """server_id, server_mac, lease_time and the network; the router where the subnet has one."""
    options = world.server.dump()["DHCP_Options"]
    blue = options[str(uuids.dhcp_options("blue"))]
    values = dict(blue["options"][1])
    assert blue["cidr"] == "10.1.0.0/24"
    assert values.keys() >= {"server_id", "server_mac", "lease_time", "mtu"}
    assert values["router"] == values["server_id"] == "10.1.0.1"
    assert "router" not in dict(options[str(uuids.dhcp_options("default"))]["options"][1])


def test_an_address_is_chosen(world: Hypervisors, hv1: Host) -> None:
    """Different ones for the interfaces of a domain, all in the default subnet and none the gateway."""
    hv1.attach(domain(*map(interface, MACS)), soon())
    chosen = [IPAddress(address) for address in world.addresses.values()]
    assert len(set(chosen)) == len(MACS)
    assert all(address in DEFAULT.cidr and address != DEFAULT.gateway for address in chosen)
    assert [lease.address for lease in world.leases] == sorted(chosen)


def test_a_repeated_attach_writes_no_row(world: Hypervisors, hv1: Host) -> None:
    """Not even with what was there: no row's version changes, so nobody else has work."""
    wanted = domain(interface(tap="vnet0"), interface(MACS[1], "blue", "10.1.0.20", id="if-2", tap="vnet1"))
    hv1.attach(wanted, soon())
    before, host_before = world.exact(), world.vswitches["hv1"].dump(versions=True)
    hv1.attach(wanted, soon())
    world.host("hv1").attach(wanted, soon())
    hv1.attach(replace(wanted, id=2), soon())
    assert world.exact() == before
    assert world.vswitches["hv1"].dump(versions=True) == host_before


def test_a_domain_without_interfaces_needs_no_database() -> None:
    """It costs nothing, and starts whatever is away."""
    away = Config(northbound="unix:/nonexistent/nb", vswitch="unix:/nonexistent/vs")
    with pytest.raises(Unavailable):
        Host(away).attach(domain(interface()), soon())
    Host(away).attach(domain(), soon())


def test_detach_takes_the_port_and_leaves_the_lease(world: Hypervisors, hv1: Host) -> None:
    """The next start has the same address, although others came meanwhile."""
    hv1.attach(domain(interface(), interface(MACS[1], "blue")), soon())
    before, leases = world.addresses, world.leases
    hv1.detach(domain(interface(), interface(MACS[1])), soon())
    rows = world.server.dump()
    assert rows["Logical_Switch_Port"] == {}
    assert all(switch["ports"] == ["set", []] for switch in rows["Logical_Switch"].values())
    assert world.leases == leases
    hv1.attach(domain(*map(interface, MACS[2:]), uuid=MAIL, name="mail"), soon())
    hv1.attach(domain(interface(), interface(MACS[1], "blue"), run=2), soon())
    assert {mac: world.addresses[mac] for mac in before} == before


def test_detach_goes_by_what_is_stored(world: Hypervisors, hv1: Host) -> None:
    """It takes away ports of interfaces that the XML does not have any more, and needs no subnet's name."""
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    hv1.detach(Domain(WEB, "web1"), soon())
    assert world.ports == []


def test_detach_and_forget_may_be_repeated(world: Hypervisors, hv1: Host) -> None:
    """The second time there is nothing to do, and nothing is written; so too for a domain that never was."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    hv1.detach(wanted, soon())
    before = world.exact()
    hv1.detach(wanted, soon())
    hv1.forget(MAIL, soon())
    hv1.detach(domain(interface(MACS[3]), uuid=MAIL), soon())
    assert world.exact() == before
    hv1.forget(WEB, soon())
    before = world.exact()
    hv1.forget(WEB, soon())
    assert world.exact() == before


def test_forget_leaves_the_database_as_it_was(world: Hypervisors, hv1: Host) -> None:
    """Ports, leases and the holding: after it no row is left of the domain."""
    before = world.server.dump()
    hv1.attach(domain(interface(), interface(MACS[1], "blue"), interface(MACS[2], "tiny")), soon())
    assert world.server.dump() != before
    hv1.forget(WEB, soon())
    assert world.server.dump() == before


def test_a_failed_start_leaves_the_database_as_it_was(world: Hypervisors, hv1: Host) -> None:
    """What its run was given it gives back."""
    before = world.server.dump()
    wanted = domain(interface(), interface(MACS[1], "blue"))
    hv1.attach(wanted, soon())
    hv1.roll_back(wanted, soon())
    assert world.server.dump() == before


def test_a_failed_start_keeps_the_leases_of_earlier_ones(world: Hypervisors, hv1: Host) -> None:
    """Only the interface that is new in it loses its address."""
    hv1.attach(domain(interface()), soon())
    hv1.detach(domain(interface()), soon())
    before = world.server.dump()
    second = domain(interface(), interface(MACS[1]), run=2)
    hv1.attach(second, soon())
    hv1.roll_back(second, soon())
    assert world.server.dump() == before


def test_a_move_to_another_subnet(world: Hypervisors, hv1: Host) -> None:
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


def test_another_address(world: Hypervisors, hv1: Host) -> None:
    """The metadata's address takes the place of the lease, in the port too."""
    hv1.attach(domain(interface(address="10.0.0.50")), soon())
    hv1.attach(domain(interface(address="10.0.0.60")), soon())
    assert world.addresses == {MACS[0]: "10.0.0.60"}
    assert [str(lease.address) for lease in world.leases] == ["10.0.0.60"]


def test_interfaces_exchange_their_addresses(world: Hypervisors, hv1: Host) -> None:
    """What one interface of a domain leaves, another one of it may have in the same step."""
    hv1.attach(domain(interface(address="10.0.0.50"), interface(MACS[1], address="10.0.0.60")), soon())
    hv1.attach(domain(interface(address="10.0.0.60"), interface(MACS[1], address="10.0.0.50")), soon())
    assert world.addresses == {MACS[0]: "10.0.0.60", MACS[1]: "10.0.0.50"}
    assert {str(lease.address): lease.mac for lease in world.leases} == {"10.0.0.60": MACS[0], "10.0.0.50": MACS[1]}


def test_an_interface_gives_way_to_one_that_asks(world: Hypervisors, hv1: Host) -> None:
    """An address that one interface has just by lease goes to the one whose metadata names it; both have one."""
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    first = world.addresses[MACS[1]]
    hv1.attach(domain(interface(address=first), interface(MACS[1])), soon())
    assert world.addresses[MACS[0]] == first
    assert world.addresses[MACS[1]] != first
    assert {lease.mac: str(lease.address) for lease in world.leases} == world.addresses


def test_an_address_of_an_interface_that_comes_later(world: Hypervisors, hv1: Host) -> None:
    """What an interface holds that is not attached yet (a network's, in prepare) is taken, also within its domain."""
    both = domain(interface(), interface(MACS[1], address="10.0.0.50"))
    hv1.attach(both, soon())
    before = world.exact()
    with pytest.raises(AlreadyExists, match=r"address 10\.0\.0\.50"):
        hv1.attach(replace(both, interfaces=(interface(address="10.0.0.50"),)), soon())
    assert world.exact() == before


def test_a_lease_that_became_the_gateway(world: Hypervisors, hv1: Host) -> None:
    """After the subnet's gateway was set to the address of a stopped domain, the domain has another one."""
    hv1.attach(domain(interface(subnet="blue")), soon())
    hv1.detach(domain(interface()), soon())
    world.northbound.commit([UpdateSubnet(BLUE, replace(BLUE, gateway=world.leases[0].address))], soon())
    hv1.attach(domain(interface(subnet="blue")), soon())
    (port,) = world.ports
    assert port.addresses[0] != world.northbound.cloud(soon()).subnets[0].gateway
    assert [lease.address for lease in world.leases] == list(port.addresses)


def test_a_whole_subnet_for_one_domain(world: Hypervisors, hv1: Host) -> None:
    """Interfaces of one domain do not choose the same address, however few there are."""
    hv1.attach(domain(*(interface(mac, "tiny") for mac in MACS[:5])), soon())
    assert len(set(world.addresses.values())) == 5
    before = world.exact()
    with pytest.raises(Exhausted):
        hv1.attach(domain(*(interface(mac, "tiny") for mac in MACS[:6])), soon())
    assert world.exact() == before


@pytest.mark.parametrize("address", ["", "10.0.0.50"])
def test_a_changed_mac(world: Hypervisors, hv1: Host, address: str) -> None:
    """The old interface's lease goes with it, even when the new one is to have its address."""
    hv1.attach(domain(interface(address=address)), soon())
    hv1.detach(domain(interface(address=address)), soon())
    hv1.attach(domain(interface(MACS[1], address=address)), soon())
    (port,) = world.ports
    assert port.mac == MACS[1]
    assert [(lease.mac, lease.address) for lease in world.leases] == [(MACS[1], port.addresses[0])]
    hv1.forget(WEB, soon())
    assert world.leases == []


def test_an_interface_that_is_gone_takes_its_port_along(world: Hypervisors, hv1: Host) -> None:
    """Its address is free again, so no port may go on to have it; the domain is attached again without it here."""
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    hv1.attach(domain(interface()), soon())
    assert [port.mac for port in world.ports] == [lease.mac for lease in world.leases] == [MACS[0]]


def test_a_changed_interfaceid(world: Hypervisors, hv1: Host) -> None:
    """The port takes the name that libvirt puts on the tap now, and keeps its row and its address."""
    hv1.attach(domain(interface(id="old")), soon())
    (before,) = world.ports
    hv1.attach(domain(interface(id="new")), soon())
    (after,) = world.ports
    assert after == replace(before, id="new")


def test_a_takeover_and_the_guarded_release(world: Hypervisors, hv1: Host, hv2: Host) -> None:
    """The port goes to the host that starts the domain; what the first host does later changes nothing."""
    wanted = domain(interface(subnet="blue"))
    hv1.attach(wanted, soon())
    (before,) = world.ports
    hv2.attach(replace(wanted, id=9), soon())
    (after,) = world.ports
    assert after == replace(before, host="hv2")
    assert world.server.dump()["Logical_Switch_Port"][str(after.uuid)]["options"][1] == [["requested-chassis", "hv2"]]
    rows = world.exact()
    hv1.detach(wanted, soon())
    hv1.forget(WEB, soon())
    hv1.roll_back(wanted, soon())
    assert world.exact() == rows
    hv2.detach(wanted, soon())
    assert world.ports == []


def test_healing_takes_nothing_over(world: Hypervisors, hv1: Host, hv2: Host) -> None:
    """A host that finds a port missing does not take it from the host where the domain went."""
    hv1.attach(domain(interface()), soon())
    rows = world.exact()
    hv2.attach(domain(interface()), soon(), running=True)
    assert world.exact() == rows
    hv1.detach(domain(interface()), soon())
    hv2.attach(domain(interface()), soon(), running=True)
    assert [port.host for port in world.ports] == ["hv2"]


def test_a_copied_interfaceid_is_refused(world: Hypervisors, hv1: Host, hv2: Host) -> None:
    """virt-clone copies it: the domain that has the port keeps it, the clone is told whose it is and what to do."""
    hv1.attach(domain(interface(id="if-1")), soon())
    before = world.exact()
    clone = domain(interface(MACS[1], id="if-1"), uuid=MAIL, name="clone")
    with pytest.raises(AlreadyExists) as caught:
        hv2.attach(clone, soon())
    assert caught.value.message.startswith(f"domain clone: interface {MACS[1]}: ")
    assert "if-1" in caught.value.message
    assert "domain web1 on hv1" in caught.value.message
    assert "virsh edit clone" in caught.value.hint
    assert world.exact() == before


def test_a_foreign_ports_name_is_refused(world: Hypervisors, hv1: Host) -> None:
    """An administrator's port of that name is not taken over."""
    world.server.transact(*_foreign_switch("theirs", "if-1"))
    before = world.exact()
    with pytest.raises(AlreadyExists, match="if-1 belongs to a port that is not ovnhook's"):
        hv1.attach(domain(interface(id="if-1")), soon())
    assert world.exact() == before


def test_two_interfaces_with_one_interfaceid(world: Hypervisors, hv1: Host) -> None:
    """Within one domain as well: one port can't have both."""
    before = world.exact()
    with pytest.raises(AlreadyExists, match="same"):
        hv1.attach(domain(interface(id="same"), interface(MACS[1], id="same")), soon())
    assert world.exact() == before


REFUSED: dict[str, tuple[Domain, type[OvnhookError], str]] = {
    "taken": (
        domain(interface(subnet="blue", address="10.1.0.20")),
        AlreadyExists,
        f"address 10.1.0.20 of subnet blue is leased to domain mail ({MACS[7]})",
    ),
    "taken-by-a-twin": (
        domain(interface(MACS[7], "blue", "10.1.0.20")),
        AlreadyExists,
        f"address 10.1.0.20 of subnet blue is leased to domain mail ({MACS[7]})",
    ),
    "given-twice": (
        domain(interface(), interface(MACS[1], address="10.0.0.9"), interface(MACS[2], address="10.0.0.9")),
        AlreadyExists,
        f"interface {MACS[2]}: address 10.0.0.9",
    ),
    "outside": (domain(interface(subnet="blue", address="10.9.0.1")), InvalidRequest, "10.9.0.1"),
    "gateway": (domain(interface(subnet="blue", address="10.1.0.1")), InvalidRequest, "10.1.0.1 is the gateway"),
    "broadcast": (domain(interface(address="10.0.0.255")), InvalidRequest, "10.0.0.255"),
    "family": (domain(interface(address="fd00::1")), InvalidRequest, "fd00::1"),
    "mtu": (domain(replace(interface(), mtu=1500)), InvalidRequest, "<mtu size='1500'/> is more than the 1442 bytes"),
    "no-such-subnet": (domain(interface(), interface(MACS[1], "red")), NotFound, "there is no subnet 'red'"),
}


@pytest.mark.parametrize(("wanted", "error", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused(
    world: Hypervisors, hv1: Host, wanted: Domain, error: type[OvnhookError], said: str
) -> None:
    """With domain, interface and value; and of the domain's other interfaces nothing is left behind."""
    hv1.attach(domain(interface(MACS[7], "blue", "10.1.0.20"), uuid=MAIL, name="mail"), soon())
    before = world.exact()
    with pytest.raises(error) as caught:
        hv1.attach(wanted, soon())
    assert caught.value.message.startswith("domain web1: interface 52:54:00:")
    assert said in caught.value.message
    assert world.exact() == before


def test_no_default_subnet(northbound: Server, make_host: Callable[[str], Server]) -> None:
    """An empty cloud: the message says that a subnet is wanted, and how to make one."""
    hv1 = Host(Config(northbound=northbound.remote, vswitch=make_host("hv1").remote))
    with pytest.raises(NotFound, match="no default subnet") as caught:
        hv1.attach(domain(interface()), soon())
    assert "--default" in caught.value.hint
    assert all(rows == {} for rows in northbound.dump().values())


def test_a_full_subnet_is_told(world: Hypervisors, hv1: Host) -> None:
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
    hv1.forget(UUID(int=3), soon())
    hv1.attach(domain(interface(MACS[7], "tiny")), soon())
    assert world.addresses[MACS[7]] == free


def test_the_last_address_of_a_range(world: Hypervisors, hv1: Host) -> None:
    """With ranges only those are given, to the last one; what is asked for may be beside them."""
    ranges = (Range(IPAddress("10.3.0.1"), IPAddress("10.3.0.2")), Range(IPAddress("10.3.0.9"), IPAddress("10.3.0.9")))
    subnet = Subnet("ranged", IPNetwork("10.3.0.0/24"), IPAddress("10.3.0.1"), ranges=ranges)
    world.northbound.commit([AddSubnet(subnet)], soon())
    hv1.attach(domain(interface(MACS[0], "ranged"), interface(MACS[1], "ranged")), soon())
    assert sorted(world.addresses.values()) == ["10.3.0.2", "10.3.0.9"]
    more = domain(interface(MACS[2], "ranged"), uuid=MAIL, name="mail")
    with pytest.raises(Exhausted, match="all 2 addresses"):
        hv1.attach(more, soon())
    hv1.attach(domain(interface(MACS[2], "ranged", "10.3.0.77"), uuid=MAIL, name="mail"), soon())
    assert world.addresses[MACS[2]] == "10.3.0.77"


def test_foreign_rows_are_left_alone(world: Hypervisors, hv1: Host, hv2: Host) -> None:
    """A whole life of a domain changes no row of anybody else's, not even its version."""
    world.server.transact(
        *_foreign_switch("theirs", "their-port"),
        *_foreign_switch("blue", "another-port"),
        {"op": "insert", "table": "DHCP_Options", "row": {"cidr": "10.1.0.0/24"}},
        {"op": "insert", "table": "DNS", "row": {"records": ["map", [["web1", "10.1.0.20"]]]}},
    )
    hv1.attach(domain(interface(MACS[7], "blue"), uuid=MAIL, name="mail"), soon())
    before = world.exact()
    wanted = domain(interface(id="if-1", tap="vnet0"), interface(MACS[1], "blue", tap="vnet1"))
    hv1.attach(wanted, soon())
    hv2.attach(wanted, soon())
    hv1.detach(wanted, soon())
    hv2.attach(domain(interface(subnet="blue")), soon())
    hv2.detach(domain(interface(subnet="blue")), soon())
    hv2.forget(WEB, soon())
    after = world.exact()
    # Ports and names went into these, and out again.
    for table, derive in (("Logical_Switch", uuids.switch), ("DNS", uuids.names)):
        for uuid in (str(derive(subnet.name)) for subnet in (DEFAULT, BLUE)):
            version = after[table][uuid].pop("_version")
            assert before[table][uuid].pop("_version") != version
    assert after == before


def test_an_addition_by_others_to_our_port_stays(world: Hypervisors, hv1: Host) -> None:
    """Keys that others put into shared columns outlive a change of the port."""
    hv1.attach(domain(interface()), soon())
    world.server.transact(
        {
            "op": "mutate",
            "table": "Logical_Switch_Port",
            "where": [],
            "mutations": [
                ["options", "insert", ["map", [["qos_max_rate", "1000"]]]],
                ["external_ids", "insert", ["map", [["theirs", "yes"]]]],
            ],
        }
    )
    hv1.attach(domain(interface(subnet="blue")), soon())
    (port,) = world.server.dump()["Logical_Switch_Port"].values()
    assert ["qos_max_rate", "1000"] in port["options"][1]
    assert ["theirs", "yes"] in port["external_ids"][1]


def test_a_subnet_that_is_in_use_is_not_removed(world: Hypervisors, hv1: Host) -> None:
    """A lease is a use; without one it goes, with its DHCP options."""
    hv1.attach(domain(interface(subnet="blue")), soon())
    hv1.detach(domain(interface()), soon())
    before = world.exact()
    with pytest.raises(Conflict):
        world.northbound.commit([RemoveSubnet(BLUE)], soon())
    assert world.exact() == before
    hv1.forget(WEB, soon())
    world.northbound.commit([RemoveSubnet(BLUE)], soon())
    rows = world.server.dump()
    assert str(BLUE.uuid) not in rows["Logical_Switch"]
    assert str(uuids.dhcp_options("blue")) not in rows["DHCP_Options"]


class Overtaken(Northbound):
    """A northbound database in which somebody else does something between our reading and our first writing.

    Args:
        remotes: where it is.
        action: what the somebody does.
    """

    def __init__(self, remotes: str, action: Callable[[], object]) -> None:
        super().__init__(remotes)
        self._actions = [action]

    def commit(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Let the other one go first, once."""
        while self._actions:
            self._actions.pop()()
        super().commit(changes, deadline)


def test_a_subnet_that_is_deleted_meanwhile(world: Hypervisors, hv1: Host) -> None:
    """It was there when it was looked up, and is not when the port is made: there is no such subnet, and no row."""
    hv1.attachment.northbound = Overtaken(
        world.server.remote, lambda: world.northbound.commit([RemoveSubnet(BLUE)], soon())
    )
    with pytest.raises(NotFound, match="there is no subnet 'blue'"):
        hv1.attach(domain(interface(), interface(MACS[1], "blue")), soon())
    rows = world.server.dump()
    assert (world.leases, world.ports, world.northbound.holdings(soon())) == ([], [], [])
    assert str(BLUE.uuid) not in rows["Logical_Switch"]


def test_a_subnet_that_is_attached_to_meanwhile(world: Hypervisors, hv1: Host) -> None:
    """The other way round: the subnet was free when it was looked up, and stays, with its port."""
    overtaken = Overtaken(world.server.remote, lambda: hv1.attach(domain(interface(subnet="blue")), soon()))
    with pytest.raises(Conflict):
        overtaken.commit([RemoveSubnet(BLUE)], soon())
    assert [port.subnet for port in world.ports] == [lease.subnet for lease in world.leases] == ["blue"]


def test_a_subnet_that_is_changed_meanwhile(world: Hypervisors, hv1: Host) -> None:
    """A domain is never put onto a subnet that is not what was read: here it is made anew, with other addresses."""
    anew = replace(BLUE, cidr=IPNetwork("10.8.0.0/28"), gateway=IPAddress("10.8.0.1"))
    change = partial(world.northbound.commit, [UpdateSubnet(BLUE, anew)], soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, change)
    hv1.attach(domain(interface(subnet="blue")), soon())
    (port,) = world.ports
    assert port.addresses[0] in anew.cidr


def test_an_address_that_is_taken_meanwhile(world: Hypervisors, hv1: Host, hv2: Host) -> None:
    """Where any will do, the next one is given; where it was asked for, the start is refused."""
    hv1.attach(domain(interface()), soon())
    first = world.addresses[MACS[0]]
    hv1.forget(WEB, soon())
    mail = domain(interface(MACS[7], address=first), uuid=MAIL, name="mail")
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(mail, soon()))
    hv1.attach(domain(interface()), soon())
    assert world.addresses[MACS[7]] == first
    assert world.addresses[MACS[0]] != first
    hv2.forget(MAIL, soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(mail, soon()))
    with pytest.raises(AlreadyExists, match=f"address {first} of subnet default is leased to domain mail"):
        hv1.attach(domain(interface(address=first)), soon())


def test_a_domain_that_is_taken_over_meanwhile(world: Hypervisors, hv1: Host, hv2: Host) -> None:
    """The release of the host that it left finds another owner at the last moment, and changes nothing."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(wanted, soon()))
    hv1.detach(wanted, soon())
    assert [port.host for port in world.ports] == ["hv2"]


def test_a_lease_that_is_released_meanwhile(world: Hypervisors, hv1: Host) -> None:
    """An operator drops it while the domain starts: it has one in the end."""
    hv1.attach(domain(interface()), soon())
    hv1.detach(domain(interface()), soon())
    observed = world.northbound.observe_held(WEB, MACS[:1], soon())
    drop = partial(world.northbound.commit, plan.give_back(world.leases[0], observed), soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, drop)
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    assert {lease.mac: str(lease.address) for lease in world.leases} == world.addresses
    assert set(world.addresses) == {MACS[0], MACS[1]}


STALE_LEASE = Lease("blue", IPAddress("10.1.0.20"), WEB, "web1", MACS[5], "web1", "hv1", "hv1/1")
STALE_PORT = Port("if-1", "blue", MACS[0], (IPAddress("10.1.0.20"),), WEB, "web1", "hv9")
STALE_HOLDING = Holding(WEB, "web1", "hv9", ((MACS[0], "blue", IPAddress("10.1.0.20")),))
STALE: dict[str, Change] = {
    "need-subnet": NeedSubnet(replace(BLUE, mtu=9000)),
    "need-lease": NeedLease(STALE_LEASE),
    "update-lease": UpdateLease(STALE_LEASE, replace(STALE_LEASE, hostname="other")),
    "drop-lease": DropLease(STALE_LEASE),
    "update-port": UpdatePort(STALE_PORT, replace(STALE_PORT, host="hv8")),
    "remove-port": RemovePort(STALE_PORT),
    "set-holding": SetHolding(STALE_HOLDING, replace(STALE_HOLDING, leases=())),
    "set-holding-anew": SetHolding(None, STALE_HOLDING),
    "drop-holding": DropHolding(STALE_HOLDING),
    "set-registry": SetRegistry(Registry(7, "default"), Registry(8, "blue")),
    "set-registry-anew": SetRegistry(None, Registry(1, "blue")),
    "add-lease": AddLease(replace(STALE_LEASE, domain=MAIL)),
    "add-port": AddPort(replace(STALE_PORT, id="another")),
    "add-subnet": AddSubnet(replace(BLUE, mtu=9000)),
    "update-subnet": UpdateSubnet(replace(BLUE, mtu=9000), BLUE),
    "remove-subnet": RemoveSubnet(replace(TINY, mtu=9000)),
}


@pytest.mark.parametrize("change", STALE.values(), ids=STALE.keys())
def test_a_change_of_what_is_not_so_any_more(world: Hypervisors, hv1: Host, change: Change) -> None:
    """Each kind of change is guarded: where the rows are others than it was planned on, nothing is written at all."""
    hv1.attach(domain(interface(subnet="blue", address="10.1.0.20", id="if-1")), soon())
    before = world.exact()
    with pytest.raises(Conflict):
        world.northbound.commit([change, AddSubnet(replace(BLUE, name="beside"))], soon())
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
        world.northbound.commit([RemoveSubnet(BLUE)], soon())
    assert world.exact() == before


def test_taps_that_libvirt_binds_are_left_to_it(world: Hypervisors, hv1: Host) -> None:
    """A bridge's interface with an id of its own is libvirt's to plug: it is marked, once, and while it runs mended."""
    vswitch = world.vswitches["hv1"]
    before = vswitch.dump(versions=True)
    wanted = domain(interface(id="if-1", tap="vnet0"))
    hv1.attach(wanted, soon())
    assert vswitch.dump(versions=True) == before
    hv1.attach(wanted, soon(), running=True)
    assert hv1.vswitch.taps(soon()) == {"vnet0": Tap("if-1", str(WEB), MACS[0], ours=True)}
    rows = vswitch.dump(versions=True)
    hv1.attach(wanted, soon())
    assert vswitch.dump(versions=True) == rows


@pytest.mark.parametrize("end", [Host.detach, Host.roll_back])
def test_a_tap_that_libvirt_gave_up_goes_when_its_domain_does(
    world: Hypervisors, hv1: Host, end: Callable[[Host, Domain, Deadline], None]
) -> None:
    """It waits 5 seconds for Open vSwitch, and leaves what it asked for behind; another domain's stays."""
    vswitch = world.vswitches["hv1"]
    bridged = vswitch.dump()
    _plug_as_libvirt(vswitch, "vnet0", "if-0")
    _plug_as_libvirt(vswitch, "vnet1", "if-1", MAIL)
    end(hv1, domain(interface(id="if-1")), soon())
    assert hv1.vswitch.taps(soon()).keys() == {"vnet1"}
    end(hv1, replace(domain(interface(id="if-1")), uuid=MAIL), soon())
    assert vswitch.dump() == bridged


def test_taps_that_somebody_else_binds_at_the_same_time(
    world: Hypervisors, hv1: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a hook does that has given up waiting for its agent, which works on: again and again, and neither fails."""
    other = world.host("hv1").vswitch
    binding = Binding("vnet0", "if-1", MACS[0], WEB)
    transact = hv1.vswitch.database.transact
    raced: list[Any] = []

    def race(operations: Sequence[Any], deadline: Deadline) -> Any:
        if len(raced) < 3 and any(operation["op"] == "insert" for operation in operations):
            raced.append(operations)
            other.bind([binding], deadline)
            try:
                return transact(operations, deadline)
            finally:
                other.unbind(WEB, deadline)
        return transact(operations, deadline)

    monkeypatch.setattr(hv1.vswitch.database, "transact", race)
    hv1.vswitch.bind([binding], soon())
    assert len(raced) == 3
    assert hv1.vswitch.taps(soon()).keys() == {"vnet0"}


def test_a_tap_of_type_ethernet_is_plugged_and_unplugged(world: Hypervisors, hv1: Host) -> None:
    """libvirt attaches it to nothing: we make its port on the bridge, and take it away again."""
    vswitch = world.vswitches["hv1"]
    before = vswitch.dump()
    wanted = domain(replace(interface(tap="vnet-7.1"), kind=InterfaceType.ETHERNET))
    hv1.attach(wanted, soon())
    rows = vswitch.dump()
    (tap,) = (row for row in rows["Interface"].values() if row["name"] == "vnet-7.1")
    ids = dict(tap["external_ids"][1])
    assert (ids["iface-id"], ids["attached-mac"], ids["vm-id"]) == (world.ports[0].id, MACS[0], str(WEB))
    (port,) = (row for row in rows["Port"].values() if row["name"] == "vnet-7.1")
    (bridge,) = rows["Bridge"].values()
    assert port["_uuid"] in bridge["ports"][1]
    assert ["transient", "true"] in port["other_config"][1]
    hv1.detach(wanted, soon())
    assert vswitch.dump() == before


@pytest.mark.parametrize("kind", [InterfaceType.NETWORK, InterfaceType.BRIDGE])
def test_a_tap_with_an_id_of_libvirts_making_gets_ours(world: Hypervisors, hv1: Host, kind: InterfaceType) -> None:
    """A network's interface has a new id at each start: the tap is told our port's name."""
    vswitch = world.vswitches["hv1"]
    _plug_as_libvirt(vswitch, "vnet0", "made-up")
    wanted = domain(replace(interface(tap="vnet0"), kind=kind))
    hv1.attach(wanted, soon())
    (tap,) = (row for row in vswitch.dump()["Interface"].values() if row["name"] == "vnet0")
    assert dict(tap["external_ids"][1])["iface-id"] == world.ports[0].id


def test_the_two_databases_fail_on_their_own(world: Hypervisors, hv1: Host) -> None:
    """With Open vSwitch away once it has said who we are, a detach tells it and still removes the port."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    world.vswitches["hv1"].stop()
    with pytest.raises(Unavailable, match="Open_vSwitch"):
        hv1.detach(wanted, soon())
    assert world.ports == []


@pytest.mark.parametrize("verb", ["attach", "detach", "roll_back", "forget"])
def test_a_frozen_database_ends_every_verb_by_its_deadline(world: Hypervisors, hv1: Host, verb: str) -> None:
    """None hangs, and afterwards the same call does what it is for."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    subject = {"attach": domain(interface(subnet="blue")), "forget": WEB}.get(verb, wanted)
    world.server.pause()
    guard = Deadline.after(HANG)
    with pytest.raises(Unavailable):
        getattr(hv1, verb)(subject, Deadline.after(0.2))
    assert guard.remaining
    world.server.resume()
    getattr(hv1, verb)(subject, soon())
    assert [port.subnet for port in world.ports] == (["blue"] if verb == "attach" else [])


def test_a_host_without_a_name_cannot_attach(world: Hypervisors, hv1: Host) -> None:
    """Without a system-id nothing could be bound; the hint says how to set one."""
    server = world.vswitches["hv1"]
    server.transact({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"external_ids": ["map", []]}})
    with pytest.raises(Unavailable, match="system-id") as caught:
        hv1.attach(domain(interface()), soon())
    assert "ovs-vsctl" in caught.value.hint
    assert world.ports == []


def _foreign_switch(name: str, port: str) -> Iterable[dict[str, object]]:
    """Somebody else's switch with a port."""
    tag = f"p{uuid4().hex}"
    yield {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": tag, "row": {"name": port}}
    yield {"op": "insert", "table": "Logical_Switch", "row": {"name": name, "ports": ["named-uuid", tag]}}


def _plug_as_libvirt(vswitch: Server, device: str, iface_id: str, owner: UUID = WEB) -> None:
    """What libvirt's ovs-vsctl leaves before the start hook."""
    ids = ["map", [["iface-id", iface_id], ["iface-status", "active"], ["vm-id", str(owner)]]]
    interface_row = {"name": device, "external_ids": ids}
    port_row = {"name": device, "interfaces": ["named-uuid", "i"]}
    join = ["ports", "insert", ["set", [["named-uuid", "p"]]]]
    vswitch.transact(
        {"op": "insert", "table": "Interface", "uuid-name": "i", "row": interface_row},
        {"op": "insert", "table": "Port", "uuid-name": "p", "row": port_row},
        {"op": "mutate", "table": "Bridge", "where": [["name", "==", "br-int"]], "mutations": [join]},
    )


def test_a_host_that_gets_another_name(world: Hypervisors, hv1: Host) -> None:
    """Debian gives it a random one, and whoever sets it up a better one: the agent runs by then."""
    hv1.attach(domain(interface()), soon())
    hv1.detach(domain(interface()), soon())
    vsctl = ["ovs-vsctl", "--no-wait", f"--db={world.vswitches['hv1'].remote}"]
    run(*vsctl, "set", "Open_vSwitch", ".", "external_ids:system-id=renamed")
    hv1.attach(domain(interface()), soon())
    assert [port.host for port in world.ports] == ["renamed"]


def test_another_default_subnet(world: Hypervisors, hv1: Host) -> None:
    """Who named no subnet keeps the address that it has, running or not; who is new goes to the new one."""
    hv1.attach(domain(interface()), soon())
    before = world.addresses
    move = SetRegistry(Registry(1, "default"), Registry(2, "blue"))
    world.northbound.commit([move], soon())
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    assert world.addresses[MACS[0]] == before[MACS[0]]
    assert world.addresses[MACS[1]].startswith("10.1.0.")
    hv1.detach(domain(interface()), soon())
    hv1.attach(domain(interface(), run=2), soon())
    assert world.addresses[MACS[0]] == before[MACS[0]]


def test_a_subnet_that_is_named_no_more(world: Hypervisors, hv1: Host) -> None:
    """The interface goes to the default one."""
    hv1.attach(domain(interface(subnet="blue")), soon())
    hv1.attach(domain(interface(), run=2), soon())
    assert world.addresses[MACS[0]].startswith("10.0.0.")


def test_another_domains_own_subnet(world: Hypervisors, hv1: Host) -> None:
    """Nobody gets into it by its name."""
    own = Subnet(isolated_subnet(MAIL), IPNetwork("10.224.0.0/28"), IPAddress("10.224.0.1"), isolated=True)
    world.northbound.commit([AddSubnet(own)], soon())
    with pytest.raises(InvalidRequest, match="is another domain's own"):
        hv1.attach(domain(interface(subnet=own.name)), soon())


def test_a_start_reads_as_much_however_many_ports_there_are(world: Hypervisors, hv1: Host) -> None:
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
        hv1.forget(WEB, soon())
        return told

    alone = read()
    for number in range(100):
        mac = f"52:54:00:00:01:{number:02x}"
        hv1.attach(domain(interface(mac), uuid=UUID(int=number + 1), name=f"other{number}"), soon())
    a_lease = json.dumps({"_uuid": ["uuid", str(WEB)]})
    assert read() <= alone + len(address.WINDOWS) * address.WINDOWS[0] * len(a_lease)
