"""Subnets of domains' own: made with the first start, two for two, gone with the domain."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from netaddr import IPNetwork

from ovnhook.config import Config
from ovnhook.deadline import Deadline
from ovnhook.errors import Exhausted
from ovnhook.host import Host
from ovnhook.model import Domain, Interface, Kind, Wish, isolated_subnet
from tests.database.server import Server


def domain(number: int, interfaces: int = 1, run: int = 1) -> Domain:
    """A domain that asks for a subnet of its own for each of its interfaces."""
    uuid = UUID(int=number)
    macs = tuple(f"52:54:00:00:{number:02x}:{index:02x}" for index in range(interfaces))
    wish = Wish(isolated_subnet(uuid), isolated=True, hostname=f"vm{number}")
    return Domain(uuid, f"vm{number}", run, tuple(Interface(mac, Kind.BRIDGE, wish) for mac in macs), macs)


def soon() -> Deadline:
    """Time enough."""
    return Deadline.after(30)


@pytest.fixture
def attachment(northbound: Server, vswitch: Server) -> Host:
    """What a host attaches with."""
    return Host(Config(northbound=northbound.remote, vswitch=vswitch.remote))


def test_a_life_of_an_own_subnet(northbound: Server, attachment: Host) -> None:
    """All interfaces of the domain are on one; it is there while the domain is defined, then nothing is."""
    before = northbound.dump()
    one = domain(1, interfaces=2)
    attachment.attach(one, soon())
    cloud = attachment.northbound.cloud(soon())
    (own,) = cloud.subnets
    assert (own.name, own.cidr, own.router, own.isolated) == (
        isolated_subnet(one.uuid), IPNetwork("10.224.0.0/28"), "gateway", True
    )  # fmt: skip
    assert {port.subnet for port in attachment.northbound.ports(soon())} == {own.name}
    attachment.detach(one, soon())
    attachment.attach(domain(1, interfaces=2, run=2), soon())
    assert attachment.northbound.cloud(soon()).subnets == (own,)
    attachment.detach(one, soon())
    attachment.forget(one.uuid, soon())
    after = northbound.dump()
    assert {table: rows for table, rows in after.items() if table != "DNS"} == {
        table: rows for table, rows in before.items() if table != "DNS"
    }
    assert len(after["DNS"]) == 1  # the registry
    attachment.forget(one.uuid, soon())


def test_a_start_that_fails_leaves_none(northbound: Server, attachment: Host) -> None:
    """What this run was given goes; what an earlier one has stays."""
    attachment.attach(domain(2), soon())
    attachment.roll_back(domain(2), soon())
    assert northbound.dump()["Logical_Switch"] == {}
    attachment.attach(domain(2), soon())
    attachment.detach(domain(2), soon())
    attachment.attach(domain(2, run=2), soon())
    attachment.roll_back(domain(2, run=2), soon())
    assert [one.name for one in attachment.northbound.cloud(soon()).subnets] == [isolated_subnet(UUID(int=2))]


def test_many_at_once_have_their_own(northbound: Server, make_host: Callable[[str], Server], attachment: Host) -> None:
    """Domains that start at once on two hosts: as many networks, none of which overlaps another."""
    hosts = [make_host(name).remote for name in ("hv8", "hv9")]

    def start(number: int) -> None:
        config = Config(northbound=northbound.remote, vswitch=hosts[number % 2])
        Host(config).attach(domain(number), soon())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(1, 17)))
    cloud = attachment.northbound.cloud(soon())
    assert len({one.cidr for one in cloud.subnets}) == 16
    assert all(one.cidr.prefixlen == 28 for one in cloud.subnets)


def test_one_domain_at_once_has_one(northbound: Server, make_host: Callable[[str], Server]) -> None:
    """Two calls for the same domain at a time agree on its subnet."""
    configs = [Config(northbound=northbound.remote, vswitch=make_host("hv8").remote)] * 6
    for turn in range(1, 6):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda config: Host(config).attach(domain(turn), soon()), configs))  # noqa: B023
    cloud = Host(configs[0]).northbound.cloud(soon())
    assert sorted(one.name for one in cloud.subnets) == [isolated_subnet(UUID(int=turn)) for turn in range(1, 6)]


def test_a_port_of_somebody_elses_keeps_it(northbound: Server, attachment: Host) -> None:
    """A person may have put a port of their own there: the leases go, the subnet stays."""
    attachment.attach(domain(3), soon())
    northbound.transact(
        {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": "theirs"}},
        {
            "op": "mutate",
            "table": "Logical_Switch",
            "where": [],
            "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]],
        },
    )
    attachment.detach(domain(3), soon())
    attachment.forget(UUID(int=3), soon())
    assert attachment.northbound.leases(soon()) == []
    assert len(attachment.northbound.cloud(soon()).subnets) == 1


def test_the_pool_is_used_up(northbound: Server, vswitch: Server) -> None:
    """The refusal names the pool and where it is set; nothing is written."""
    config = Config(northbound=northbound.remote, vswitch=vswitch.remote, isolated_pool="10.9.0.0/27")
    attachment = Host(config)
    for number in (1, 2):
        attachment.attach(domain(number), soon())
    before = northbound.dump()
    with pytest.raises(
        Exhausted, match=r"domain vm3: interface 52:54:00:00:03:00: no network is left in 10\.9\.0\.0/27"
    ) as caught:
        attachment.attach(domain(3), soon())
    assert "isolated_pool" in caught.value.hint
    assert northbound.dump() == before
