"""Rows of domains that contradict each other: of one domain that is as it should be, with one thing changed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.diagnosis.consistency import Consistency
from ovnhook.diagnosis.inconsistencies import Inconsistency, Key
from ovnhook.resources.kind import Put
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.limits import Limits
from ovnhook.resources.port.kind import CLAIM
from ovnhook.resources.port.limits import port_limits
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.security_group.values import GroupMembers
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import DNS_RECORDS
from ovnhook.resources.subnet.values import DnsRecords, Subnet
from ovnhook.resources.virtual_address.values import Holder, VirtualAddress, VirtualPort

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
OTHER = UUID("7d1c2a35-86b4-4f10-b1a4-5f8a3c1be5d2")
MAC, SECOND = "52:54:00:00:00:01", "52:54:00:00:00:02"
ADDRESS, SIXTH, FREE = IPAddress("10.1.0.5"), IPAddress("fd00::5"), IPAddress("10.1.0.9")
BLUE = Subnet("blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"), dns_domain="example")
PORT = Port("if-1", "blue", MAC, (ADDRESS, SIXTH), WEB, "web1", "hv1")
LEASES = tuple(Lease("blue", one, WEB, "web1", MAC, "web1", "hv1", "hv1/1") for one in (ADDRESS, SIXTH))
INDEX = LeaseIndex(WEB, "web1", "hv1", ((MAC, "blue", ADDRESS), (MAC, "blue", SIXTH)))
RESERVED = Claim("blue", MAC, WEB)
RECORDS = dns.records(LEASES, "example")
SOUND = (BLUE, PORT, *LEASES, INDEX, RESERVED, DnsRecords("blue", RECORDS))


class Rows:
    """Rows of a database, by UUID, and what is found in them after each change."""

    def __init__(self, *values: Any) -> None:
        self.unreadable: set[str] = set()
        self.consistency = Consistency(self.unreadable)
        self.values: dict[UUID, Any] = {}
        self.put(*values)

    def put(self, *values: Any) -> None:
        """Write rows."""
        for value in values:
            self.consistency.apply(self.values.get(value.uuid), value)
            self.values[value.uuid] = value

    def delete(self, *values: Any) -> None:
        """Delete rows."""
        for value in values:
            self.consistency.apply(self.values.pop(value.uuid), None)

    def break_row(self, value: Any) -> None:
        """Make a row unreadable."""
        self.unreadable.add(str(value.uuid))
        self.delete(value)

    @property
    def found(self) -> dict[Key, Inconsistency]:
        """All that is found."""
        while self.consistency.recheck(3):
            pass
        return self.consistency.found

    @property
    def words(self) -> list[str]:
        """The same in words, sorted."""
        return sorted(map(str, self.found.values()))

    def repairs(self) -> list[Any]:
        """Changes that repair it."""
        keys, changes = self.consistency.repairs(self.found)
        assert keys == [*self.found]
        return [one for one in changes if isinstance(one, Put)]


@pytest.fixture
def rows() -> Rows:
    """A subnet with one domain, in any order."""
    values = [*SOUND]
    random.shuffle(values)
    found = Rows(*values)
    assert found.words == []
    assert found.repairs() == []
    return found


def test_a_domain_that_is_off(rows: Rows) -> None:
    """Has its leases and DNS records, and no port."""
    rows.delete(PORT, RESERVED)
    assert rows.words == []
    rows.delete(*LEASES, INDEX)
    assert len(rows.words) == len(RECORDS)
    rows.put(DnsRecords("blue", {}))
    assert rows.words == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"web1": None}, "domain web1: interface {mac}: DNS record web1 of subnet blue is missing"),
        ({"web1": ""}, "domain web1: interface {mac}: DNS record web1 of subnet blue is missing"),
        (
            {"web1": "10.1.0.5 fd00::5 10.1.0.9"},
            "domain web1: interface {mac}: DNS record web1 of subnet blue is 10.1.0.5 fd00::5 10.1.0.9, not {both}",
        ),
        (
            {"web1.example": "10.1.0.5"},
            "domain web1: interface {mac}: DNS record web1.example of subnet blue is 10.1.0.5, not {both}",
        ),
        ({"old": "10.1.0.5"}, "DNS record old of subnet blue is 10.1.0.5, but no lease has it"),
        ({"old": "nonsense"}, "DNS record old of subnet blue is nonsense, but no lease has it"),
        (
            {"9.0.1.10.in-addr.arpa": "nobody.example"},
            "DNS record 9.0.1.10.in-addr.arpa of subnet blue is nobody.example, but no lease has it",
        ),
        (
            {"5.0.1.10.in-addr.arpa": "nobody.example"},
            "domain web1: interface {mac}: DNS record 5.0.1.10.in-addr.arpa of subnet blue is nobody.example,"
            " not web1.example",
        ),
        ({"x.ip6.arpa": "web1"}, "DNS record x.ip6.arpa of subnet blue is web1, but no lease has it"),
        ({"x.in-addr.arpa": "web1"}, "DNS record x.in-addr.arpa of subnet blue is web1, but no lease has it"),
    ],
)
def test_dns_records(rows: Rows, changes: dict[str, str | None], what: str) -> None:
    """Missing ones, wrong ones, and those that no lease has."""
    wrong = {name: value for name, value in {**RECORDS, **changes}.items() if value is not None}
    rows.put(DnsRecords("blue", wrong))
    assert rows.words == [what.format(mac=MAC, both="10.1.0.5 fd00::5")]
    (put,) = rows.repairs()
    old, new = put.old.records, put.new.records
    assert put.kind is DNS_RECORDS
    assert old.items() <= wrong.items()
    assert {**{name: value for name, value in wrong.items() if name not in old}, **new} == RECORDS
    rows.put(DnsRecords("blue", RECORDS))
    assert rows.words == []


def test_the_order_of_addresses(rows: Rows) -> None:
    """Does not matter."""
    rows.put(DnsRecords("blue", {**RECORDS, "web1": "fd00::5 10.1.0.5"}))
    assert rows.words == []


def test_interfaces_with_one_host_name(rows: Rows) -> None:
    """Share the record; whose lease is gone is no longer in it."""
    second = replace(LEASES[0], address=FREE, mac=SECOND)
    index = replace(INDEX, leases=(*INDEX.leases, (SECOND, "blue", FREE)))
    rows.put(second, index)
    assert len(rows.found) == 3
    rows.put(DnsRecords("blue", dns.records([*LEASES, second], "example")))
    assert rows.words == []
    rows.delete(second)
    rows.put(INDEX)
    assert len(rows.found) == 3


def test_another_dns_domain(rows: Rows) -> None:
    """Has other records."""
    rows.put(replace(BLUE, mtu=1300))
    assert rows.words == []
    rows.put(replace(BLUE, dns_domain=""))
    assert len(rows.found) == 3  # the name with the domain, and two reverse records
    rows.put(DnsRecords("blue", dns.records(LEASES, "")))
    assert rows.words == []


@pytest.mark.parametrize("missing", [BLUE, DnsRecords("blue", RECORDS)])
def test_a_subnet_that_is_not_complete(rows: Rows, missing: Any) -> None:
    """Is repaired first; then its records are restored."""
    rows.delete(missing)
    rows.delete(LEASES[0])
    rows.put(LEASES[0])
    assert rows.words == []
    rows.put(missing)
    assert rows.words == []
    rows.delete(rows.values[DnsRecords("blue", {}).uuid])
    rows.put(DnsRecords("blue", {}))
    assert len(rows.found) == len(RECORDS)


@pytest.mark.parametrize("claims", [(), (Claim("blue", MAC, OTHER),)])
def test_a_mac_address_that_is_not_reserved(rows: Rows, claims: tuple[Claim, ...]) -> None:
    """A version before has made the port, or a claim is left that no port has."""
    rows.delete(RESERVED)
    rows.put(*claims)
    assert rows.words == [f"domain web1: interface {MAC}: its MAC address is not reserved in subnet blue"]
    assert rows.repairs() == [Put(CLAIM, claims[0] if claims else None, RESERVED)]
    rows.delete(PORT)
    assert rows.words == []


def test_a_mac_address_of_two_domains(rows: Rows) -> None:
    """Is reserved by one of them: the cloud's status reports them."""
    twin = replace(PORT, id="if-2", domain=OTHER, domain_name="twin", host="hv2", addresses=(FREE,))
    rows.put(twin)
    assert rows.words == []
    rows.put(replace(RESERVED, domain=OTHER))
    assert rows.words == []
    rows.delete(twin)
    assert len(rows.found) == 1


@pytest.mark.parametrize(
    ("names", "of_subnet", "present", "what"),
    [
        (("db", "web"), (), ("web",), "its port is not in security group db"),
        ((), ("web",), ("db", "web"), "its port is in security group db, which is not one of its groups"),
        (None, ("web",), (), "the security groups of its port are not those of subnet blue: web"),
        (None, (), ("web",), "its port is in security group web, which is not one of its groups"),
    ],
)
def test_security_groups(
    rows: Rows, names: tuple[str, ...] | None, of_subnet: tuple[str, ...], present: tuple[str, ...], what: str
) -> None:
    """Those that its interface names, or else those of its subnet, whatever the groups have."""
    port = replace(PORT, security_groups=names or (), names_groups=names is not None)
    members = {group: {PORT.uuid} if group in present else set() for group in ("db", "web")}
    rows.put(replace(BLUE, security_groups=of_subnet), port)
    rows.put(*(GroupMembers(group, frozenset(ports)) for group, ports in members.items()))
    assert rows.words == [f"domain web1: interface {MAC}: {what}"]
    for put in rows.repairs():
        if isinstance(put.new, GroupMembers):
            members[put.new.group] = members[put.new.group] - put.old.ports | put.new.ports
        else:
            rows.put(put.new)
    rows.put(*(GroupMembers(group, frozenset(ports)) for group, ports in members.items()))
    assert rows.words == []


def test_a_security_group_that_is_gone(rows: Rows) -> None:
    """Is missing until it is back with its ports."""
    web = GroupMembers("web", frozenset({PORT.uuid}))
    rows.put(web, replace(PORT, security_groups=("web",), names_groups=True))
    assert rows.words == []
    rows.delete(web)
    assert rows.words == [f"domain web1: interface {MAC}: security group web of its port is missing"]
    rows.put(replace(web, ports=frozenset()))
    assert rows.words == [f"domain web1: interface {MAC}: its port is not in security group web"]
    rows.put(web)
    assert rows.words == []


def test_a_lease_that_no_index_lists(rows: Rows) -> None:
    """Is released, unless its domain has a port: then its agent restores the index."""
    stray = replace(LEASES[0], domain=OTHER, domain_name="gone", address=FREE, hostname="gone")
    rows.put(stray)
    rows.put(DnsRecords("blue", {**RECORDS, **dns.records([stray], "example")}))
    assert rows.words == [
        f"domain gone: interface {MAC}: 10.1.0.9 of subnet blue is leased, but the domain's row does not list it"
    ]
    assert rows.repairs() == [Put(LEASE, stray, None)]
    index = LeaseIndex(OTHER, "gone", "hv2", ((MAC, "blue", FREE),))
    rows.put(index)
    assert rows.words == []
    rows.put(replace(index, leases=((SECOND, "blue", FREE),)))
    assert len(rows.found) == 1
    rows.put(replace(PORT, domain=OTHER, mac=SECOND), Claim("blue", SECOND, OTHER))
    assert rows.words == []
    rows.delete(INDEX)
    assert rows.words == []


def test_broken_rows(rows: Rows) -> None:
    """May have what others lack: nothing is repaired that depends on them."""
    second = replace(LEASES[0], domain=OTHER, address=FREE, mac=SECOND, hostname="mail")
    rows.put(second, LeaseIndex(OTHER, "mail", "hv1", ((SECOND, "blue", FREE),)))
    rows.put(DnsRecords("blue", {**RECORDS, **dns.records([second], "example"), "web1": "10.1.0.9 10.1.0.5 fd00::5"}))
    assert [key.name for key in rows.found] == ["web1"]
    rows.break_row(second)
    assert rows.consistency.repairs(rows.found) == ([], ())
    assert rows.words == []
    rows.break_row(RESERVED)
    assert rows.words == []
    rows.break_row(PORT)
    rows.break_row(INDEX)
    assert rows.words == []


def test_a_full_check(rows: Rows) -> None:
    """Finds what has become inconsistent without a change of a value."""
    rows.put(DnsRecords("blue", {**RECORDS, "old": "10.1.0.9"}))
    rows.unreadable.add(str(replace(LEASES[0], address=FREE).uuid))
    assert rows.words == []
    rows.unreadable.clear()
    assert rows.words == []
    rows.consistency.check_all()
    assert [key.name for key in rows.found] == ["old"]


def test_it_is_right_whatever_changes() -> None:
    """After any number of changes the same is found as in the same rows, read at once."""
    chance = random.Random(7)
    leases = [
        replace(LEASES[0], address=IPAddress(f"10.1.0.{number}"), domain=domain, mac=mac, hostname=name)
        for number in (5, 6)
        for domain, name in ((WEB, "web1"), (OTHER, "mail"))
        for mac in (MAC, SECOND)
    ]
    choices: list[Any] = [BLUE, replace(BLUE, dns_domain=""), *leases, INDEX, replace(INDEX, leases=())]
    choices += [LeaseIndex(OTHER, "mail", "hv1", ((SECOND, "blue", IPAddress("10.1.0.6")),))]
    choices += [replace(PORT, domain=domain, mac=mac) for domain in (WEB, OTHER) for mac in (MAC, SECOND)]
    choices += [Claim("blue", mac, domain) for domain in (WEB, OTHER) for mac in (MAC, SECOND)]
    choices += [DnsRecords("blue", dns.records(chance.sample(leases, size), "example")) for size in range(4)]
    choices += [replace(BLUE, security_groups=("web",))]
    choices += [replace(PORT, security_groups=groups, names_groups=True) for groups in ((), ("web",), ("db", "web"))]
    limited = replace(PORT, options=PortOptions(limits=Limits("1M")), limits=Limits("1M"))
    choices += [limited, replace(limited, options=PortOptions()), replace(BLUE, limits=Limits("1M"))]
    choices += port_limits(limited).values()
    choices += [GroupMembers(group, frozenset(some)) for group in ("web", "db") for some in ((), (PORT.uuid,))]
    virtual = IPAddress("10.1.0.100")
    choices += [replace(lease, virtual=(virtual,)) for lease in leases[:2]]
    choices += [replace(PORT, options=PortOptions(virtual=(virtual,)))]
    choices += [VirtualAddress("blue", virtual, (Holder(WEB, mac, "web1"),)) for mac in (MAC, SECOND)]
    choices += [VirtualPort("blue", virtual, (port,)) for port in ("if-1", "if-2")]
    rows = Rows()
    for _ in range(2000):
        one = chance.choice(choices)
        if one.uuid in rows.values and chance.random() < 0.4:
            rows.delete(one)
        else:
            rows.put(one)
        if chance.random() < 0.3:
            assert rows.found == Rows(*rows.values.values()).found
    rows.delete(*[*rows.values.values()])
    assert rows.found == {}
    left = {**vars(rows.consistency)}
    for part in ("_memberships", "_limited", "_virtual"):
        left |= vars(left.pop(part))
    assert [name for name, value in left.items() if value] == []
