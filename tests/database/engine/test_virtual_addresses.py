"""Virtual addresses: reserved while a domain names them, their ports, and who may not have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists, Conflict, InvalidRequest, OvnhookError
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import as_map, map_of, set_of
from ovnhook.resources.kind import Put
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.virtual_address.values import virtual_port_uuid
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import (
    MACS,
    MAIL,
    WEB,
    Hypervisors,
    Overtaken,
    attach,
    differing,
    domain,
    interface,
    soon,
)

VIP, OTHER, SIX = IPAddress("10.1.0.100"), IPAddress("10.1.0.101"), IPAddress("fd00:7::100")
DUAL = Subnet(
    "dual",
    IPNetwork("10.7.0.0/24"),
    IPAddress("10.7.0.1"),
    cidr6=IPNetwork("fd00:7::/64"),
    gateway6=IPAddress("fd00:7::1"),
)


def web(*virtual: IPAddress, address: str = "10.1.0.20", tap: str = "", subnet: str = "blue") -> Domain:
    """The first domain, which names virtual addresses."""
    one = interface(MACS[0], subnet, address, tap=tap)
    return domain(replace(one, request=replace(one.request, options=PortOptions(virtual=virtual))))


def mail(*virtual: IPAddress, address: str = "10.1.0.21", subnet: str = "blue") -> Domain:
    """The second domain, likewise."""
    one = interface(MACS[1], subnet, address)
    asking = replace(one, request=replace(one.request, options=PortOptions(virtual=virtual)))
    return domain(asking, uuid=MAIL, name="mail")


WEB_PORT, MAIL_PORT = str(uuids.port(WEB, MACS[0])), str(uuids.port(MAIL, MACS[1]))


def reserved(world: Hypervisors) -> dict[str, tuple[str, ...]]:
    """The virtual addresses, with the names of their domains."""
    return {str(one.address): one.domains for one in world.northbound.virtual_addresses(soon())}


def parents(world: Hypervisors, virtual: IPAddress = VIP, subnet: str = "blue") -> list[str] | None:
    """The virtual parents in OVN; None if there is no virtual port on the switch."""
    rows = world.server.dump()
    uuid = str(virtual_port_uuid(subnet, virtual))
    row: Any = rows["Logical_Switch_Port"].get(uuid)
    (switch,) = (one for one in rows["Logical_Switch"].values() if one["name"] == subnet)
    assert (["uuid", uuid] in set_of(switch["ports"])) is (row is not None)
    if row is None:
        return None
    options = map_of(row["options"])
    assert (row["type"], row["name"], options["virtual-ip"]) == ("virtual", f"virtual:{subnet}:{virtual}", str(virtual))
    return options["virtual-parents"].split(",")


def security(world: Hypervisors, port: str) -> str:
    """Port security of a port."""
    (entry,) = set_of(world.server.dump()["Logical_Switch_Port"][port]["port_security"])
    return str(entry)


def test_the_life_of_two_domains(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Ports follow start and stop; the reservation follows the definitions and goes with the last one."""
    hv1.attach(web(VIP), soon())
    assert (reserved(world), parents(world)) == ({"10.1.0.100": ("web1",)}, [WEB_PORT])
    assert security(world, WEB_PORT) == f"{MACS[0]} 10.1.0.20 10.1.0.100"
    before = world.exact()
    hv1.attach(web(VIP), soon())
    assert world.exact() == before
    hv2.attach(mail(VIP), soon())
    assert (reserved(world), parents(world)) == ({"10.1.0.100": ("mail", "web1")}, sorted([WEB_PORT, MAIL_PORT]))
    hv1.detach(web(VIP), soon())
    assert (reserved(world), parents(world)) == ({"10.1.0.100": ("mail", "web1")}, [MAIL_PORT])
    hv2.detach(mail(VIP), soon())
    assert (reserved(world), parents(world)) == ({"10.1.0.100": ("mail", "web1")}, None)
    hv1.attach(web(VIP), soon())
    assert parents(world) == [WEB_PORT]
    hv2.release_leases(MAIL, soon())
    assert reserved(world) == {"10.1.0.100": ("web1",)}
    hv1.detach(web(VIP), soon())
    hv1.release_leases(WEB, soon())
    assert (reserved(world), parents(world), world.leases) == ({}, None, [])


def test_metadata_that_changes(world: Hypervisors, hv1: DirectHost) -> None:
    """Of a domain that runs, at once; of one that is off, at its next start; each found by a scan before."""
    hv1.attach(web(VIP, tap="vnet0"), soon())
    for virtual in ((VIP, OTHER), (OTHER,), ()):
        wanted = web(*virtual, tap="vnet0")
        assert len(differing(world, hv1, wanted)) == 1
        attach(hv1, wanted)
        assert differing(world, hv1, wanted) == []
        assert [*reserved(world)] == [*map(str, virtual)]
        assert [parents(world, one) for one in (VIP, OTHER)] == [
            [WEB_PORT] if one in virtual else None for one in (VIP, OTHER)
        ]
    attach(hv1, web(VIP))
    hv1.detach(web(VIP), soon())
    hv1.attach(web(OTHER), soon())
    assert (reserved(world), parents(world), parents(world, OTHER)) == ({"10.1.0.101": ("web1",)}, None, [WEB_PORT])
    hv1.detach(web(OTHER), soon())
    hv1.attach(web(), soon())
    assert (reserved(world), parents(world, OTHER)) == ({}, None)


def test_an_interface_that_is_unplugged(world: Hypervisors, hv1: DirectHost) -> None:
    """It no longer may have the address; plugged in again it may."""
    second = replace(web(VIP).interfaces[0], mac=MACS[2])
    both = domain(interface(MACS[3], "blue"), second)
    hv1.attach(both, soon())
    attach(hv1, domain(both.interfaces[0]))
    assert (reserved(world), parents(world)) == ({}, None)
    attach(hv1, both)
    assert (reserved(world), parents(world)) == ({"10.1.0.100": ("web1",)}, [str(uuids.port(WEB, MACS[2]))])


def test_a_migration(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Nothing changes: the port stays the same."""
    hv1.attach(web(VIP), soon())
    rows = [str(uuids.lease("blue", str(VIP))), str(virtual_port_uuid("blue", VIP))]

    def exact() -> list[Any]:
        return [row for found in world.exact().values() for uuid, row in found.items() if uuid in rows]

    before = exact()
    hv2.announce(Domain(WEB, "web1"), soon())
    hv2.attach(web(VIP), soon())
    hv2.finish_migration(WEB, soon())
    hv1.detach(web(VIP), soon())
    assert exact() == before
    assert len(before) == 2
    assert [port.host for port in world.ports] == ["hv2"]


def test_a_start_that_fails(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """It leaves what was there before; a domain that is renamed while it is off has its new name."""
    hv2.attach(mail(VIP), soon())
    before = world.server.dump()
    hv1.attach(web(VIP), soon())
    hv1.roll_back(web(VIP), soon())
    assert world.server.dump() == before
    hv2.detach(mail(VIP), soon())
    hv2.update_leases(Domain(MAIL, "post", macs=(MACS[1],)), soon())
    assert reserved(world) == {"10.1.0.100": ("post",)}
    hv2.update_leases(Domain(MAIL, "post", macs=()), soon())
    assert reserved(world) == {}


def test_both_ip_versions(world: Hypervisors, hv1: DirectHost) -> None:
    """Each has a port; ND of the address is allowed."""
    world.northbound.commit([Put(SUBNET, None, DUAL)], soon())
    four = IPAddress("10.7.0.100")
    hv1.attach(web(four, SIX, address="10.7.0.20 fd00:7::20", subnet="dual"), soon())
    assert {*reserved(world)} == {str(four), str(SIX)}
    assert [parents(world, one, "dual") for one in (four, SIX)] == [[WEB_PORT]] * 2
    assert " fd00:7::100 " in security(world, WEB_PORT)
    assert {lease.address.version: lease.virtual for lease in world.leases} == {4: (four,), 6: (SIX,)}


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (
            web(IPAddress("10.1.0.21")),
            AlreadyExists,
            "virtual address 10.1.0.21 of subnet blue is leased to domain mail",
        ),
        (web(address="10.1.0.100"), AlreadyExists, "address 10.1.0.100 of subnet blue is a virtual address of mail"),
        (web(IPAddress("10.1.0.20")), InvalidRequest, "virtual address 10.1.0.20 is also the address of an interface"),
        (web(IPAddress("10.1.0.1")), InvalidRequest, "address 10.1.0.1 is the gateway of subnet blue"),
        (web(IPAddress("10.2.0.9")), InvalidRequest, "address 10.2.0.9 is not a host address of subnet blue"),
        (web(SIX), InvalidRequest, "address fd00:7::100: subnet blue has no IPv6"),
    ],
)
def test_what_is_refused(
    world: Hypervisors, hv1: DirectHost, wanted: Domain, error: type[OvnhookError], message: str
) -> None:
    """By one line with domain, interface and value; nothing is left of it."""
    hv1.attach(mail(VIP), soon())
    before = world.exact()
    with pytest.raises(error) as refused:
        hv1.attach(wanted, soon())
    assert refused.value.message.startswith(f"domain web1: interface {MACS[0]}: {message}")
    assert world.exact() == before


def test_addresses_of_one_domain(world: Hypervisors, hv1: DirectHost) -> None:
    """Two interfaces may share a virtual address, which none of them has itself."""
    first, second = web(VIP).interfaces[0], interface(MACS[1], "blue", str(VIP))
    for both in ((first, second), (second, first)):
        with pytest.raises(OvnhookError):
            hv1.attach(domain(*both), soon())
    assert world.leases == []
    hv1.attach(domain(first, replace(first, mac=MACS[1], request=replace(first.request, addresses=()))), soon())
    assert parents(world) == sorted(str(uuids.port(WEB, mac)) for mac in MACS[:2])


def test_a_full_subnet(world: Hypervisors, hv1: DirectHost) -> None:
    """A virtual address is never allocated, not even to the domain that names it first."""
    free = [IPAddress(f"10.2.0.{n}") for n in range(2, 7)]
    for number, virtual in enumerate(free):
        one = interface(MACS[0], "tiny")
        one = replace(one, request=replace(one.request, options=PortOptions(virtual=(virtual,))))
        hv1.attach(domain(one, uuid=UUID(int=number + 1), name=f"one{number}"), soon())
        rest = [interface(mac, "tiny") for mac in MACS[1:4]]
        hv1.attach(domain(*rest, uuid=UUID(int=100), name="rest"), soon())
        addresses = {address for port in world.ports for address in port.addresses}
        assert addresses == {*free} - {virtual}
        for uuid in (UUID(int=number + 1), UUID(int=100)):
            hv1.detach(Domain(uuid, "", macs=tuple(MACS)), soon())
            hv1.release_leases(uuid, soon())


RACES: dict[str, tuple[Callable[[DirectHost], object], dict[str, tuple[str, ...]]]] = {
    "another starts": (lambda host: host.attach(mail(VIP), soon()), {"10.1.0.100": ("mail", "web1")}),
    "an address is leased": (lambda host: host.attach(mail(address="10.1.0.100"), soon()), {}),
}


@pytest.mark.parametrize("race", RACES)
def test_starts_at_the_same_time(world: Hypervisors, hv1: DirectHost, hv2: DirectHost, race: str) -> None:
    """Neither is lost, and the address is never both leased and virtual."""
    other, wanted = RACES[race]
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: other(hv2))
    try:
        hv1.attach(web(VIP), soon())
    except AlreadyExists:
        assert wanted == {}
    assert reserved(world) == wanted
    leased = {lease.address for lease in world.leases}
    assert (VIP in leased) is (wanted == {})


def test_the_last_one_leaves_while_another_comes(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """The reservation stays for it."""
    hv1.attach(web(VIP), soon())
    hv1.detach(web(VIP), soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, lambda: hv2.attach(mail(VIP), soon()))
    hv1.release_leases(WEB, soon())
    assert (reserved(world), parents(world)) == ({"10.1.0.100": ("mail",)}, [MAIL_PORT])


def test_records_of_somebody_else(world: Hypervisors, hv1: DirectHost) -> None:
    """They do not block changes, and are kept."""
    hv1.attach(web(VIP), soon())
    row = {"op": "mutate", "table": "DNS", "where": [["_uuid", "==", ["uuid", str(uuids.lease("blue", str(VIP)))]]]}
    world.server.transact({**row, "mutations": [["records", "insert", as_map({"note": "keep"})]]})
    hv1.attach(mail(VIP), soon())
    (one,) = world.northbound.virtual_addresses(soon())
    assert (one.domains, one.others) == (("mail", "web1"), (("note", "keep"),))
    for uuid, each in ((WEB, web(VIP)), (MAIL, mail(VIP))):
        hv1.detach(each, soon())
        hv1.release_leases(uuid, soon())
    assert reserved(world) == {}


def test_a_subnet_with_a_virtual_address(world: Hypervisors, hv1: DirectHost) -> None:
    """It can't be deleted."""
    hv1.attach(web(VIP), soon())
    (blue,) = (one for one in world.northbound.cloud(soon()).of(Subnet) if one.name == "blue")
    with pytest.raises(Conflict):
        world.northbound.commit([Put(SUBNET, blue, None)], soon())
