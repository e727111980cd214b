"""Hosts that write nonsense into their own rows of the southbound database: all others are served as before."""

from __future__ import annotations

from typing import Any

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Operation, as_map, as_set, insert_named, update
from tests.database.control_service import Control
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis, set_reports, start_northd

LONG = "9" * 5_000
LARGEST_LIST = 40_000
"""Characters of a list of hosts, whatever they say of themselves; the tests below write several times as much."""
LARGEST = (1 << 63) - 1


def transact(control: Control, *operations: Operation) -> None:
    """Write to the southbound database; an operation may be larger than an argument of a command."""
    database = Database(control.southbound.remote, "OVN_Southbound")
    database.transact(operations, Deadline.after(HANG))
    database.close()


def write(control: Control, table: str, **columns: Any) -> None:
    """Write columns of hv1's row."""
    transact(control, update(table, ["name", "==", "hv1"], columns))


@pytest.fixture
def cloud(control: Control) -> Control:
    """Two hosts, of which hv1 lies."""
    start_northd(control.northbound, control.southbound)
    add_chassis(control.southbound, "hv1")
    add_chassis(control.southbound, "hv2", reports={"agent": "1.2", "mtu": "1442"})
    return control


@pytest.mark.parametrize("text", [LONG, LONG[:400], "-1", "²", "٣", "\x1b[31m", "1e9", ""], ids=lambda text: text[:5])
def test_reports(cloud: Control, text: str) -> None:
    """Each key of its report, which its agent may write in a cloud of an earlier version."""
    set_reports(cloud.southbound, "hv1", agent=text, seen=text, ovs=text, uplinks_down=text, problems=text, mtu=text)
    all_served(cloud)


@pytest.mark.parametrize("number", [LARGEST, -LARGEST, -1])
def test_numbers(cloud: Control, number: int) -> None:
    """The numbers by which its ovn-controller tells how far it is."""
    write(cloud, "Chassis_Private", nb_cfg=number, nb_cfg_timestamp=number)
    all_served(cloud)


def test_long_texts(cloud: Control) -> None:
    """Names and settings that would make an answer too large for its reader."""
    many = ",".join(f"{number}x{LONG}:br" for number in range(15))
    config = {"ovn-bridge-mappings": many, "ovn-cms-options": many}
    write(cloud, "Chassis", hostname=LONG * 5, other_config=as_map(config))
    ids = {"agent": LONG, "ovs": LONG, "uplinks-down": many.replace(",", " ")}
    write(cloud, "Chassis_Private", external_ids=as_map({f"ovnhook:{key}": value for key, value in ids.items()}))
    all_served(cloud)


def test_many_tunnel_endpoints(cloud: Control) -> None:
    """More and longer ones than any host has."""
    made = [
        insert_named("Encap", f"e{number}", {"type": "geneve", "ip": f"{number}-{LONG[:500]}", "chassis_name": "hv1"})
        for number in range(150)
    ]
    ends = as_set(["named-uuid", f"e{number}"] for number in range(len(made)))
    transact(cloud, *made, update("Chassis", ["name", "==", "hv1"], {"encaps": ends}))
    all_served(cloud)


def all_served(cloud: Control) -> None:
    """Hosts are listed, the status is told, and a subnet is created and gets a gateway."""
    found = cloud.done("node", "list", "--format", "json")
    assert [node["name"] for node in found.json] == ["hv1", "hv2"]
    assert len(found.out) < LARGEST_LIST
    wait_for(lambda: "hv2" in cloud.ovnhook("status").out)  # a database that has much to send may be late once
    cloud.done("subnet", "create", "blue", "10.1.0.0/24")
    cloud.done("subnet", "delete", "blue")
