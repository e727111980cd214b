"""Virtual addresses by the command, with floating IPs, and their rows, which the control service repairs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.ovsdb.operation import as_map, as_set
from ovnhook.resources.virtual_address.values import virtual_port_uuid
from tests.database.control_service import Control
from tests.database.our_rows import delete, state
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis

OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
VIP = "10.1.0.100"
DNS_ROW = f"DNS {uuids.lease('blue', VIP)}"
PORT_ROW = f"Logical_Switch_Port {virtual_port_uuid('blue', IPAddress(VIP))}"


@pytest.fixture
def cloud(control: Control) -> Control:
    """A subnet with a way out, and two ports that share an address."""
    for host in ("hv1", "hv2"):
        add_chassis(control.southbound, host, options="")
    control.done("router", "set", "gateway", *OUTSIDE)
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    for name, host in (("one", "hv1"), ("two", "hv2")):
        control.done("port", "create", name, "--host", host, "--virtual-address", VIP)
    return control


def shown(control: Control, *arguments: str) -> Any:
    """What the command shows."""
    return control.done(*arguments, "--format", "json").json


def test_what_is_shown(cloud: Control) -> None:
    """Of a port and of a subnet; the same again succeeds, another one is refused."""
    assert shown(cloud, "port", "show", "one")["virtual_addresses"] == [VIP]
    virtual = [{"address": VIP, "domains": ["one", "two"]}]
    assert shown(cloud, "subnet", "show", "blue")["virtual_addresses"] == virtual
    assert [one["virtual_addresses"] for one in shown(cloud, "subnet", "list")] == [virtual]
    assert ["virtual", "addresses", "10.1.0.100", "(one,", "two)"] in cloud.done("subnet", "show", "blue").table
    again = ("port", "create", "one", "--host", "hv1", "--virtual-address")
    cloud.done(*again, VIP)
    error, _ = cloud.refused(4, *again, "10.1.0.101")
    assert error.endswith('configuration is virtual-address="10.1.0.100", not virtual-address="10.1.0.101"')
    error, _ = cloud.refused(2, *again, "web")
    assert error == "domain one: interface 0: virtual addresses: 'web' is not an IP address"
    error, _ = cloud.refused(5, "subnet", "set", "blue", "--gateway", VIP)
    assert error == "gateway 10.1.0.100 is a virtual address of one, two"
    for name in ("one", "two"):
        cloud.done("port", "delete", name)
    assert shown(cloud, "subnet", "show", "blue")["virtual_addresses"] == []
    cloud.clear()


def test_a_floating_ip(cloud: Control) -> None:
    """It leads to the virtual address, whoever has it, and goes with it."""
    made = shown(cloud, "floating-ip", "create", "203.0.113.20", VIP)
    assert (made["inside"], made["domain"], made["domain_name"], made["mac"]) == (VIP, "", "", "")
    assert shown(cloud, "floating-ip", "create", "203.0.113.20", f"blue/{VIP}") == made
    assert shown(cloud, "floating-ip", "list") == [made]
    assert shown(cloud, "floating-ip", "list", "--domain", "one") == []
    error, _ = cloud.refused(4, "floating-ip", "create", "203.0.113.21", VIP)
    assert error == "10.1.0.100 of virtual address 10.1.0.100 has the floating IP 203.0.113.20"
    error, _ = cloud.refused(4, "floating-ip", "create", "203.0.113.20", "one")
    assert error == "address 203.0.113.20 is the floating IP of virtual address 10.1.0.100 (blue)"
    row = cloud.northbound.dump()["NAT"][made["nat"]]
    assert (row["type"], row["external_ip"], row["logical_ip"]) == ("dnat_and_snat", "203.0.113.20", VIP)
    cloud.done("port", "delete", "one")
    assert shown(cloud, "floating-ip", "list") == [made]
    cloud.done("port", "delete", "two")
    assert shown(cloud, "floating-ip", "list") == []


def change(control: Control, row: str, *mutations: Any) -> None:
    """Change a row by hand."""
    table, _, uuid = row.partition(" ")
    where = [["_uuid", "==", ["uuid", uuid]]]
    (done,) = control.northbound.transact({"op": "mutate", "table": table, "where": where, "mutations": [*mutations]})
    assert done["count"] == 1


ACCIDENTS: dict[str, Callable[[Control], object]] = {
    "reservation deleted": lambda control: delete(control, DNS_ROW),
    "port deleted": lambda control: delete(control, PORT_ROW),
    "both deleted": lambda control: [delete(control, row) for row in (DNS_ROW, PORT_ROW)],  # type: ignore[func-returns-value]
    "parents changed": lambda control: change(
        control,
        PORT_ROW,
        ["options", "delete", as_set(["virtual-parents"])],
        ["options", "insert", as_map({"virtual-parents": "other"})],
    ),
    "parents removed": lambda control: change(control, PORT_ROW, ["options", "delete", as_set(["virtual-parents"])]),
    "address changed": lambda control: change(
        control,
        PORT_ROW,
        ["options", "delete", as_set(["virtual-ip"])],
        ["options", "insert", as_map({"virtual-ip": "10.1.0.1"})],
    ),
    "a domain of nobody": lambda control: change(
        control, DNS_ROW, ["records", "insert", as_map({f"{uuids.switch('gone')}/52:54:00:00:00:99": "gone"})]
    ),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_every_accident_is_repaired(cloud: Control, accident: str, caplog: pytest.LogCaptureFixture) -> None:
    """By a running control service, in seconds; the log says what it was; a floating IP stays."""
    caplog.set_level(logging.WARNING, "ovnhook.control")
    cloud.done("floating-ip", "create", "203.0.113.20", VIP)
    before = state(cloud)
    ACCIDENTS[accident](cloud)
    assert state(cloud) != before
    wait_for(lambda: state(cloud) == before)
    wait_for(lambda: "repaired in OVN_Northbound: domain " in caplog.text)
    assert "not repaired" not in caplog.text
