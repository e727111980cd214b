"""Our own rows that somebody has deleted or changed: reported by status, and repaired by the control service."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ovnhook.base import uuids
from ovnhook.base.errors import Unavailable
from ovnhook.control.repairs import Repairs
from ovnhook.databases import queries
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.state import Observed
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.full_cloud import SECOND, fill, gateways, web
from tests.database.hypervisors import soon
from tests.database.our_rows import delete, ours, put, state
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis

KINDS = (
    *("registry", "subnet", "names", "dhcp", "router", "router-port", "router-peer"),
    *("resolver", "external", "external-limit", "isolated", "snat", "gateway", "floating"),
)
CHANGED: dict[str, dict[str, Any]] = {
    "Logical_Switch": {"name": "odd"},
    "Logical_Switch_Port": {"addresses": "unknown", "type": "", "options": ["map", []]},
    "Logical_Router": {"name": "odd"},
    "Logical_Router_Port": {"mac": "52:54:00:00:00:99", "networks": "192.0.2.1/24"},
    "Logical_Router_Static_Route": {"nexthop": "203.0.113.7"},
    "Logical_Router_Policy": {"match": "1", "action": "allow"},
    "QoS": {"match": "1", "priority": 1, "bandwidth": ["map", [["rate", 9]]]},
    "NAT": {"external_ip": "203.0.113.99", "logical_ip": "10.9.9.9"},
    "DHCP_Options": {"options": ["map", [["server_id", "odd"]]], "cidr": "192.0.2.0/24"},
    "HA_Chassis_Group": {"name": "odd"},
    "HA_Chassis": {"chassis_name": "odd"},
    "DNS": {"external_ids": ["map", [["ovnhook:kind", "names"]]]},
}
"""By table, what somebody might write into its columns."""


@pytest.fixture
def cloud(control: Control) -> Control:
    """A row of each kind, and a control service that repairs when it is told to."""
    control.service._repairs.loop.stop(soon())
    control.done("subnet", "create", "green", "10.3.0.0/24", "--domain", "lab.example")
    fill(control)
    return control


def repairs_of(control: Control) -> Repairs:
    """What repairs, having seen all as it is."""
    made = Repairs(Northbound(control.northbound.remote))
    assert made.defects(soon()) == ()
    return made


def settle(control: Control, repairing: Repairs) -> None:
    """Repair, and let the gateways be set as they are every second."""
    repairing.repair(soon())
    wait_for(lambda: gateways(control) == ["gw1"])
    DirectHost(control.config).attach(web(), soon(), running=True)
    assert repairing.defects(soon()) == ()


def rows_of(control: Control, kind: str) -> list[str]:
    """Our rows of a kind, by table and UUID."""
    return sorted(ours(control.northbound, kind))


def test_nothing_differs(cloud: Control) -> None:
    """In a cloud that nobody has touched, whatever is done with it; and nothing is written."""
    repairing = repairs_of(cloud)
    for command in (
        "subnet set blue --dns 10.1.0.53 --domain a.example --mtu 1400 --range 10.1.0.10-10.1.0.90",
        "subnet set green --isolated",
        "subnet set alone --no-isolated",
        "subnet create inner 10.4.0.0/24 --no-router",
        "router create lab",
        "subnet set inner --router lab --default",
        "router set gateway --vlan 7 --no-snat --force",
        "router set gateway --address6 2001:db8::10/64 --next-hop6 2001:db8::1 --snat6",
        "subnet set blue --no-domain",
        "floating-ip delete 203.0.113.20",
        "subnet delete inner",
        "router delete lab",
    ):
        cloud.done(*command.split())
        before = cloud.northbound.dump(versions=True)
        assert repairing.defects(soon()) == (), command
        repairing.repair(soon())
        assert cloud.northbound.dump(versions=True)["Logical_Switch"] == before["Logical_Switch"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_was_deleted(cloud: Control, kind: str) -> None:
    """Status says so; the control service makes it again as it was."""
    repairing = repairs_of(cloud)
    before = state(cloud)
    for where in rows_of(cloud, kind):
        delete(cloud, where)
        if kind != "gateway":  # the gateways are set every second
            assert repairing.defects(soon()), where
        settle(cloud, repairing)
        assert state(cloud) == before, where


@pytest.mark.parametrize("table", CHANGED)
def test_a_column_that_was_changed(cloud: Control, table: str) -> None:
    """Status says so; the control service makes it what it was."""
    repairing = repairs_of(cloud)
    before = state(cloud)
    for kind in KINDS:
        for where in rows_of(cloud, kind):
            if where.split()[0] != table or (table == "DNS" and kind != "names"):
                continue
            for column, value in CHANGED[table].items():
                uuid = ["uuid", where.split()[1]]
                cloud.northbound.transact(
                    {"op": "update", "table": table, "where": [["_uuid", "==", uuid]], "row": {column: value}}
                )
                settle(cloud, repairing)
                assert state(cloud) == before, (where, column)


def test_gateways_of_one_priority(cloud: Control) -> None:
    """OVN needs an order of them: status says so, and the control service gives them one."""
    add_chassis(cloud.southbound, "gw2")
    wait_for(lambda: sorted(gateways(cloud)) == ["gw1", "gw2"])
    repairing = repairs_of(cloud)

    def priorities() -> list[int]:
        return sorted(row["priority"] for row in cloud.northbound.dump()["HA_Chassis"].values())

    assert priorities() == [1, 2]
    for priority in (2, 1, 0, 7):
        cloud.northbound.transact({"op": "update", "table": "HA_Chassis", "where": [], "row": {"priority": priority}})
        (found,) = repairing.defects(soon())
        assert found.what == "gateways of router gateway have the same priority: gw1, gw2"
        repairing.repair(soon())
        assert priorities() == [1, 2]
        assert repairing.defects(soon()) == ()


def test_what_is_somebody_elses_stays(cloud: Control) -> None:
    """Keys and rows beside ours are no difference, and survive a repair of the row that they are on."""
    repairing = repairs_of(cloud)
    for where in (*rows_of(cloud, "dhcp"), *rows_of(cloud, "router-peer")):
        put(cloud.northbound, where, "options", ("ntp_server", "10.1.0.7"))
    cloud.northbound.transact(
        {
            "op": "insert",
            "table": "Logical_Router_Policy",
            "uuid-name": "p",
            "row": {"priority": 7, "match": "1", "action": "allow"},
        },
        {
            "op": "mutate",
            "table": "Logical_Router",
            "where": [["name", "==", "gateway"]],
            "mutations": [["policies", "insert", ["named-uuid", "p"]]],
        },
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "theirs"}},
    )
    assert repairing.defects(soon()) == ()
    before = state(cloud)
    cloud.northbound.transact(
        {
            "op": "mutate",
            "table": "DHCP_Options",
            "where": [],
            "mutations": [["options", "delete", ["set", ["lease_time"]]]],
        }
    )
    assert [one.what for one in repairing.defects(soon())]
    settle(cloud, repairing)
    assert state(cloud) == before
    cloud.done("subnet", "set", "blue", "--dns", "10.1.0.53", "--domain", "lab.example")
    for row in cloud.northbound.dump()["DHCP_Options"].values():
        assert dict(row["options"][1])["ntp_server"] == "10.1.0.7"


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("command", ["create", "delete", "other", "status", "set"])
def test_a_switch_that_was_deleted(cloud: Control, command: str, restarted: bool) -> None:
    """``ovn-nbctl ls-del``: every operation finds the subnet as it was, also after a restart of the service."""
    if restarted:
        cloud.service._repairs = Repairs(Northbound(cloud.northbound.remote))
    before = state(cloud)
    delete(cloud, f"Logical_Switch {uuids.switch('blue')}")
    delete(cloud, f"Logical_Switch {uuids.switch('green')}")
    if command == "create":
        cloud.done("subnet", "create", "green", "10.3.0.0/24", "--domain", "lab.example")
    elif command == "set":
        cloud.done("subnet", "set", "green", "--dns", "10.3.0.53")
        cloud.done("subnet", "set", "green", "--dns", "10.3.0.54")
    elif command == "other":
        done = cloud.ovnhook("subnet", "create", "red", "10.3.0.0/24")
        assert done.status
        assert "overlaps with subnet green" in done.error
    elif command == "delete":
        cloud.done("subnet", "delete", "green")
        assert "green" not in [row["name"] for row in cloud.northbound.dump()["Logical_Switch"].values()]
        cloud.done("subnet", "create", "green", "10.3.0.0/24", "--domain", "lab.example")
    else:
        status = cloud.ovnhook("status")
        assert status.status == 8
        assert "Logical_Switch blue of subnet blue on router gateway is missing" in status.out
        cloud.service._repairs._step()
        cloud.service._repairs._step()
        cloud.service._repairs._next_scan = 0.0
        cloud.service._repairs._step()
    DirectHost(cloud.config).attach(web(), soon(), running=True)
    if command != "set":
        assert state(cloud) == before
    assert repairs_of(cloud)


def test_a_domain_starts_while_its_switch_is_missing(cloud: Control) -> None:
    """Its network comes with the switch: it is not said that there is no subnet, and it goes to no other one."""
    repairing, host = repairs_of(cloud), DirectHost(cloud.config)
    for name in ("blue", "green"):
        delete(cloud, f"Logical_Switch {uuids.switch(name)}")
        interfaces = {
            "blue": Interface(SECOND, InterfaceType.BRIDGE),
            "green": Interface(SECOND, InterfaceType.NETWORK, network="green"),
        }
        domain = Domain(UUID(int=7), "www", 1, (interfaces[name],), (SECOND,))
        with pytest.raises(Unavailable, match=f"switch of subnet {name} is missing"):
            host.attach(domain, soon())
        assert len(host.attach(domain, soon(), running=True).refused) == 1
        repairing.repair(soon())
        host.attach(web(), soon(), running=True)
        host.attach(domain, soon())
        assert [port.subnet for port in host.northbound.ports(soon(), domain=str(domain.uuid))] == [name]
        host.detach(domain, soon())
        host.release_leases(domain.uuid, soon())


def test_a_domain_starts_while_the_switch_of_its_own_subnet_is_missing(cloud: Control) -> None:
    """It is not made a second time."""
    repairing, host = repairs_of(cloud), DirectHost(cloud.config)
    domain = Domain(
        UUID(int=7), "www", 1, (Interface(SECOND, InterfaceType.BRIDGE, InterfaceRequest(isolated=True)),), (SECOND,)
    )
    host.attach(domain, soon())
    (before,) = host.northbound.ports(soon(), domain=str(domain.uuid))
    host.detach(domain, soon())
    assert repairing.defects(soon()) == ()
    delete(cloud, f"Logical_Switch {uuids.switch(before.subnet)}")
    with pytest.raises(Unavailable, match=f"switch of subnet {before.subnet} is missing"):
        host.attach(domain, soon())
    repairing.repair(soon())
    host.attach(domain, soon())
    assert host.northbound.ports(soon(), domain=str(domain.uuid)) == [before]


def test_one_switch_that_is_missing_keeps_no_other_interface_from_its_port(cloud: Control) -> None:
    """Of a domain that runs."""
    delete(cloud, f"Logical_Switch {uuids.switch('green')}")
    there = (
        Interface(MAC, InterfaceType.BRIDGE, InterfaceRequest("green")),
        Interface(SECOND, InterfaceType.BRIDGE, InterfaceRequest("blue")),
    )
    host = DirectHost(cloud.config)
    attached = host.attach(Domain(UUID(int=7), "www", 1, there, (MAC, SECOND)), soon(), running=True)
    assert [port.subnet for port in host.northbound.ports(soon(), domain=str(UUID(int=7)))] == ["blue"]
    assert ["green" in str(error) for error in attached.refused] == [True]


def test_dhcp_options_of_guests(cloud: Control) -> None:
    """Ports of guests that run refer to them again at once: the reference went with the row."""
    repairing = repairs_of(cloud)
    before = state(cloud)
    for version in (uuids.dhcp_options, uuids.dhcpv6_options):
        delete(cloud, f"DHCP_Options {version('blue')}")
    repairing.repair(soon())
    assert state(cloud) == before


def test_what_cannot_be_read_stops_repairs_and_is_reported(cloud: Control) -> None:
    """A row that makes no sense and has no copy: what is to be is not known, so nothing is taken for left over."""
    repairing = repairs_of(cloud)
    ids = [["ovnhook:kind", "subnet"], ["ovnhook:subnet", "odd"], ["ovnhook:cidr", "10.1"]]
    cloud.northbound.transact(
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "odd", "external_ids": ["map", ids]}}
    )
    delete(cloud, f"DHCP_Options {uuids.dhcp_options('blue')}")
    (defect,) = repairing.defects(soon())
    assert "can't be read" in defect.what
    assert defect.hint
    assert "can't be read" in cloud.ovnhook("status").out


def test_two_services_at_once(cloud: Control) -> None:
    """The second one finds nothing to repair, or that the first one was faster."""
    first, second = repairs_of(cloud), repairs_of(cloud)
    before = state(cloud)
    delete(cloud, f"Logical_Switch {uuids.switch('green')}")
    found = second._read(soon())
    first.repair(soon())
    second._repair(found, soon())
    assert state(cloud) == before


def test_a_floating_ip_goes_with_its_lease(cloud: Control) -> None:
    """It is not taken for one that was deleted by hand."""
    repairing = repairs_of(cloud)
    DirectHost(cloud.config).release_leases(web().uuid, soon())
    assert repairing.defects(soon()) == ()
    DirectHost(cloud.config).attach(web(), soon())
    assert repairing.defects(soon()) == ()


def test_a_subnet_that_was_created_a_moment_ago(cloud: Control) -> None:
    """Who looked for it too early finds its copy and its switch now: nothing has to be repaired."""
    northbound = Northbound(cloud.northbound.remote)
    asked = ["blue", "none"]

    def without_switch() -> frozenset[str]:
        wanted = [queries.subnets(asked), queries.missing_switches(asked)]
        return northbound.query(Observed(), wanted, soon()).missing_switches

    assert without_switch() == frozenset()
    delete(cloud, f"Logical_Switch {uuids.switch('blue')}")
    assert without_switch() == {"blue"}
