"""Databases as earlier versions have written them: read as they were meant, moved over, changed and deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.control.gateways import Gateways
from ovnhook.databases import integrity, inventory
from ovnhook.databases.defects import Integrity
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.trust import TrustRow
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import includes, select
from ovnhook.ovsdb.owned import kind
from ovnhook.pki import members, x509
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.port.rows import read_claim
from ovnhook.resources.router.values import Router
from ovnhook.resources.subnet.values import Subnet
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import Server, wait_for, wait_for_scans
from tests.database.southbound_rows import add_chassis, start_northd
from tests.versions import FOLDER, database, expected, inserts

VERSIONS = sorted(path.stem for path in FOLDER.glob("*.json"))
FIRST = "df05cd8"
"""The version whose rows had no id of the cloud, index, claim or second copy yet, and isolation by lists."""
REPAIRED = {"DHCP_Options", "Logical_Router_Port"}
"""Tables in which something of the others is repaired: the search domain of IPv6."""

every_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def deadline() -> Deadline:
    """One that only a hang comes to."""
    return Deadline.after(HANG)


@pytest.fixture
def loaded(northbound: Server, version: str) -> Server:
    """A database with the rows of a version."""
    northbound.transact(*inserts(version))
    return northbound


def test_versions_are_there() -> None:
    """At least those that are known to differ."""
    assert {FIRST, "4dbeaa1"} < {*VERSIONS}


@every_version
def test_what_is_read(loaded: Server, version: str, deadline: Deadline) -> None:
    """Each kind, as values."""
    northbound = Northbound(loaded.remote)
    cloud, stored = northbound.cloud(deadline), northbound.domain_rows(deadline)
    assert cloud.registry is not None
    assert (cloud.registry.default_subnet, cloud.registry.cloud is None) == ("everything", version == FIRST)
    assert cloud.of(Subnet) == expected.SUBNETS
    assert cloud.of(Router) == expected.routers(cloud.registry.cloud)
    assert cloud.of(FloatingIp) == (expected.FLOATING,)
    assert northbound.gateways(deadline) == {"gateway": ("control",), "second": ("control",)}
    ports = [replace(port, index=None) if version == FIRST else port for port in expected.PORTS]
    assert sorted(stored.ports, key=lambda one: (one.domain_name, one.mac)) == ports
    assert sorted(stored.leases, key=lambda one: (one.subnet, one.address)) == [*expected.LEASES]
    assert (stored.lost, stored.broken) == ((), ())
    assert {one.domain: one for one in northbound.lease_indexes(deadline)} == expected.LEASE_INDEXES
    (claims,) = northbound.database.transact([select("DNS", includes("external_ids", kind("mac")))], deadline)
    assert {*map(read_claim, claims)} == (set() if version == FIRST else expected.CLAIMS)


@every_version
def test_who_is_trusted(loaded: Server, version: str, deadline: Deadline) -> None:
    """An operator, but not the one that was revoked; the control host; a token. All seals are good."""
    kept = json.loads(database(version).read_text())["authority"]
    authority = x509.Authority(kept["key"].encode(), kept["certificate"].encode())
    entries = TrustRow(Northbound(loaded.remote).database).read(deadline)
    assert members.verified(authority, entries) == entries
    found = members.read(members.merged(entries, now=0))
    assert {(one.subject.role, one.subject.name, one.address) for one in found.all} == {
        ("control", "control", "172.31.0.1"),
        ("operator", "alice", ""),
    }
    assert all(one.expires for one in found.all)
    assert [str(one.subject) for one in found.tokens] == ["node hv3"]
    assert len([key for key in entries if key.startswith("gone ")]) == 1


@every_version
def test_what_an_agent_compares(loaded: Server, version: str, deadline: Deadline) -> None:
    """All of a host's rows can be read; those of the first version allow IPv6 guests fewer addresses than today."""
    database = Northbound(loaded.remote).database
    for host, domains in (("hv1", {"web", "two", "moves"}), ("hv2", {"own", "moves", "appliance"})):
        found = inventory.read(database, host, deadline)
        assert {port.domain_name for port in found.ports.values()} == domains
        changed = {port.domain_name for port in found.ports.values() if not port.intact}
        assert changed == ({"web", "two", "appliance"} & domains if version == FIRST else set())


@every_version
def test_what_is_repaired(loaded: Server, version: str, deadline: Deadline) -> None:
    """Nothing but what has its reason in a change of the rows."""
    northbound = Northbound(loaded.remote)
    defects = [one.what for one in integrity.read(northbound, Integrity(), deadline).defects]
    searched = [
        "DHCP_Options of subnet everything has domain_search of an earlier version",
        "Logical_Router_Port subnet:everything:gateway of subnet everything on router gateway was changed:"
        " ipv6_ra_configs",
    ]
    if version != FIRST:
        assert defects == searched
        return
    lone = (f"isolated-{expected.OWN}", "lone")
    names = {subnet.name: f" on router {subnet.router}" if subnet.router else "" for subnet in expected.SUBNETS}
    assert sorted(defects) == sorted(
        [
            *(f"DNS of subnet {name}{on} was changed: external_ids" for name, on in names.items()),
            *(
                f"HA_Chassis_Group ovnhook:{router.name} of router {router.name} was changed: external_ids"
                for router in expected.routers(None)
            ),
            *(f"Logical_Router_Policy of subnet {name} on router gateway is missing" for name in (*lone, *lone)),
            *(f"Logical_Router_Policy of subnet {name} on router gateway is orphaned" for name in (*lone, *lone)),
            *searched,
            *(
                f"Logical_Router_Port subnet:{name}:gateway of subnet {name} on router gateway was changed:"
                " ipv6_ra_configs"
                for name in ("lone", "six")
            ),
            *(
                f"Logical_Switch_Port outside:{router.name}:{router.external.mac} of router {router.name}"
                " was changed: name"
                for router in expected.routers(None)
                if router.external
            ),
        ]
    )


@every_version
def test_changed_and_deleted(
    loaded: Server,
    southbound: Server,
    version: str,
    deadline: Deadline,
    directory: Path,
    make_host: Callable[[str], Server],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Today's control service moves over what has to be, and then leaves all alone; nothing is in the way of users."""
    add_chassis(southbound, "control")
    for name in ("hv1", "hv2"):
        add_chassis(southbound, name, options="", mappings="")
    start_northd(loaded, southbound)
    before = loaded.dump(versions=True)
    control = Control(directory / "run" / "control.sock", loaded, southbound, make_host, capsys)
    hosts = {
        "hv1": DirectHost(control.config),
        "hv2": DirectHost(replace(control.config, vswitch=make_host("hv2").remote)),
    }
    try:
        wait_for_scans(Gateways, "_scan")
        northbound = Northbound(loaded.remote)
        wait_for(lambda: not integrity.read(northbound, Integrity(), deadline).defects)
        if version != FIRST:
            after = loaded.dump(versions=True)
            assert {table for table in before if after[table] != before[table]} == REPAIRED
        for subnet in ("everything", "lone", "usual", "beside"):
            control.done("subnet", "set", subnet, "--dns", "192.0.2.54")
        control.done("subnet", "set", "lone", "--no-isolated")
        control.done("subnet", "set", "off", "--router", "gateway", "--default")
        control.done("router", "set", "gateway", "--address", "203.0.113.11/24", "--no-snat")
        control.done("router", "set", "second", "--no-external")
        control.done("floating-ip", "delete", "203.0.113.20")
        control.done("floating-ip", "create", "203.0.113.21", "two/usual")
        control.done("port", "create", "appliance", "--host", "hv2", "--subnet", "everything", "--hostname", "box")
        control.done("lease", "release", "off")
        hosts["hv2"].finish_migration(expected.MOVES, deadline)
        (moved,) = northbound.ports(deadline, domain=str(expected.MOVES))
        assert (moved.host, moved.moving_to) == ("hv2", "")
        homes = {expected.WEB: "hv1", expected.TWO: "hv1", expected.OWN: "hv2", expected.MOVES: "hv2"}
        for domain, home in homes.items():
            hosts[home].detach(Domain(domain, ""), deadline)
            hosts[home].release_leases(domain, deadline)
        (row,) = loaded.transact(
            {"op": "delete", "table": "DNS", "where": [["_uuid", "==", ["uuid", str(uuids.TRUST)]]]}
        )
        assert row == {"count": 1}
        control.clear()
    finally:
        control.service.stop()
