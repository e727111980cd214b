"""The upgrade of an existing cloud's DNS: guests ask resolvers once all hosts have them, and always have names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict
from ovnhook.control.agentstates import GRACE
from ovnhook.control.dnsupgrade import DnsUpgrade
from ovnhook.databases import integrity
from ovnhook.databases.defects import Integrity
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis.problems import STALE
from ovnhook.ovsdb.operation import map_of, set_of
from ovnhook.resources.kind import Need, Put
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.registry import FORMAT
from ovnhook.resources.subnet import earlier
from ovnhook.resources.subnet.dhcp import DHCP_LEASE_TIME
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet
from tests.clock import Clock
from tests.database.ovsdb_server import Server
from tests.database.southbound_rows import add_chassis, set_reports
from tests.versions import PREVIOUS, expected, inserts


class Upgraded:
    """A cloud of the previous version, with two hosts, and one control service of the present version.

    Attributes:
        clock: time of control service and agents, and its uptime.
        upgrade: what is tested.
    """

    def __init__(self, northbound: Server, southbound: Server) -> None:
        self.server = northbound
        self.southbound = southbound
        northbound.transact(*inserts(PREVIOUS))
        for host in ("hv1", "hv2"):
            add_chassis(southbound, host)
        self.clock = Clock()
        self.northbound = Northbound(northbound.remote)
        outdated = integrity.read(self.northbound, Integrity(), Deadline.after(HANG))
        integrity.repair(self.northbound, outdated, Deadline.after(HANG))
        self.upgrade = self.service()

    def service(self) -> DnsUpgrade:
        """A control service that starts now."""
        return DnsUpgrade(self.northbound, Southbound(self.southbound.remote), self.clock, self.clock)

    def report(self, host: str, dns: str) -> None:
        """Report as the agent of a host."""
        set_reports(self.southbound, host, agent="1.0", seen=str(int(self.clock())), dns=dns)

    def step(self) -> bool:
        """Take the next step; return True if rows have changed. They are consistent."""
        before = self.server.dump(versions=True)
        self.upgrade.upgrade(Deadline.after(HANG))
        assert not integrity.read(self.northbound, Integrity(), Deadline.after(HANG)).defects
        return bool(self.server.dump(versions=True) != before)

    def subnets(self) -> dict[str, Subnet]:
        """All subnets, by name."""
        return {one.name: one for one in self.northbound.cloud(Deadline.after(HANG)).of(Subnet)}

    def options(self, subnet: str) -> str:
        """DNS servers of a subnet's guests by DHCP."""
        row = self.server.dump()["DHCP_Options"][str(uuids.dhcp_options(subnet))]
        return map_of(row["options"]).get("dns_server", "")

    def records(self) -> dict[str, int]:
        """Number of DNS rows that a switch refers to, by subnet."""
        rows = self.server.dump()["Logical_Switch"]
        return {name: len(set_of(rows[str(uuids.switch(name))]["dns_records"])) for name in self.subnets()}

    def ports(self) -> dict[str, str]:
        """Addresses of the resolvers' ports, by name."""
        rows = self.server.dump()["Logical_Switch_Port"].values()
        return {row["name"]: row["addresses"].partition(" ")[2] for row in rows if row["type"] == "localport"}


@pytest.fixture
def cloud(northbound: Server, southbound: Server) -> Upgraded:
    """A cloud whose agents have not reported yet."""
    return Upgraded(northbound, southbound)


def report(cloud: Upgraded, *dns: str) -> None:
    """Report of all hosts, in order."""
    for host, one in zip(("hv1", "hv2"), dns, strict=True):
        cloud.report(host, one)


def test_step_by_step(cloud: Upgraded) -> None:
    """Each step waits for all hosts; DHCP names a resolver once all run; records stay for a lease time."""
    before = cloud.records()
    assert set(before) == {one.name for one in expected.SUBNETS}
    assert all(before.values())
    assert not cloud.step(), "nobody has reported"
    report(cloud, "yes", "")
    assert not cloud.step(), "an agent is of an earlier version"
    report(cloud, "yes", "no")
    assert cloud.step()
    registry = cloud.northbound.cloud(Deadline.after(HANG)).registry
    assert registry is not None
    assert registry.format == FORMAT
    assert cloud.ports() == {}
    assert cloud.step()
    assert {name: port.split() for name, port in cloud.ports().items()} == {
        f"dns:{name}": [str(one) for one in subnet.resolvers] for name, subnet in cloud.subnets().items()
    }
    leased = {(lease.subnet, lease.address) for lease in expected.LEASES}
    assert not {(name, one) for name, subnet in cloud.subnets().items() for one in subnet.resolvers} & leased
    assert (cloud.options("usual"), cloud.options("off")) == ("{10.2.0.1}", "")
    report(cloud, "yes", "yes")
    assert not cloud.step(), "the reports may be of hosts that do not know of the resolvers yet"
    cloud.clock.now += 60
    report(cloud, "yes", "no")
    assert not cloud.step(), "the resolvers do not run on all hosts"
    report(cloud, "yes", "yes")
    assert cloud.step()
    assert (cloud.options("usual"), cloud.options("off")) == ("{10.2.0.2}", "{10.5.0.2}")
    assert cloud.options("everything") == "{192.0.2.53}"
    assert cloud.records() == before
    cloud.clock.now += DHCP_LEASE_TIME - 1
    assert not cloud.step(), "a guest may not have renewed its lease"
    cloud.clock.now += 1
    assert cloud.step()
    assert not any(cloud.records().values())
    assert not cloud.step()
    row = ["uuid", str(uuids.dns_records("usual"))]
    cloud.server.transact(
        {
            "op": "mutate",
            "table": "Logical_Switch",
            "where": [["name", "==", "usual"]],
            "mutations": [["dns_records", "insert", ["set", [row]]]],
        }
    )
    outdated = integrity.read(cloud.northbound, Integrity(), Deadline.after(HANG))
    assert [one.what for one in outdated.defects] == ["Logical_Switch of subnet usual was changed: dns_records"]
    integrity.repair(cloud.northbound, outdated, Deadline.after(HANG))
    assert not any(cloud.records().values())
    assert not cloud.upgrade.upgrade(Deadline.after(HANG)), "there is nothing left"


def test_a_dead_host(cloud: Upgraded) -> None:
    """It is not waited for; but after an outage of the control services all reports are old."""
    report(cloud, "yes", "")
    cloud.clock.now += STALE + 1
    cloud.upgrade = cloud.service()
    cloud.report("hv1", "yes")
    assert not cloud.step()
    cloud.clock.now += GRACE
    cloud.report("hv1", "yes")
    assert cloud.step()


def test_a_full_subnet(cloud: Upgraded) -> None:
    """Its guests keep OVN's answers until an address is free, while other subnets go on."""
    lease = replace(expected.LEASES[0], subnet="off", hostname="x")
    changes = [Put(LEASE, None, replace(lease, address=IPAddress(f"10.5.0.{number}"))) for number in range(2, 255)]
    taken = cloud.northbound.lease_uuids(Deadline.after(HANG))
    some = [change for change in changes if change.new and change.new.uuid not in taken]
    cloud.northbound.commit(some, Deadline.after(HANG))
    for _ in range(4):
        cloud.clock.now += 60
        report(cloud, "yes", "yes")
        cloud.step()
    subnets = cloud.subnets()
    assert {name for name, one in subnets.items() if one.records_until is None} == {"off"}
    free = some[100]
    cloud.northbound.commit([Put(LEASE, free.new, None)], Deadline.after(HANG))
    for _ in range(3):
        cloud.clock.now += 60
        report(cloud, "yes", "yes")
        cloud.step()
    assert free.new
    assert cloud.subnets()["off"].resolvers == (free.new.address,)
    assert cloud.options("off") == f"{{{free.new.address}}}"


def test_an_address_that_is_leased_meanwhile(cloud: Upgraded) -> None:
    """The lease stays, and the resolver gets another address at the next attempt; so does a lease that is late."""
    report(cloud, "yes", "yes")
    assert cloud.step()
    deadline = Deadline.after(HANG)
    state = cloud.northbound.cloud(deadline)
    planned = earlier.add_resolvers(state, lambda _: ())
    lease = replace(expected.LEASES[0], subnet="off", hostname="x", address=IPAddress("10.5.0.2"))
    late = replace(lease, address=IPAddress("10.5.0.3"))
    cloud.northbound.commit([Put(LEASE, None, lease)], deadline)
    with pytest.raises(Conflict):
        cloud.northbound.commit(planned, deadline)
    assert cloud.step()
    assert cloud.subnets()["off"].resolvers == (late.address,)
    (subnet,) = (one for one in state.of(Subnet) if one.name == "off")
    with pytest.raises(Conflict):
        cloud.northbound.commit([Need(SUBNET, subnet), Put(LEASE, None, late)], deadline)
