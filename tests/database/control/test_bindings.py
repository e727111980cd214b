"""Hosts that have bound a guest's port in addition, to be sent copies of its packets. Real databases, real northd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.control.bindings import BindingsGuard
from ovnhook.databases.northbound import Northbound
from ovnhook.ovsdb.connection import Database
from tests.database.control_service import Control
from tests.database.northd import Northd
from tests.database.ovsdb_server import run, wait_for
from tests.database.southbound_rows import add_chassis


@pytest.fixture
def port(control: Control, directory: Path) -> Iterator[str]:
    """Port of web1 on hv1, beside hosts hv2 and hv3."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.attach("web1", "blue", "10.1.0.11")
    for name in ("hv1", "hv2", "hv3"):
        add_chassis(control.southbound, name)
    (row,) = control.done("port", "list", "--format", "json").json
    with Northd(directory, control.northbound, control.southbound):
        yield str(row["id"])


def bind(control: Control, port: str, *hosts: str) -> None:
    """Bind a port on chassis, in addition, as their ovn-controller or an attacker does."""
    uuids = [uuid for uuid, row in control.southbound.dump()["Chassis"].items() if row["name"] in hosts]
    several = f"additional_chassis=[{','.join(uuids)}]"
    run("ovn-sbctl", f"--db={control.southbound.remote}", "set", "Port_Binding", port, several)


def bound(control: Control, port: str) -> list[str]:
    """Chassis that a port has in addition."""
    names = {uuid: row["name"] for uuid, row in control.southbound.dump()["Chassis"].items()}
    (row,) = (row for row in control.southbound.dump()["Port_Binding"].values() if row["logical_port"] == port)
    kind, found = row["additional_chassis"]
    return sorted(names[uuid] for _, uuid in (found if kind == "set" else [row["additional_chassis"]]))


def test_an_uninvited_host(control: Control, port: str) -> None:
    """It is removed, and the status names it and the domain."""
    bind(control, port, "hv2")
    wait_for(lambda: bound(control, port) == [])
    said = control.ovnhook("status").out
    assert "host hv2 was sent copies of the packets of domain web1, whose port it had bound, too; removed" in said
    assert "ovnhook certificate revoke hv2 --role node" in said


def test_the_destination_of_a_migration(control: Control, port: str) -> None:
    """It stays, also when the port is its alone, and another host does not."""
    northbound = ("ovn-nbctl", f"--db={control.northbound.remote}", "--wait=sb")
    run(*northbound, "set", "Logical_Switch_Port", port, "options:requested-chassis=hv1,hv2")
    southbound = Database(control.southbound.remote, "OVN_Southbound")
    guard = BindingsGuard(southbound)
    bind(control, port, "hv2", "hv3")
    for requested in ("hv1,hv2", "hv2"):
        run(*northbound, "set", "Logical_Switch_Port", port, f"options:requested-chassis={requested}")
        for _ in range(2):
            guard.scan(Deadline.after(HANG))
        assert bound(control, port) == ["hv2"]
    run(*northbound, "set", "Logical_Switch_Port", port, "options:requested-chassis=hv1")
    wait_for(lambda: bound(control, port) == [])
    southbound.close()


def test_ports_of_others(control: Control, port: str) -> None:
    """They are none of ovnhook's."""
    del port
    run("ovn-nbctl", f"--db={control.northbound.remote}", "--wait=sb", "lsp-add", "blue", "foreign")
    bind(control, "foreign", "hv3")
    guard = BindingsGuard(Database(control.southbound.remote, "OVN_Southbound"))
    for _ in range(2):
        guard.scan(Deadline.after(HANG))
    assert bound(control, "foreign") == ["hv3"]
    assert Northbound(control.northbound.remote).ports(Deadline.after(HANG))[0].domain_name == "web1"
