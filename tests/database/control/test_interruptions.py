"""Commands that would cut a working external connection: refused, with what they would cut, unless they are forced."""

from __future__ import annotations

import pytest

from tests.database.control_service import Control
from tests.database.ovsdb_server import wait_for_scans
from tests.database.southbound_rows import add_chassis, set_active_gateway, set_reports

OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
OUTSIDE6 = ("--address6", "2001:db8::10/64", "--next-hop6", "2001:db8::1")


@pytest.fixture
def cloud(control: Control) -> Control:
    """Two guests, one with a floating IP, behind a router whose external gateway is on gw1; another router without."""
    add_chassis(control.southbound, "gw1", mappings="external:br-ex,spare:br-spare")
    add_chassis(control.southbound, "hv1", options="", mappings="")
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    control.done("router", "create", "inner")
    control.done("router", "set", "gateway", *OUTSIDE, *OUTSIDE6)
    set_active_gateway(control.southbound, "gateway", "gw1")
    control.attach("web1", "blue", "10.1.0.11")
    control.attach("web2", "green", "10.2.0.12", "52:54:00:00:00:02")
    control.done("floating-ip", "create", "203.0.113.20", "web1")
    return control


def _silence(cloud: Control) -> None:
    """Let gw1's ovn-controller answer no question any more, and northd answer all."""
    cloud.northbound.transact({"op": "insert", "table": "NB_Global", "row": {"nb_cfg": 10}})
    cloud.southbound.transact(
        {"op": "update", "table": "Chassis_Private", "where": [["name", "==", "gw1"]], "row": {"nb_cfg": 0}},
        {"op": "insert", "table": "SB_Global", "row": {"nb_cfg": 1_000_000}},
    )


ALL = "this interrupts external connectivity of 2 guests and 1 floating IP, through gateway host gw1"
CUTS = [
    (
        "router set gateway --physical-network nosuch",
        f"router gateway: no gateway host has a bridge for physical network nosuch; {ALL}",
    ),
    (
        "router set gateway --physical-network spare",
        f"router gateway: its physical network changes from external to spare; {ALL}",
    ),
    ("router set gateway --vlan 42", f"router gateway: its VLAN changes from none to 42; {ALL}"),
    (
        "router set gateway --address6 2001:db8:1::10/64 --next-hop6 2001:db8:1::1",
        f"router gateway: its address moves from 2001:db8::/64 to 2001:db8:1::/64; {ALL}",
    ),
    (
        "subnet set green --no-router",
        "router gateway: subnet green leaves the router; "
        "this interrupts external connectivity of 1 guest, through gateway host gw1",
    ),
    (
        "subnet set green --router inner",
        "router gateway: subnet green moves to router inner; "
        "this interrupts external connectivity of 1 guest, through gateway host gw1",
    ),
    (
        "subnet set blue --gateway 10.1.0.254",
        "router gateway: running guests of subnet blue keep 10.1.0.1 as their default route for a while; "
        "this interrupts external connectivity of 1 guest and 1 floating IP, through gateway host gw1",
    ),
    ("node remove gw1", f"router gateway: no other host than gw1 can be its gateway; {ALL}"),
]


@pytest.mark.parametrize(("command", "error"), CUTS)
def test_what_cuts_is_refused(cloud: Control, command: str, error: str) -> None:
    """Nothing is written, the error says what would be cut, and --force does it."""
    if command.startswith("node"):
        _silence(cloud)
    words = command.split()
    before = {k: v for k, v in cloud.northbound.dump(versions=True).items() if k != "NB_Global"}
    done = cloud.ovnhook(*words)
    assert (done.status, done.out) == (5, "")
    assert done.error.splitlines()[0] == f"error: {error}"
    assert done.error.splitlines()[1].endswith("to do it anyway: --force")
    assert {k: v for k, v in cloud.northbound.dump(versions=True).items() if k != "NB_Global"} == before
    cloud.done(*words, "--force")
    assert cloud.northbound.dump(versions=True) != before or command.startswith("node")


@pytest.mark.parametrize(
    "command",
    [
        "router set gateway --no-external",
        "router set gateway --address 198.51.100.9/24 --next-hop 198.51.100.1",
    ],
)
def test_what_cuts_guests_without_floating_ips(cloud: Control, command: str) -> None:
    """The same without a floating IP, which keeps its router's address whatever is forced."""
    assert cloud.ovnhook(*command.split(), "--force").status == 5
    cloud.done("floating-ip", "delete", "203.0.113.20")
    said, advice = cloud.refused(5, *command.split())
    assert said.endswith("interrupts external connectivity of 2 guests, through gateway host gw1")
    assert advice == "to do it anyway: --force"
    cloud.done(*command.split(), "--force")


@pytest.mark.parametrize(
    "command",
    [
        "router set gateway --address 203.0.113.11/24",
        "router set gateway --address 203.0.113.11/25 --next-hop 203.0.113.1",
        "router set gateway --next-hop 203.0.113.1",
        "router set gateway --no-snat",
        "router set gateway --vlan 0",
        "router set gateway --physical-network external",
        "router set inner --physical-network nosuch --address 198.51.100.9/24 --next-hop 198.51.100.1",
        "subnet set blue --dns 10.1.0.53",
        "subnet set blue --isolated",
        "subnet set blue --mtu 1400",
    ],
)
def test_what_cuts_nothing_goes_through(cloud: Control, command: str) -> None:
    """Another address in the same network, another setting, a router that has no external gateway yet."""
    cloud.done("floating-ip", "delete", "203.0.113.20")
    cloud.done(*command.split())


def test_what_does_not_work_can_be_changed(cloud: Control) -> None:
    """With its uplink down, or nobody's, the external gateway serves no one: what may be a repair goes through."""
    set_reports(cloud.southbound, "gw1", uplinks_down="external")
    cloud.done("router", "set", "gateway", "--vlan", "42")
    set_reports(cloud.southbound, "gw1", uplinks_down="")
    cloud.refused(5, "router", "set", "gateway", "--vlan", "43")
    cloud.southbound.transact(
        {"op": "update", "table": "Port_Binding", "where": [], "row": {"chassis": ["set", []]}},
    )
    cloud.done("router", "set", "gateway", "--vlan", "43")


def test_a_subnet_may_move_to_a_router_that_leads_outside(cloud: Control) -> None:
    """Its guests are seen outside with another address, and go on."""
    other = ("--physical-network", "external", "--address", "203.0.113.11/24", "--next-hop", "203.0.113.254")
    cloud.done("router", "create", "second", *other)
    set_active_gateway(cloud.southbound, "second", "gw1")
    cloud.done("subnet", "set", "green", "--router", "second")


def test_an_unknown_network_without_guests(control: Control) -> None:
    """It is refused too, where there are gateway hosts, and made where there are none yet."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("router", "set", "gateway", *OUTSIDE)
    control.done("router", "set", "gateway", "--physical-network", "planned")
    control.done("router", "set", "gateway", "--physical-network", "external")
    add_chassis(control.southbound, "gw1")
    wait_for_scans(control.service._gateways, "_log_errors")
    said, advice = control.refused(5, "router", "set", "gateway", "--physical-network", "nosuch")
    assert "no gateway host has a bridge for physical network nosuch" in said
    assert advice == "gateway hosts have: external; to do it anyway: --force"
    shown = control.done("router", "set", "gateway", "--physical-network", "nosuch", "--force", "--format", "json").json
    assert (shown["physical_network"], shown["active_gateway"]) == ("nosuch", "")


def test_a_gateway_host_beside_another_one_can_be_removed(cloud: Control) -> None:
    """The other one takes its place."""
    add_chassis(cloud.southbound, "gw2")
    _silence(cloud)
    cloud.done("node", "remove", "gw1")
