"""Host names that are derived from a domain's name never keep it off, and follow the domain when it is renamed."""

from __future__ import annotations

import logging
from dataclasses import replace
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import AlreadyExists
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.kind import Put
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.values import DnsRecords, Subnet
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import MACS, WEB, Hypervisors, attach, differing, soon

LAB = Subnet("lab", IPNetwork("10.6.0.0/24"), IPAddress("10.6.0.1"), dns_domain="lab.example")


def unnamed(name: str, number: int = 1, subnet: str = "default", hostname: str = "") -> Domain:
    """A domain that asks for no host name."""
    mac = MACS[number]
    one = Interface(mac, InterfaceType.BRIDGE, InterfaceRequest(subnet, hostname=hostname), device=f"vnet{number}")
    return Domain(UUID(int=number << 96), name, 1, (one,), (mac,))


def hostnames(world: Hypervisors) -> dict[str, str]:
    """The host name of each domain that has a lease."""
    return {lease.domain_name: lease.hostname for lease in world.leases}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("web1.lab.example", "web1"),
        ("Web1.LAB.example", "web1"),
        ("web_1.lab.example", "web-1"),
        ("web1", "web1"),
        ("web1.other.example", "web1-other-example"),
        ("a.b.lab.example", "a-b-lab-example"),
        ("xlab.example", "xlab-example"),
        ("lab.example", "lab-example"),
        ("--.lab.example", "vm-00000001"),
        ("---", "vm-00000001"),
        ("データ", "vm-00000001"),
        ("x" * 180, "x" * 63),
    ],
)
def test_the_name_that_is_derived(world: Hypervisors, hv1: DirectHost, name: str, label: str) -> None:
    """The first label where the rest is the subnet's DNS domain, else the whole made into a label."""
    world.northbound.commit([Put(SUBNET, None, LAB)], soon())
    hv1.attach(unnamed(name, subnet="lab"), soon())
    assert hostnames(world) == {name: label}
    records = world.northbound.dns_records("lab", soon())
    assert {label, f"{label}.lab.example"} <= records.keys()
    assert differing(world, hv1, unnamed(name, subnet="lab")) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [("debian12", "debian12"), ("web-1", "web_1"), ("Übung", "übung"), ("y" * 80, "y" * 90)],
)
def test_a_derived_name_that_is_taken(
    world: Hypervisors, hv1: DirectHost, hv2: DirectHost, caplog: pytest.LogCaptureFixture, first: str, second: str
) -> None:
    """The second domain starts with a name of its own, the log says why, and it keeps that name."""
    hv1.attach(unnamed(first, 1), soon())
    with caplog.at_level(logging.WARNING):
        hv2.attach(unnamed(second, 2), soon())
    one, two = (lease.hostname for lease in sorted(world.leases, key=lambda lease: lease.mac))
    assert one != two
    assert two == dns.default_hostnames(second, unnamed(second, 2).uuid, "")[1]
    assert len(two) <= 63
    assert {one, two} <= world.northbound.dns_records("default", soon()).keys()
    (said,) = [record.getMessage() for record in caplog.records if "host name" in record.getMessage()]
    assert f"host name '{one}' of subnet default is that of domain {first} on hv1" in said
    hv1.detach(unnamed(first, 1), soon())
    hv1.release_leases(unnamed(first, 1).uuid, soon())
    hv2.attach(unnamed(second, 2), soon())
    assert hostnames(world) == {second: two}
    assert differing(world, hv1, unnamed(first, 1))  # it is not attached any more


def test_many_of_one_name(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """As many as there are, with several interfaces each."""
    for number in range(1, 7):
        (hv1 if number % 2 else hv2).attach(unnamed("debian12", number), soon())
    assert len({lease.hostname for lease in world.leases}) == 6


def test_only_a_name_that_is_asked_for_refuses(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """It says which domain has it, and where; hot-plug likewise."""
    hv1.attach(unnamed("web1", 1), soon())
    asking = unnamed("other", 2, hostname="web1")
    with pytest.raises(AlreadyExists, match="host name 'web1' of subnet default is that of domain web1 on hv1"):
        hv2.attach(asking, soon())
    (refused,) = attach(hv2, asking).refused
    assert "is that of domain web1 on hv1" in str(refused)
    assert attach(hv2, unnamed("web1", 2)).refused == ()
    assert len({lease.hostname for lease in world.leases}) == 2


def test_a_name_whose_record_is_wrong(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Somebody has changed the record by hand: of a running domain it refuses the one interface that asks for it."""
    hv1.attach(unnamed("web1", 1), soon())
    right = world.northbound.dns_records("default", soon())["web1"]
    records = (DnsRecords("default", {"web1": value}) for value in (right, "10.0.0.77"))
    world.northbound.commit([Put(DNS_RECORDS, *records)], soon())
    both = Domain(
        *(WEB, "other", 1),
        (*unnamed("", 2, hostname="web1").interfaces, *unnamed("", 3).interfaces),
        (MACS[2], MACS[3]),
    )
    (refused,) = attach(hv2, both).refused
    assert "host name 'web1' of subnet default is that of domain web1 on hv1" in str(refused)
    assert {port.mac for port in world.ports} == {MACS[1], MACS[3]}


def test_two_interfaces_of_one_domain_share_the_name(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Also where it is not the preferred one."""
    hv2.attach(unnamed("web1", 1), soon())
    both = Domain(WEB, "web1", 1, (*unnamed("", 2).interfaces, *unnamed("", 3).interfaces), (MACS[2], MACS[3]))
    hv1.attach(both, soon())
    ours = {lease.hostname for lease in world.leases if lease.domain == WEB}
    assert ours == {f"web1-{WEB.hex[:4]}"}
    assert len(world.northbound.dns_records("default", soon())[ours.pop()].split()) == 2


def test_an_asked_name_that_is_taken_out_of_the_metadata(world: Hypervisors, hv1: DirectHost) -> None:
    """The derived one comes back, while the domain runs."""
    hv1.attach(unnamed("web1", 1, hostname="front"), soon())
    run = unnamed("web1", 1)
    assert differing(world, hv1, run) == ["its host name is front instead of one of the domain's name web1"]
    attach(hv1, run)
    assert hostnames(world) == {"web1": "web1"}
    assert differing(world, hv1, run) == []


@pytest.mark.parametrize("asked", ["", "front"])
def test_a_rename_is_followed(world: Hypervisors, hv1: DirectHost, asked: str) -> None:
    """While the domain is off, as libvirt has it: lease, holding and names; a name that was asked for stays."""
    hv1.attach(unnamed("web1", 1, hostname=asked), soon())
    hv1.detach(unnamed("web1", 1), soon())
    off = Domain(unnamed("", 1).uuid, "www", macs=(MACS[1],), hostnames=((MACS[1], asked),) if asked else ())
    hv1.update_leases(off, soon())
    assert hostnames(world) == {"www": asked or "www"}
    assert [held.domain_name for held in world.northbound.lease_indexes(soon())] == ["www"]
    assert ("web1" in world.northbound.dns_records("default", soon())) is False
    assert (asked or "www") in world.northbound.dns_records("default", soon())
    hv1.attach(unnamed("www", 1, hostname=asked), soon())
    assert [port.domain_name for port in world.ports] == ["www"]


def test_a_rename_to_a_name_that_is_taken(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """The other domain keeps it."""
    hv2.attach(unnamed("www", 2), soon())
    hv1.attach(unnamed("web1", 1), soon())
    hv1.detach(unnamed("web1", 1), soon())
    off = Domain(unnamed("", 1).uuid, "www", macs=(MACS[1],))
    hv1.update_leases(off, soon())
    assert {lease.hostname for lease in world.leases} == {"www", dns.default_hostnames("www", off.uuid, "")[1]}


@pytest.mark.parametrize("off", [True, False])
def test_a_floating_ip_follows(control: Control, *, off: bool) -> None:
    """By keep while the domain is off, or by its next start: list, filter and messages have the new name."""
    outside = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("router", "set", "gateway", *outside)
    web = control.attach("web1", "blue", "10.1.0.20")
    control.done("floating-ip", "create", "203.0.113.20", "web1")
    control.stop(web)
    host = DirectHost(control.config)
    if off:
        host.update_leases(replace(web, name="www", interfaces=()), soon())
    else:
        host.attach(replace(web, name="www"), soon())

    def listed(*filters: str) -> list[str]:
        found = control.done("floating-ip", "list", *filters, "--format", "json").json
        return [one["domain_name"] for one in found]

    assert listed() == listed("--domain", "www") == ["www"]
    assert listed("--domain", "web1") == []


def test_a_floating_ip_that_kept_an_old_name(control: Control) -> None:
    """A version before left it so: the next start writes the name that the domain has."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    outside = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
    control.done("router", "set", "gateway", *outside)
    web = control.attach("web1", "blue", "10.1.0.20")
    control.done("floating-ip", "create", "203.0.113.20", "web1")
    control.stop(web)
    old = ["map", [["ovnhook:domain-name", "old"]]]
    where = [["external_ip", "==", "203.0.113.20"]]
    mutations = [["external_ids", "delete", ["set", ["ovnhook:domain-name"]]], ["external_ids", "insert", old]]
    control.northbound.transact({"op": "mutate", "table": "NAT", "where": where, "mutations": mutations})
    control.attach("web1", "blue", "10.1.0.20")
    (one,) = control.done("floating-ip", "list", "--format", "json").json
    assert one["domain_name"] == "web1"
