"""Keys, records and rows of somebody else on and beside ours: no operation is stopped, and what is theirs stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.errors import Conflict
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.kind import Put
from ovnhook.resources.lease.kind import LEASE_INDEX
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.full_cloud import SECOND, cloud, gateways, web
from tests.database.hypervisors import soon
from tests.database.our_rows import ours, put
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis

__all__ = ["cloud"]  # the fixture

NOTE = ("note", "Anna asked for this")
KINDS = (
    *("registry", "subnet", "names", "dhcp", "lease", "domain", "port", "mac"),
    *("resolver", "router", "router-port", "router-peer", "external", "external-limit", "isolated", "snat", "gateway"),
    "floating",
)


def test_there_is_a_row_of_each_kind(cloud: Control) -> None:
    """A kind that is new has to be in the table."""
    assert {ids["ovnhook:kind"] for ids in ours(cloud.northbound).values()} == {*KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_somebody_else(cloud: Control, kind: str) -> None:
    """On any row of ours it stops no operation, and stays as long as its row."""
    server, host = cloud.northbound, DirectHost(cloud.config)
    marked = ours(server, kind)
    assert marked
    for where in marked:
        put(server, where, "external_ids", NOTE)

    def holds() -> None:
        for where, ids in ours(server, kind).items():
            if where in marked:
                assert ids.get(NOTE[0]) == NOTE[1], where

    host.attach(web("10.1.0.20", "www", "www", SECOND), soon())
    holds()
    cloud.done("subnet", "set", "blue", "--dns", "10.1.0.53", "--domain", "lab.example", "--mtu", "1400")
    cloud.done("subnet", "set", "alone", "--default")
    holds()
    cloud.done("floating-ip", "delete", "203.0.113.20")
    marked = {where: ids for where, ids in marked.items() if where in ours(server)}
    cloud.done("floating-ip", "create", "203.0.113.21", str(web().port_uuid(MAC)))
    add_chassis(cloud.southbound, "gw2")
    wait_for(lambda: sorted(gateways(cloud)) == ["gw1", "gw2"])
    cloud.done("router", "set", "gateway", "--no-snat", "--vlan", "7")
    cloud.done("subnet", "create", "green", "10.3.0.0/24")
    holds()
    host.attach(web("10.1.0.21", "www", "www"), soon())
    host.detach(web("10.1.0.21", "www", "www"), soon())
    host.update_leases(web("10.1.0.21", "www", "mail"), soon())
    holds()
    assert [row["domain_name"] for row in cloud.done("lease", "list", "--format", "json").json] == ["mail", "mail"]
    host.release_leases(web().uuid, soon())
    for name in ("alone", "blue", "green"):
        cloud.done("subnet", "delete", name)
    cloud.done("router", "delete", "gateway")
    assert {ids["ovnhook:kind"] for ids in ours(server).values()} <= {"registry"}


def test_a_chassis_of_somebody_else_in_our_group(cloud: Control) -> None:
    """It stays there; the gateways of this router, and of the others, follow their hosts as before."""
    other = ("--physical-network", "external", "--address", "203.0.113.30/24", "--next-hop", "203.0.113.254")
    cloud.done("router", "create", "zeta", *other)
    for router in ("gateway", "zeta"):
        row = {"chassis_name": "gw9", "priority": 50}
        cloud.northbound.transact(
            {"op": "insert", "table": "HA_Chassis", "uuid-name": "gw9", "row": row},
            {
                "op": "mutate",
                "table": "HA_Chassis_Group",
                "where": [["name", "==", f"ovnhook:{router}"]],
                "mutations": [["ha_chassis", "insert", ["named-uuid", "gw9"]]],
            },
        )
    add_chassis(cloud.southbound, "gw2")
    wait_for(lambda: sorted(gateways(cloud)) == ["gw1", "gw2"])
    cloud.southbound.transact(
        {"op": "update", "table": "Chassis", "where": [["name", "==", "gw1"]], "row": {"other_config": ["map", []]}}
    )
    wait_for(lambda: gateways(cloud) == ["gw2"])
    wait_for(lambda: cloud.done("router", "show", "zeta", "--format", "json").json["gateways"] == ["gw2"])
    assert [row["priority"] for row in cloud.northbound.dump()["HA_Chassis"].values()].count(50) == 2


@pytest.mark.parametrize("value", ["10.1.0.99", "10.1.0.99 10.1.0.20", "192.0.2.7", "fd00:1::99", "nonsense"])
@pytest.mark.parametrize("record", ["www", "www.lab.example", "21.0.1.10.in-addr.arpa"])
def test_a_record_that_nobody_accounts_for(cloud: Control, record: str, value: str) -> None:
    """A name that is left over, or was put there by hand, is no lease's: who is to have it gets it."""
    cloud.done("subnet", "set", "blue", "--domain", "lab.example")
    put(cloud.northbound, f"DNS {uuids.dns_records('blue')}", "records", (record, value))
    DirectHost(cloud.config).attach(web("10.1.0.21", "www"), soon())
    records = dict(cloud.northbound.dump()["DNS"][str(uuids.dns_records("blue"))]["records"][1])
    assert records["www"].split()[0] == "10.1.0.21"
    assert records["www.lab.example"] == records["www"]
    assert records["21.0.1.10.in-addr.arpa"] == "www.lab.example"


def test_a_record_on_a_holding(cloud: Control) -> None:
    """One that is no interface's is passed over, and no operation is stopped by it."""
    put(cloud.northbound, f"DNS {uuids.domain(web().uuid)}", "records", ("owner", "Anna B."))
    put(cloud.northbound, f"DNS {uuids.lease('blue', '10.1.0.20')}", "records", ("owner", "Anna B."))
    host = DirectHost(cloud.config)
    host.attach(web("10.1.0.20", "web1", "web1", SECOND), soon())
    host.attach(web(), soon())
    host.detach(web(), soon())
    assert cloud.done("lease", "list", "--format", "json").json
    host.release_leases(web().uuid, soon())
    assert cloud.done("lease", "list", "--format", "json").json == []


def test_what_was_added_meanwhile_is_not_lost(cloud: Control) -> None:
    """Of two who change what a domain holds the second one has to look again, also where it would only add."""
    northbound = Northbound(cloud.northbound.remote)
    observed = northbound.observe_with_leases(web().uuid, [MAC], soon())
    held = observed.lease_index
    assert held
    more = tuple(
        Put(LEASE_INDEX, held, replace(held, leases=tuple(sorted((*held.leases, (mac, "blue", IPAddress(where)))))))
        for mac, where in (("52:54:00:00:00:08", "10.1.0.88"), ("52:54:00:00:00:09", "10.1.0.99"))
    )
    northbound.commit([more[0]], soon())
    with pytest.raises(Conflict):
        northbound.commit([more[1]], soon())
    after = northbound.observe_with_leases(web().uuid, [MAC], soon()).lease_index
    assert after == more[0].new


OPTIONAL: dict[str, tuple[str, ...]] = {
    "registry": ("serial", "default-subnet"),
    "subnet": ("gateway", "ranges", "dns", "dns-domain", "mtu", "isolated", "gateway6"),
    "lease": ("domain-name", "hostname", "host", "run", "by-default"),
    "domain": ("domain-name", "kept-by", "moving-to"),
    "port": ("domain-name", "kept-by", "moving-to"),
    "router": ("vlan", "snat", "address6", "next-hop6", "snat6"),
    "floating": ("domain-name",),
}
"""Keys without which a row is read."""


@pytest.mark.parametrize(("kind", "name"), [(kind, key) for kind, keys in OPTIONAL.items() for key in keys])
def test_a_key_that_an_older_version_did_not_write(cloud: Control, kind: str, name: str) -> None:
    """It has its default, and every operation goes on."""
    server, host = cloud.northbound, DirectHost(cloud.config)
    where = next(where for where, ids in ours(server, kind).items() if ids.get("ovnhook:subnet", "blue") == "blue")
    table, uuid = where.split()
    mutations = [["external_ids", "delete", ["set", [f"ovnhook:{name}"]]]]
    server.transact(
        {"op": "mutate", "table": table, "where": [["_uuid", "==", ["uuid", uuid]]], "mutations": mutations}
    )
    host.attach(web("10.1.0.22", "www", "web1", SECOND), soon())
    cloud.done("subnet", "set", "blue", "--dns", "10.1.0.53", "--router", "gateway")
    cloud.done("router", "set", "gateway", "--vlan", "7")
    host.detach(web("10.1.0.22", "www", "web1", SECOND), soon())
    host.release_leases(web().uuid, soon())
    assert cloud.done("lease", "list", "--format", "json").json == []
    cloud.done("subnet", "delete", "blue")


BROKEN: tuple[tuple[str, str, str], ...] = (
    ("subnet", "cidr6", "10.0.0.0/0"),
    ("subnet", "cidr6", "::/0"),
    ("subnet", "cidr", "0.0.0.0/0"),
    ("subnet", "cidr", "fd00::/64"),
    ("subnet", "mtu", "1" * 400),
    ("subnet", "mtu", "-1"),
    ("subnet", "mtu", "1442.5"),
    ("subnet", "gateway", "192.0.2.1"),
    ("subnet", "gateway", "fd00:1::1"),
    ("subnet", "ranges", "10.1.0.9-10.1.0.3"),
    ("subnet", "ranges", "0.0.0.0-255.255.255.255"),
    ("subnet", "dns", "x"),
    ("subnet", "subnet", "other"),
    ("lease", "domain", "x"),
    ("lease", "subnet", "other"),
    ("port", "kept-by", "nobody"),
    ("port", "mac", SECOND),
    ("router", "vlan", "9" * 400),
    ("router", "next-hop", "fd00::1"),
    ("router", "next-hop", ""),
    ("router", "address", "203.0.113.0/400"),
    ("floating", "domain", "x"),
)


@pytest.mark.parametrize(("kind", "name", "value"), BROKEN)
def test_a_value_that_means_nothing(cloud: Control, kind: str, name: str, value: str) -> None:
    """Its row is passed over, wherever rows are shown; all others are there."""
    cloud.done("subnet", "create", "green", "10.3.0.0/24", "--no-router")
    cloud.done("router", "create", "lab")
    host = DirectHost(cloud.config)
    there = Interface(SECOND, InterfaceType.BRIDGE, InterfaceRequest("green", hostname="mail"))
    host.attach(Domain(UUID(int=7), "mail", 1, (there,), (SECOND,)), soon())
    of = {"ovnhook:router": "gateway"} if kind == "router" else {"ovnhook:subnet": "blue"}
    where = next(where for where, ids in ours(cloud.northbound, kind).items() if of.items() <= ids.items())
    table, uuid = where.split()
    cloud.northbound.transact(
        {
            "op": "mutate",
            "table": table,
            "where": [["_uuid", "==", ["uuid", uuid]]],
            "mutations": [
                ["external_ids", "delete", ["set", [f"ovnhook:{name}"]]],
                ["external_ids", "insert", ["map", [[f"ovnhook:{name}", value]]]],
            ],
        }
    )
    shown: dict[str, list[Any]] = {
        noun: cloud.done(noun, "list", "--format", "json").json
        for noun in ("subnet", "lease", "port", "router", "floating-ip")
    }
    assert "green" in [one["name"] for one in shown["subnet"]]
    assert "lab" in [one["name"] for one in shown["router"]]
    assert "mail" in [one["domain_name"] for one in shown["lease"]]
    assert "mail" in [one["domain_name"] for one in shown["port"]]
    assert "lab" in cloud.ovnhook("router", "list").out
    status = cloud.ovnhook("status")
    assert status.status in (0, 8), status.error
    host.detach(Domain(UUID(int=7), "mail", 1, (there,), (SECOND,)), soon())
