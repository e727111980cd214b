"""Subnets of domains' own: made with the first start, two for two, gone with the domain."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from netaddr import IPNetwork

from lab.waiting import HANG
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Exhausted
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import as_map, as_set, insert, key, mutate, ref
from ovnhook.resources import tables
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.registry import increment_serial
from ovnhook.resources.router.kind import NETWORK
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet, isolated_subnet
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.full_cloud import OUTSIDE
from tests.database.our_rows import delete, state
from tests.database.ovsdb_server import Dump, Server, wait_for


def domain(number: int, interfaces: int = 1, run: int = 1) -> Domain:
    """A domain that asks for a subnet of its own for each of its interfaces."""
    uuid = UUID(int=number)
    macs = tuple(f"52:54:00:00:{number:02x}:{index:02x}" for index in range(interfaces))
    request = InterfaceRequest(isolated_subnet(uuid), isolated=True, hostname=f"vm{number}")
    return Domain(uuid, f"vm{number}", run, tuple(Interface(mac, InterfaceType.BRIDGE, request) for mac in macs), macs)


def soon() -> Deadline:
    """Time enough."""
    return Deadline.after(HANG)


@pytest.fixture
def attachment(northbound: Server, vswitch: Server) -> DirectHost:
    """What a host attaches with."""
    return DirectHost(Config(northbound=northbound.remote, vswitch=vswitch.remote))


def test_a_life_of_an_own_subnet(northbound: Server, attachment: DirectHost) -> None:
    """All interfaces of the domain are on one; it is there while the domain is defined, then nothing is."""
    before = northbound.dump()
    one = domain(1, interfaces=2)
    attachment.attach(one, soon())
    cloud = attachment.northbound.cloud(soon())
    (own,) = cloud.of(Subnet)
    assert (own.name, own.cidr, own.router, own.isolated) == (
        isolated_subnet(one.uuid), IPNetwork("10.224.0.0/28"), "gateway", True
    )  # fmt: skip
    assert {port.subnet for port in attachment.northbound.ports(soon())} == {own.name}
    attachment.detach(one, soon())
    attachment.attach(domain(1, interfaces=2, run=2), soon())
    assert attachment.northbound.cloud(soon()).of(Subnet) == (own,)
    attachment.detach(one, soon())
    attachment.release_leases(one.uuid, soon())
    after = northbound.dump()
    assert {table: rows for table, rows in after.items() if table != "DNS"} == {
        table: rows for table, rows in before.items() if table != "DNS"
    }
    assert len(after["DNS"]) == 1  # the registry
    attachment.release_leases(one.uuid, soon())


def test_a_start_that_fails_leaves_none(northbound: Server, attachment: DirectHost) -> None:
    """What this run was given goes; what an earlier one has stays."""
    attachment.attach(domain(2), soon())
    attachment.roll_back(domain(2), soon())
    assert northbound.dump()["Logical_Switch"] == {}
    attachment.attach(domain(2), soon())
    attachment.detach(domain(2), soon())
    attachment.attach(domain(2, run=2), soon())
    attachment.roll_back(domain(2, run=2), soon())
    assert [one.name for one in attachment.northbound.cloud(soon()).of(Subnet)] == [isolated_subnet(UUID(int=2))]


def test_many_at_once_have_their_own(
    northbound: Server, make_host: Callable[[str], Server], attachment: DirectHost
) -> None:
    """Domains that start at once on two hosts: as many networks, none of which overlaps another."""
    hosts = [make_host(name).remote for name in ("hv8", "hv9")]

    def start(number: int) -> None:
        config = Config(northbound=northbound.remote, vswitch=hosts[number % 2])
        DirectHost(config).attach(domain(number), soon())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(1, 17)))
    cloud = attachment.northbound.cloud(soon())
    assert len({one.cidr for one in cloud.of(Subnet)}) == 16
    assert all(one.cidr.prefixlen == 28 for one in cloud.of(Subnet))


def test_one_domain_at_once_has_one(northbound: Server, make_host: Callable[[str], Server]) -> None:
    """Two calls for the same domain at a time agree on its subnet."""
    configs = [Config(northbound=northbound.remote, vswitch=make_host("hv8").remote)] * 6
    for turn in range(1, 6):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda config: DirectHost(config).attach(domain(turn), soon()), configs))  # noqa: B023
    cloud = DirectHost(configs[0]).northbound.cloud(soon())
    assert sorted(one.name for one in cloud.of(Subnet)) == [isolated_subnet(UUID(int=turn)) for turn in range(1, 6)]


def test_a_port_of_somebody_elses_keeps_it(northbound: Server, attachment: DirectHost) -> None:
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
    attachment.release_leases(UUID(int=3), soon())
    assert attachment.northbound.leases(soon()) == []
    assert len(attachment.northbound.cloud(soon()).of(Subnet)) == 1


def test_the_pool_is_used_up(northbound: Server, vswitch: Server) -> None:
    """The refusal names the pool and where it is set; nothing is written."""
    config = Config(northbound=northbound.remote, vswitch=vswitch.remote, isolated_pool="10.9.0.0/27")
    attachment = DirectHost(config)
    for number in (1, 2):
        attachment.attach(domain(number), soon())
    before = northbound.dump()
    with pytest.raises(
        Exhausted, match=r"domain vm3: interface 52:54:00:00:03:00: no network is free in 10\.9\.0\.0/27"
    ) as caught:
        attachment.attach(domain(3), soon())
    assert "isolated_pool" in caught.value.hint
    assert northbound.dump() == before


def fill(attachment: DirectHost, numbers: range) -> None:
    """Let there be so many isolated subnets more, by one transaction."""
    cloud = attachment.northbound.cloud(soon())
    there = cloud.network("gateway")
    pool = list(IPNetwork("10.224.0.0/16").subnet(28))
    new = [
        Subnet(isolated_subnet(UUID(int=number)), pool[number], pool[number][1], "gateway", isolated=True)
        for number in numbers
    ]
    subnets = tuple(sorted([*(there.subnets if there else ()), *new], key=lambda one: one.name))
    router = there.router if there else Router("gateway")
    changes: list[Change] = [
        increment_serial(cloud),
        *(Put(SUBNET, None, one) for one in new),
        Put(NETWORK, there, Network(router, subnets)),
    ]
    attachment.northbound.commit(changes, soon())


def written(northbound: Server, southbound: Server, attachment: DirectHost, number: int) -> dict[str, int]:
    """What the start and the end of a domain with a subnet of its own write: bytes and rows."""
    found: dict[str, int] = {}

    def measure(what: str, act: Callable[[], object]) -> None:
        attachment.northbound.increment_nb_cfg(soon())
        synced(northbound, southbound)
        sizes = [server.file.stat().st_size for server in (northbound, southbound)]
        before = northbound.dump(versions=True)
        act()
        after = northbound.dump(versions=True)
        attachment.northbound.increment_nb_cfg(soon())
        synced(northbound, southbound)
        for name, server, size in zip(("nb", "sb"), (northbound, southbound), sizes, strict=True):
            found[f"{what} {name} bytes"] = server.file.stat().st_size - size
        changed = [
            (table, uuid)
            for table in after
            for uuid in after[table].keys() | before[table].keys()
            if after[table].get(uuid) != before[table].get(uuid)
        ]
        found[f"{what} nb rows"] = len(changed)

    def end() -> None:
        attachment.detach(domain(number), soon())
        attachment.release_leases(UUID(int=number), soon())

    measure("start", lambda: attachment.attach(domain(number), soon()))
    measure("end", end)
    return found


@contextmanager
def northd(directory: Path, northbound: Server, southbound: Server) -> Iterator[None]:
    """OVN's own northd on these databases."""
    databases = [f"--ovnnb-db={northbound.remote}", f"--ovnsb-db={southbound.remote}"]
    command = ["ovn-northd", "-vconsole:off", f"--unixctl={directory}/northd", *databases]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.terminate()


def synced(northbound: Server, southbound: Server) -> None:
    """Wait until northd has carried out all that was written, and has written to both databases that it has."""

    def counts(server: Server, table: str, *columns: str) -> set[int]:
        (found,) = server.transact({"op": "select", "table": table, "where": [], "columns": columns})
        return {int(row[column]) for row in found["rows"] or [dict.fromkeys(columns, -1)] for column in columns}

    def all_counts() -> set[int]:
        return counts(southbound, "SB_Global", "nb_cfg") | counts(northbound, "NB_Global", "nb_cfg", "sb_cfg", "hv_cfg")

    wait_for(lambda: len(all_counts()) == 1)


def test_the_300th_writes_what_the_3rd_does(
    northbound: Server, southbound: Server, attachment: DirectHost, directory: Path
) -> None:
    """Rows and bytes of a subnet of a domain's own do not depend on how many there are."""
    with northd(directory, northbound, southbound):
        fill(attachment, range(1, 3))
        third = written(northbound, southbound, attachment, 200)
        fill(attachment, range(1000, 1297))
        last = written(northbound, southbound, attachment, 200)
    print(third, last)
    for what in third:
        if "sb" not in what:
            assert abs(last[what] - third[what]) <= 0.02 * third[what], (what, third, last)


def test_policies_of_an_earlier_version(control: Control) -> None:
    """Those list all other subnets: the control service replaces them, one transaction for each router."""
    for name, number in (("blue", 1), ("green", 2), ("red", 3)):
        isolated = [] if name == "blue" else ["--isolated"]
        control.done("subnet", "create", name, f"10.{number}.0.0/24", *isolated)
    wanted = control.northbound.dump()
    router = uuids.router("gateway")
    nb = control.service._northbound
    old = []
    for name in ("green", "red"):
        for which in ("isolated-from", "isolated-to"):
            row = {
                "priority": 1000,
                "match": f'inport == "subnet:{name}:gateway" && outport == {{"subnet:blue:gateway"}}',
                "action": "drop",
                "external_ids": as_map(owned.kind("isolation", router="gateway", subnet=name)),
            }
            old.append((uuids.part(which, "gateway", name), row))
    new = [row["_uuid"][1] for row in wanted["Logical_Router_Policy"].values()]
    assert len(new) == 4
    everything = [
        mutate(tables.ROUTER, key(router), [["policies", "delete", as_set(ref(UUID(uuid)) for uuid in new[:3])]]),
        *(insert(tables.POLICY, uuid, row) for uuid, row in old),
        mutate(tables.ROUTER, key(router), [["policies", "insert", as_set(ref(uuid) for uuid, _ in old)]]),
    ]
    nb.database.transact(everything, Deadline.after(HANG))

    def policies(dump: Dump) -> object:
        kept = ("priority", "match", "action", "external_ids")
        return {uuid: {key: row[key] for key in kept} for uuid, row in dump["Logical_Router_Policy"].items()}

    wait_for(lambda: policies(control.northbound.dump()) == policies(wanted))
    control.clear()


@pytest.mark.parametrize("end", ["undefine", "roll back", "lease deleted by hand"])
def test_a_floating_ip_ends_with_it(control: Control, end: str, caplog: pytest.LogCaptureFixture) -> None:
    """It does not keep the subnet, also where its lease is gone already."""
    control.done("router", "set", "gateway", *OUTSIDE)
    host, one = DirectHost(control.config), domain(1, interfaces=2)
    before = state(control)
    host.attach(one, soon())
    (lease, _) = control.done("lease", "list", "--format", "json").json
    control.done("floating-ip", "create", "203.0.113.21", lease["address"])
    if end == "roll back":
        host.roll_back(one, soon())
    else:
        if end == "lease deleted by hand":
            delete(control, f"DNS {uuids.lease(lease['subnet'], lease['address'])}")
        host.detach(one, soon())
        host.release_leases(one.uuid, soon())
    assert state(control) == before
    if end != "lease deleted by hand":
        said = "floating IP 203.0.113.21 of domain vm1 is deleted with its lease"
        assert len([line for line in caplog.messages if line.startswith(said)]) == 1
