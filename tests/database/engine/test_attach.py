"""The verbs of ovnhook.engine.attach on real databases, and every row that they leave, change or do not touch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import uuid4

import pytest

from lab.waiting import HANG
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.domains.values import Domain
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import (
    BLUE,
    DEFAULT,
    IDS,
    MACS,
    MAIL,
    WEB,
    Hypervisors,
    domain,
    interface,
    soon,
)
from tests.database.ovsdb_server import run


def test_attach_makes_a_port_with_all_that_it_needs(world: Hypervisors, hv1: DirectHost) -> None:
    """Name, MAC and address, port security, DHCP and the chassis: the rows as OVN reads them."""
    hv1.attach(domain(interface(subnet="blue", address="10.1.0.20", id=IDS[1])), soon())
    rows = world.server.dump()
    (port,) = rows["Logical_Switch_Port"].values()
    assert port["name"] == IDS[1]
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


def test_a_repeated_attach_writes_no_row(world: Hypervisors, hv1: DirectHost) -> None:
    """Not even with what was there: no row's version changes, so nobody else has work."""
    wanted = domain(interface(tap="vnet0"), interface(MACS[1], "blue", "10.1.0.20", id=IDS[2], tap="vnet1"))
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
        DirectHost(away).attach(domain(interface()), soon())
    DirectHost(away).attach(domain(), soon())


def test_detach_takes_the_port_and_leaves_the_lease(world: Hypervisors, hv1: DirectHost) -> None:
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


def test_detach_goes_by_what_is_stored(world: Hypervisors, hv1: DirectHost) -> None:
    """It takes away ports of interfaces that the XML does not have any more, and needs no subnet's name."""
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    hv1.detach(Domain(WEB, "web1"), soon())
    assert world.ports == []


def test_detach_and_forget_may_be_repeated(world: Hypervisors, hv1: DirectHost) -> None:
    """The second time there is nothing to do, and nothing is written; so too for a domain that never was."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    hv1.detach(wanted, soon())
    before = world.exact()
    hv1.detach(wanted, soon())
    hv1.release_leases(MAIL, soon())
    hv1.detach(domain(interface(MACS[3]), uuid=MAIL), soon())
    assert world.exact() == before
    hv1.release_leases(WEB, soon())
    before = world.exact()
    hv1.release_leases(WEB, soon())
    assert world.exact() == before


def test_forget_leaves_the_database_as_it_was(world: Hypervisors, hv1: DirectHost) -> None:
    """Ports, leases and the holding: after it no row is left of the domain."""
    before = world.server.dump()
    hv1.attach(domain(interface(), interface(MACS[1], "blue"), interface(MACS[2], "tiny")), soon())
    assert world.server.dump() != before
    hv1.release_leases(WEB, soon())
    assert world.server.dump() == before


def test_a_failed_start_leaves_the_database_as_it_was(world: Hypervisors, hv1: DirectHost) -> None:
    """What its run was given it gives back."""
    before = world.server.dump()
    wanted = domain(interface(), interface(MACS[1], "blue"))
    hv1.attach(wanted, soon())
    hv1.roll_back(wanted, soon())
    assert world.server.dump() == before


def test_a_failed_start_keeps_the_leases_of_earlier_ones(world: Hypervisors, hv1: DirectHost) -> None:
    """Only the interface that is new in it loses its address."""
    hv1.attach(domain(interface()), soon())
    hv1.detach(domain(interface()), soon())
    before = world.server.dump()
    second = domain(interface(), interface(MACS[1]), run=2)
    hv1.attach(second, soon())
    hv1.roll_back(second, soon())
    assert world.server.dump() == before


def test_an_interface_that_is_gone_takes_its_port_along(world: Hypervisors, hv1: DirectHost) -> None:
    """Its address is free again, so no port may go on to have it; the domain is attached again without it here."""
    hv1.attach(domain(interface(), interface(MACS[1])), soon())
    hv1.attach(domain(interface()), soon())
    assert [port.mac for port in world.ports] == [lease.mac for lease in world.leases] == [MACS[0]]


def test_a_changed_interfaceid(world: Hypervisors, hv1: DirectHost) -> None:
    """The port takes the name that libvirt puts on the tap now, and keeps its row and its address."""
    hv1.attach(domain(interface(id=IDS[1])), soon())
    (before,) = world.ports
    hv1.attach(domain(interface(id=IDS[2])), soon())
    (after,) = world.ports
    assert after == replace(before, id=IDS[2])


def test_a_takeover_and_the_guarded_release(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
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
    hv1.release_leases(WEB, soon())
    hv1.roll_back(wanted, soon())
    assert world.exact() == rows
    hv2.detach(wanted, soon())
    assert world.ports == []


def test_healing_takes_nothing_over(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """A host that finds a port missing does not take it from the host where the domain went."""
    hv1.attach(domain(interface()), soon())
    rows = world.exact()
    hv2.attach(domain(interface()), soon(), running=True)
    assert world.exact() == rows
    hv1.detach(domain(interface()), soon())
    hv2.attach(domain(interface()), soon(), running=True)
    assert [port.host for port in world.ports] == ["hv2"]


def test_a_copied_interfaceid_is_refused(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """virt-clone copies it: the domain that has the port keeps it, the clone is told whose it is and what to do."""
    hv1.attach(domain(interface(id=IDS[1])), soon())
    before = world.exact()
    clone = domain(interface(MACS[1], id=IDS[1]), uuid=MAIL, name="clone")
    with pytest.raises(AlreadyExists) as caught:
        hv2.attach(clone, soon())
    assert caught.value.message.startswith(f"domain clone: interface {MACS[1]}: ")
    assert IDS[1] in caught.value.message
    assert "domain web1 on hv1" in caught.value.message
    assert "virsh edit clone" in caught.value.hint
    assert world.exact() == before


def test_a_foreign_ports_name_is_refused(world: Hypervisors, hv1: DirectHost) -> None:
    """An administrator's port of that name is not taken over."""
    world.server.transact(*_foreign_switch("theirs", IDS[1]))
    before = world.exact()
    with pytest.raises(AlreadyExists, match=f"{IDS[1]} belongs to a port that is not ovnhook's"):
        hv1.attach(domain(interface(id=IDS[1])), soon())
    assert world.exact() == before


def test_two_interfaces_with_one_interfaceid(world: Hypervisors, hv1: DirectHost) -> None:
    """Within one domain as well: one port can't have both."""
    before = world.exact()
    with pytest.raises(AlreadyExists, match=IDS[1]):
        hv1.attach(domain(interface(id=IDS[1]), interface(MACS[1], id=IDS[1])), soon())
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
    "mtu": (domain(replace(interface(), mtu=1500)), InvalidRequest, "<mtu size='1500'/> exceeds the MTU"),
    "no-such-subnet": (domain(interface(), interface(MACS[1], "red")), NotFound, "there is no subnet 'red'"),
}


@pytest.mark.parametrize(("wanted", "error", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused(
    world: Hypervisors, hv1: DirectHost, wanted: Domain, error: type[OvnhookError], said: str
) -> None:
    """With domain, interface and value; and of the domain's other interfaces nothing is left behind."""
    hv1.attach(domain(interface(MACS[7], "blue", "10.1.0.20"), uuid=MAIL, name="mail"), soon())
    before = world.exact()
    with pytest.raises(error) as caught:
        hv1.attach(wanted, soon())
    assert caught.value.message.startswith("domain web1: interface 52:54:00:")
    assert said in caught.value.message
    assert world.exact() == before


def test_foreign_rows_are_left_alone(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """A whole life of a domain changes no row of anybody else's, not even its version."""
    world.server.transact(
        *_foreign_switch("theirs", "their-port"),
        *_foreign_switch("blue", "another-port"),
        {"op": "insert", "table": "DHCP_Options", "row": {"cidr": "10.1.0.0/24"}},
        {"op": "insert", "table": "DNS", "row": {"records": ["map", [["web1", "10.1.0.20"]]]}},
    )
    hv1.attach(domain(interface(MACS[7], "blue"), uuid=MAIL, name="mail"), soon())
    before = world.exact()
    wanted = domain(interface(id=IDS[1], tap="vnet0"), interface(MACS[1], "blue", tap="vnet1"))
    hv1.attach(wanted, soon())
    hv2.attach(wanted, soon())
    hv1.detach(wanted, soon())
    hv2.attach(domain(interface(subnet="blue")), soon())
    hv2.detach(domain(interface(subnet="blue")), soon())
    hv2.release_leases(WEB, soon())
    after = world.exact()
    # Ports and names went into these, and out again.
    for table, derive in (("Logical_Switch", uuids.switch), ("DNS", uuids.dns_records)):
        for uuid in (str(derive(subnet.name)) for subnet in (DEFAULT, BLUE)):
            version = after[table][uuid].pop("_version")
            assert before[table][uuid].pop("_version") != version
    assert after == before


def test_an_addition_by_others_to_our_port_stays(world: Hypervisors, hv1: DirectHost) -> None:
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


def test_the_two_databases_fail_on_their_own(world: Hypervisors, hv1: DirectHost) -> None:
    """With Open vSwitch away once it has said who we are, a detach tells it and still removes the port."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    world.vswitches["hv1"].stop()
    with pytest.raises(Unavailable, match="Open_vSwitch"):
        hv1.detach(wanted, soon())
    assert world.ports == []


@pytest.mark.parametrize("verb", ["attach", "detach", "roll_back", "release_leases"])
def test_a_frozen_database_ends_every_verb_by_its_deadline(world: Hypervisors, hv1: DirectHost, verb: str) -> None:
    """None hangs, and afterwards the same call does what it is for."""
    wanted = domain(interface())
    hv1.attach(wanted, soon())
    subject = {"attach": domain(interface(subnet="blue")), "release_leases": WEB}.get(verb, wanted)
    world.server.pause()
    guard = Deadline.after(HANG)
    with pytest.raises(Unavailable):
        getattr(hv1, verb)(subject, Deadline.after(0.2))
    assert guard.remaining
    world.server.resume()
    getattr(hv1, verb)(subject, soon())
    assert [port.subnet for port in world.ports] == (["blue"] if verb == "attach" else [])


def test_a_host_without_a_name_cannot_attach(world: Hypervisors, hv1: DirectHost) -> None:
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


def test_a_host_that_gets_another_name(world: Hypervisors, hv1: DirectHost) -> None:
    """Debian gives it a random one, and whoever sets it up a better one: the agent runs by then."""
    hv1.attach(domain(interface()), soon())
    hv1.detach(domain(interface()), soon())
    vsctl = ["ovs-vsctl", "--no-wait", f"--db={world.vswitches['hv1'].remote}"]
    run(*vsctl, "set", "Open_vSwitch", ".", "external_ids:system-id=renamed")
    hv1.attach(domain(interface()), soon())
    assert [port.host for port in world.ports] == ["renamed"]
