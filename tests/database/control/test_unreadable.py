"""Changes of a cloud whose shared rows are missing, can't be read, or contradict each other."""

from __future__ import annotations

from uuid import UUID

import pytest

from ovnhook.base import uuids
from ovnhook.base.errors import Unrepaired
from ovnhook.databases.defects import Integrity
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.router.values import Router
from ovnhook.resources.subnet.values import isolated_subnet
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.full_cloud import fill
from tests.database.hypervisors import soon
from tests.database.our_rows import delete, ours, put, state

GATEWAY = f"Logical_Router {uuids.router('gateway')}"


@pytest.fixture
def cloud(control: Control) -> Control:
    """A row of each kind, and a control service that repairs before changes, and not by itself."""
    control.service._repairs.loop.stop(soon())
    fill(control)
    return control


def spoil(cloud: Control, where: str, name: str) -> None:
    """Take the key away that says what a row is of, as somebody may by hand."""
    table, uuid = where.split()
    cloud.northbound.transact(
        {
            "op": "mutate",
            "table": table,
            "where": [["_uuid", "==", ["uuid", uuid]]],
            "mutations": [["external_ids", "delete", ["set", [f"ovnhook:{name}"]]]],
        }
    )


def isolated(number: int) -> Domain:
    """A domain that asks for a subnet of its own."""
    uuid, mac = UUID(int=number), f"52:54:00:00:01:{number:02x}"
    request = InterfaceRequest(isolated_subnet(uuid), isolated=True, hostname=f"vm{number}")
    return Domain(uuid, f"vm{number}", 1, (Interface(mac, InterfaceType.BRIDGE, request),), (mac,))


@pytest.mark.parametrize("router", ["gateway", "inner"])
@pytest.mark.parametrize(
    "command",
    [
        "subnet set lost --dns 192.0.2.9",
        "subnet set lost --no-router",
        "subnet set lost --router other",
        "subnet delete lost",
        "subnet create more 10.8.0.0/24 --router {router}",
        "subnet set moves --router {router}",
        "router create {router}",
        "router set {router} --physical-network x --address 198.51.100.9/24 --next-hop 198.51.100.1 --force",
    ],
)
def test_a_router_that_cannot_be_read(control: Control, router: str, command: str) -> None:
    """Whatever changes the rows between it and its subnets is refused at once: these rows are not known."""
    control.service._repairs.loop.stop(soon())
    for name in ("inner", "other"):
        control.done("router", "create", name)
    control.done("subnet", "create", "lost", "10.1.0.0/24", "--router", router)
    control.done("subnet", "create", "moves", "10.2.0.0/24", "--router", "other")
    spoil(control, f"Logical_Router {uuids.router(router)}", "router")
    if command.startswith("router set") and router == "inner":
        assert control.refused(3, *command.format(router=router).split())[0] == "there is no router 'inner'"
        return
    error, hint = control.refused(7, *command.format(router=router).split())
    assert error == f"router {router} of subnet lost is missing, or its row can't be read"
    assert hint == "ovnhook status"
    assert str(uuids.router(router)) in control.ovnhook("status").out


def test_a_default_router_that_was_deleted(cloud: Control) -> None:
    """A start with a subnet of the domain's own does not make another one in its place, without its gateway."""
    before = state(cloud)
    (router,) = DirectHost(cloud.config).attachment.northbound.cloud(soon()).of(Router)
    delete(cloud, GATEWAY)
    gone = state(cloud)
    with pytest.raises(Unrepaired, match="domain vm1: interface 52:54:00:00:01:01: router gateway of subnet alone is"):
        DirectHost(cloud.config).attach(isolated(1), soon())
    assert state(cloud) == gone
    cloud.service._repairs.repair(soon())
    DirectHost(cloud.config).attach(isolated(1), soon())
    assert DirectHost(cloud.config).attachment.northbound.cloud(soon()).of(Router) == (router,)
    DirectHost(cloud.config).detach(isolated(1), soon())
    DirectHost(cloud.config).release_leases(UUID(int=1), soon())
    assert {where for where in ours(cloud.northbound) if not where.startswith(("NAT", "HA_Chassis "))} == {
        f"{table} {uuid}"
        for table, rows in before.items()
        for uuid, row in rows.items()
        if "ovnhook:kind" in dict(row.get("external_ids", ["map", []])[1]) and table not in ("NAT", "HA_Chassis")
    }


@pytest.mark.parametrize("kind", ["subnet", "router", "floating"])
def test_status_names_shared_rows(cloud: Control, kind: str) -> None:
    """Those that no other row has a copy of; other changes go on, and leave them as they are."""
    for where in (*ours(cloud.northbound, "names"), *ours(cloud.northbound, "external")):
        if kind != "floating":
            spoil(cloud, where, "cidr")
            spoil(cloud, where, "physical-network")
    (where, *_) = ours(cloud.northbound, kind)
    spoil(cloud, where, {"subnet": "cidr", "router": "router", "floating": "domain"}[kind])
    cloud.service._repairs._known = Integrity()
    row = cloud.northbound.dump()[where.split()[0]][where.split()[1]]
    found = [
        one for one in cloud.ovnhook("status", "--format", "json").json["problems"] if where.split()[1] in one["what"]
    ]
    assert len(found) == 1
    assert f"ovnhook:kind={kind} can't be read" in found[0]["what"]
    cloud.done("router", "create", "another")
    cloud.done("subnet", "create", "further", "10.9.0.0/24", "--router", "another")
    cloud.done("subnet", "set", "further", "--dns", "192.0.2.9")
    cloud.done("subnet", "delete", "further")
    assert cloud.northbound.dump()[where.split()[0]][where.split()[1]] == row


def test_a_floating_ip_on_another_router(cloud: Control) -> None:
    """Somebody has moved its row: it is deleted wherever it is."""
    cloud.done("router", "create", "other")
    (where,) = ours(cloud.northbound, "floating")
    nat = ["set", [["uuid", where.split()[1]]]]
    moves = (("gateway", "delete"), ("other", "insert"))
    cloud.northbound.transact(
        *(
            {
                "op": "mutate",
                "table": "Logical_Router",
                "where": [["name", "==", router]],
                "mutations": [["nat", mutator, nat]],
            }
            for router, mutator in moves
        )
    )
    cloud.done("floating-ip", "delete", "203.0.113.20")
    assert ours(cloud.northbound, "floating") == {}


def test_networks_that_overlap_already(cloud: Control) -> None:
    """A subnet on a router whose row says another external network by now is not changed until that is settled."""
    put(cloud.northbound, GATEWAY, "external_ids", ("ovnhook:x", "y"))
    spoil(cloud, GATEWAY, "address")
    spoil(cloud, GATEWAY, "next-hop")
    put(cloud.northbound, GATEWAY, "external_ids", ("ovnhook:address", "10.2.9.1/16"), ("ovnhook:next-hop", "10.2.9.2"))
    cloud.service._repairs.repair(soon())
    error, _ = cloud.refused(4, "subnet", "set", "alone", "--dns", "192.0.2.9")
    assert error == (
        "network 10.2.0.0/24 of subnet alone overlaps with the external network 10.2.0.0/16 of router gateway"
    )
    cloud.done("subnet", "set", "alone", "--default")
    cloud.done("subnet", "create", "further", "10.9.0.0/24")
