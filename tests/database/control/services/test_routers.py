"""Routers by the control service and the command, on real databases: the rows of each, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ovnhook.base import uuids
from ovnhook.control.services import routers
from tests.database.control_service import Control
from tests.database.full_cloud import OUTSIDE, gateways
from tests.database.our_rows import count
from tests.database.ovsdb_server import wait_for, wait_for_scans
from tests.database.southbound_rows import add_chassis, set_active_gateway, set_reports, start_northd


def named(rows: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The row of that name."""
    (found,) = (row for row in rows.values() if row["name"] == name)
    return found


def test_the_default_router_comes_and_goes_with_its_subnets(control: Control) -> None:
    """With the first subnet and the last one; a subnet without a router has none of it."""
    control.done("subnet", "create", "alone", "10.9.0.0/24", "--no-router")
    assert count(control.northbound.dump()) == {
        "Logical_Switch": 1,
        "Logical_Switch_Port": 1,
        "DHCP_Options": 1,
        "DNS": 1,
    }
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "green", "10.2.0.0/24", "--gateway", "10.2.0.254")
    rows = control.northbound.dump()
    assert count(rows) == {
        "Logical_Switch": 3,
        "DHCP_Options": 3,
        "DNS": 3,
        "Logical_Router": 1,
        "Logical_Router_Port": 2,
        "Logical_Switch_Port": 5,
    }
    assert named(rows["Logical_Router_Port"], "subnet:green:gateway")["networks"] == "10.2.0.254/24"
    assert dict(named(rows["Logical_Switch_Port"], "router:green:gateway")["options"][1]) == {
        "router-port": "subnet:green:gateway"
    }
    assert control.done("router", "show", "gateway", "--format", "json").json["subnets"] == ["blue", "green"]
    options = {row["cidr"]: dict(row["options"][1]) for row in rows["DHCP_Options"].values()}
    assert {cidr: some.get("classless_static_route") for cidr, some in options.items()} == {
        "10.1.0.0/24": "{10.2.0.0/24,10.1.0.1}",
        "10.2.0.0/24": "{10.1.0.0/24,10.2.0.254}",
        "10.9.0.0/24": None,
    }
    assert not any("router" in some for some in options.values())  # the router has no external gateway
    for name in ("blue", "green", "alone"):
        control.done("subnet", "delete", name)
    assert count(control.northbound.dump()) == {}
    assert control.done("router", "list", "--format", "json").json == []


def test_a_router_that_reaches_the_outside_through_its_host(control: Control) -> None:
    """Addresses are chosen; a subnet that is a network of the host is refused, whichever comes first."""
    reports = {"agent": "1", "networks": "198.51.100.0/24 2001:db8::/64"}
    add_chassis(control.southbound, "gw1", mappings="host:br-host", reports=reports)
    add_chassis(control.southbound, "gw2", mappings="external:br-ex", reports={"networks": "10.9.0.0/16"})
    made = control.done("router", "set", "gateway", "--physical-network", "host", "--format", "json").json
    assert (made["address"], made["next_hop"]) == ("169.254.186.2/24", "169.254.186.1")
    assert (made["address6"], made["next_hop6"], made["no_snat"]) == (
        "fd6f:766e:686b::2/64",
        "fd6f:766e:686b::1",
        True,
    )
    control.done("subnet", "create", "blue", "10.9.0.0/24")
    shown = ("router", "show", "gateway", "--format", "json")
    wait_for(lambda: control.done(*shown).json["gateways"] == ["gw1"])
    for networks in (["198.51.0.0/16"], ["10.2.0.0/24", "--cidr6", "2001:db8::/64"]):
        why, _ = control.refused(5, "subnet", "create", "red", *networks)
        assert "of host gw1, through which router gateway reaches the outside" in why
    control.done("subnet", "create", "red", "198.51.100.128/25", "--no-router")
    why, _ = control.refused(5, "subnet", "set", "red", "--router", "gateway")
    assert "overlaps with network 198.51.100.0/24 of host gw1" in why
    control.done("router", "create", "lab")
    control.done("subnet", "set", "red", "--router", "lab")
    why, _ = control.refused(5, "router", "set", "lab", "--physical-network", "host")
    assert "of host gw1" in why
    other = control.done("router", "create", "lab2", "--physical-network", "host", "--format", "json").json
    assert other["address"] == "169.254.186.3/24"


def test_a_life_of_a_router(control: Control) -> None:
    """Make, set, show, list, delete; whatever is set, afterwards there are just the rows of it."""
    add_chassis(control.southbound, "gw1")
    add_chassis(control.southbound, "hv1", options="")
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    bare = count(control.northbound.dump())
    made = control.done("router", "set", "gateway", *OUTSIDE, "--format", "json").json
    assert made == {
        "name": "gateway",
        "physical_network": "external",
        "address": "203.0.113.10/24",
        "next_hop": "203.0.113.254",
        "vlan": 0,
        "no_snat": False,
        "address6": "",
        "next_hop6": "",
        "snat6": False,
        "limit_inbound": "",
        "limit_outbound": "",
        "subnets": ["blue"],
        "gateways": ["gw1"],
        "active_gateway": "",
        "logical_router": str(uuids.router("gateway")),
        "external_switch": str(uuids.part("external", "gateway")),
    }
    rows = control.northbound.dump()
    assert {table: number - bare.get(table, 0) for table, number in count(rows).items()} == {
        "DHCP_Options": 0,
        "DNS": 0,
        "HA_Chassis": 1,
        "HA_Chassis_Group": 1,
        "Logical_Router": 0,
        "Logical_Router_Port": 1,
        "Logical_Router_Static_Route": 1,
        "Logical_Switch": 1,
        "Logical_Switch_Port": 2,
        "NAT": 1,
    }
    port = named(rows["Logical_Router_Port"], "external:gateway")
    assert (port["networks"], dict(port["options"][1])) == ("203.0.113.10/24", {"gateway_mtu": "1442"})
    (nat,) = rows["NAT"].values()
    assert (nat["type"], nat["external_ip"], nat["logical_ip"]) == ("snat", "203.0.113.10", "10.1.0.0/24")
    assert control.done("router", "show", "gateway", "--format", "json").json == made
    assert control.done("router", "list", "--format", "json").json == [made]
    assert control.done("router", "list").table[1:] == [
        ["gateway", "blue", "external", made["address"], "203.0.113.254", "-"]
    ]

    control.done("subnet", "create", "green", "10.2.0.0/24")
    assert {row["logical_ip"] for row in control.northbound.dump()["NAT"].values()} == {"10.1.0.0/24", "10.2.0.0/24"}
    control.done("router", "set", "gateway", "--vlan", "42", "--no-snat")
    rows = control.northbound.dump()
    assert (named(rows["Logical_Switch_Port"], "localnet:gateway")["tag"], rows["NAT"]) == (42, {})
    control.done("router", "set", "gateway", "--no-vlan", "--snat")
    assert named(control.northbound.dump()["Logical_Switch_Port"], "localnet:gateway")["tag"] == ["set", []]

    control.done("subnet", "delete", "green")
    control.done("router", "set", "gateway", "--no-external")
    assert count(control.northbound.dump()) == bare
    control.refused(5, "router", "delete", "gateway")
    control.done("subnet", "set", "blue", "--no-router")
    assert control.refused(3, "router", "delete", "gateway")[0] == "there is no router 'gateway'"


def test_a_subnet_that_moves(control: Control) -> None:
    """From one router to another in one transaction; networks may be there twice, on two routers."""
    control.done("router", "create", "lab")
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    control.done("subnet", "set", "green", "--router", "lab")
    routers = {row["name"]: row["subnets"] for row in control.done("router", "list", "--format", "json").json}
    assert routers == {"gateway": ["blue"], "lab": ["green"]}
    control.done("subnet", "create", "second", "10.2.0.0/24")
    said, _ = control.refused(4, "subnet", "set", "green", "--router", "gateway")
    assert said == "network 10.2.0.0/24 overlaps with subnet second (10.2.0.0/24)"
    control.attach("web1", "green", "10.2.0.9")
    control.attach("web2", "second", "10.2.0.9", "52:54:00:00:00:02")
    said, advice = control.refused(2, "lease", "release", "10.2.0.9")
    assert said == "address 10.2.0.9 is one of subnets green and second"
    assert advice == "say which: --subnet NAME"


@pytest.mark.parametrize(
    ("status", "arguments", "error"),
    [
        (3, "show lab", "there is no router 'lab'"),
        (3, "delete lab", "there is no router 'lab'"),
        (3, "set lab --vlan 4", "there is no router 'lab'"),
        (2, "set gateway", "nothing to set"),
        (2, "set gateway --vlan 4", "an external gateway needs a physical network"),
        (2, "set gateway --vlan 4 --no-vlan", "--vlan and --no-vlan are mutually exclusive"),
        (2, "set gateway --snat --no-snat", "--snat and --no-snat are mutually exclusive"),
        (2, "set gateway --no-external --vlan 4", "--no-external and the external settings are mutually exclusive"),
        (2, "move gateway gw1", "router gateway has no external gateway"),
        (3, "move lab gw1", "there is no router 'lab'"),
        (2, "create a:b", "invalid router name 'a:b'"),
        (4, "create theirs", "a logical router 'theirs' exists that is not ovnhook's"),
        (5, "delete gateway", "router gateway is in use by subnet blue"),
        (
            4,
            "set gateway --physical-network x --address 10.1.9.9/16 --next-hop 10.1.9.1",
            "network 10.1.0.0/24 of subnet blue overlaps with the external network 10.1.0.0/16 of router gateway",
        ),
    ],
)
def test_what_is_refused(control: Control, status: int, arguments: str, error: str) -> None:
    """Every refusal: its words, its exit status, and that nothing was written."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.northbound.transact({"op": "insert", "table": "Logical_Router", "row": {"name": "theirs"}})
    assert error in control.refused(status, "router", *arguments.split())[0]


def test_gateways_follow_the_hosts(control: Control) -> None:
    """Who says that it can is in; who has lost its way outside is out; the active one is first."""
    add_chassis(control.southbound, "gw1")
    control.done("router", "set", "gateway", *OUTSIDE)
    assert gateways(control) == ["gw1"]
    add_chassis(control.southbound, "gw2")
    wait_for(lambda: sorted(gateways(control)) == ["gw1", "gw2"])
    second = gateways(control)[1]
    set_active_gateway(control.southbound, "gateway", second)
    wait_for(lambda: gateways(control)[0] == second)
    said, advice = control.refused(2, "router", "move", "gateway", "hv9")
    assert said == "host 'hv9' is not a gateway of router gateway"
    assert advice == "gateways: gw1, gw2"
    assert control.done("router", "move", "gateway", second, "--format", "json").json["active_gateway"] == second
    assert control.done("router", "show", "gateway", "--format", "json").json["active_gateway"] == second
    control.southbound.transact(
        {"op": "update", "table": "Chassis", "where": [["name", "!=", second]], "row": {"other_config": ["map", []]}}
    )
    wait_for(lambda: gateways(control) == [second])
    assert count(control.northbound.dump())["HA_Chassis"] == 1


def test_a_link_outside_that_is_down(control: Control) -> None:
    """Its host is behind the others, and the router cannot be moved there; where all are down nothing changes."""
    add_chassis(control.southbound, "gw1")
    add_chassis(control.southbound, "gw2")
    control.done("router", "set", "gateway", *OUTSIDE)
    first, second = gateways(control)
    set_active_gateway(control.southbound, "gateway", first)
    set_reports(control.southbound, first, uplinks_down="else external")
    wait_for(lambda: gateways(control) == [second, first])
    said, advice = control.refused(7, "router", "move", "gateway", first)
    assert said == f"host {first} has no link to the physical network external that is up"
    assert advice == "ovnhook status"
    set_active_gateway(control.southbound, "gateway", second)
    set_reports(control.southbound, second, uplinks_down="external")
    set_reports(control.southbound, first, uplinks_down="else")
    wait_for(lambda: gateways(control) == [first, second])
    set_active_gateway(control.southbound, "gateway", first)
    set_reports(control.southbound, first, uplinks_down="external")
    wait_for_scans(control.service._gateways, "_log_errors")
    assert gateways(control) == [first, second]


@pytest.mark.parametrize("active", ["lost", "none"])
def test_the_last_host(control: Control, active: str) -> None:
    """It is the only gateway until another one reports: it reaches no other chassis, so that OVN would have none."""
    now = f"{time.time():.0f}"
    for name in ("gw1", "gw2", "hv1"):
        add_chassis(control.southbound, name, reports={"agent": "1.0", "seen": now})
    control.southbound.transact(
        {
            "op": "update",
            "table": "Chassis",
            "where": [["name", "==", "hv1"]],
            "row": {"other_config": ["map", []]},
        }
    )
    control.done("router", "set", "gateway", *OUTSIDE)
    wait_for(lambda: sorted(gateways(control)) == ["gw1", "gw2"])
    if active == "lost":
        set_active_gateway(control.southbound, "gateway", "gw2")
    set_reports(control.southbound, "gw2", agent="1.0", seen="1000")
    wait_for_scans(control.service._gateways, "_log_errors")
    assert sorted(gateways(control)) == ["gw1", "gw2"]  # a failover is OVN's: gw1 reaches hv1
    set_reports(control.southbound, "hv1", agent="1.0", seen="1000")
    wait_for(lambda: gateways(control) == ["gw1"])
    set_active_gateway(control.southbound, "gateway", "gw1")
    wait_for_scans(control.service._gateways, "_log_errors")
    assert gateways(control) == ["gw1"]
    set_reports(control.southbound, "gw2", agent="1.0", seen=f"{time.time():.0f}")
    wait_for(lambda: gateways(control) == ["gw1", "gw2"])


def test_a_move_waits_for_the_flows(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not say that it has them is refused, and northd that does not; then nothing is moved."""
    monkeypatch.setattr(routers, "_FLOWS_TIMEOUT", 0.5)
    start_northd(control.northbound, control.southbound, answers=False)
    add_chassis(control.southbound, "gw1", nb_cfg=0)
    add_chassis(control.southbound, "gw2", nb_cfg=0)
    control.done("router", "set", "gateway", *OUTSIDE)

    def groups() -> object:
        return control.northbound.dump(versions=True)["HA_Chassis"]

    def refused(host: str) -> list[str]:
        done = control.ovnhook("router", "move", "gateway", host)
        assert done.status == 7
        return done.error.splitlines()

    before = groups()
    _, target = control.done("router", "show", "gateway", "--format", "json").json["gateways"]
    said, advice = refused(target)
    assert said.startswith("error: ovn-northd does not answer; the router is unchanged")
    assert advice == "hint: is ovn-northd running? ovnhook status"
    control.southbound.transact({"op": "update", "table": "SB_Global", "where": [], "row": {"nb_cfg": 99}})
    said, advice = refused(target)
    assert said.startswith(f"error: ovn-controller on host {target} does not answer; the router is unchanged")
    assert advice.endswith(f"ovnhook node show {target}")
    assert groups() == before
    control.southbound.transact(
        {"op": "update", "table": "Chassis_Private", "where": [["name", "==", target]], "row": {"nb_cfg": 99}}
    )
    set_active_gateway(control.southbound, "gateway", target)
    moved = control.done("router", "move", "gateway", target, "--format", "json").json
    assert (moved["active_gateway"], moved["gateways"][0]) == (target, target)


def test_the_southbound_database_away(control: Control) -> None:
    """Routers are made and shown without it; the gateways come when it is back."""
    add_chassis(control.southbound, "gw1")
    control.southbound.stop()
    control.done("router", "set", "gateway", *OUTSIDE)
    assert control.done("router", "show", "gateway", "--format", "json").json["gateways"] == []
    control.southbound.start()
    wait_for(lambda: control.done("router", "show", "gateway", "--format", "json").json["gateways"] == ["gw1"])


def test_many_at_once(control: Control) -> None:
    """Subnets come and go on one router, by several clients: each has its rows, and in the end there are none."""
    control.done("router", "set", "gateway", *OUTSIDE)
    bare = count(control.northbound.dump())

    def come_and_go(number: int) -> None:
        client = control.client()
        for turn in range(3):
            name = f"s{number}-{turn}"
            client.call("CreateSubnet", subnet={"name": name, "cidr": f"10.{number}.{turn}.0/24"})
            assert client.call("GetRouter", name="gateway")["subnets"].count(name) == 1
            client.call("DeleteSubnet", name=name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(1, 5)))
    assert count(control.northbound.dump()) == bare


def test_isolated_subnets(control: Control) -> None:
    """Two policies for each, which say nothing of another subnet and go with it."""

    def policies() -> set[tuple[int, str, str]]:
        rows = control.northbound.dump()["Logical_Router_Policy"].values()
        return {(row["priority"], row["action"], row["match"]) for row in rows}

    iso, leg = '"subnet:iso:gateway"', '"external:gateway"'
    pairs = ((iso, leg), (leg, iso), (iso, iso))
    apart = {
        (1001, "allow", " || ".join(f"(inport == {one} && outport == {other})" for one, other in pairs)),
        (1000, "drop", f"inport == {iso} || outport == {iso}"),
    }
    control.done("subnet", "create", "iso", "10.71.0.0/24", "--isolated")
    assert policies() == apart
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    assert policies() == apart
    control.done("subnet", "set", "blue", "--no-router")
    assert policies() == apart
    control.done("subnet", "set", "iso", "--no-isolated")
    assert policies() == set()
    control.done("subnet", "set", "iso", "--isolated")
    assert policies() == apart
    control.done("subnet", "delete", "iso")
    assert policies() == set()


@pytest.mark.parametrize("service", ["router", "subnet"])
def test_what_is_asked_for_is_what_is_shown(control: Control, service: str) -> None:
    """One option at a time, one value after another, also values that only differ in host bits, and empty ones."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")
    both = ("--address6", "2001:db8::10/64", "--next-hop6", "2001:db8::1")
    control.done("router", "set", "gateway", *OUTSIDE, *both)
    router = [
        ("--address", "203.0.113.11/24", "address", "203.0.113.11/24"),
        ("--next-hop", "203.0.113.1", "next_hop", "203.0.113.1"),
        ("--address", "203.0.113.11/25", "address", "203.0.113.11/25"),
        ("--address", "203.0.113.11/24", "address", "203.0.113.11/24"),
        ("--address6", "2001:db8::11/64", "address6", "2001:db8::11/64"),
        ("--address6", "2001:DB8::0:12/64", "address6", "2001:db8::12/64"),
        ("--address6", "2001:db8::12/96", "address6", "2001:db8::12/96"),
        ("--next-hop6", "2001:db8::2", "next_hop6", "2001:db8::2"),
        ("--physical-network", "other", "physical_network", "other"),
        ("--vlan", "7", "vlan", 7),
        ("--vlan", "0", "vlan", 0),
        ("--vlan", "4094", "vlan", 4094),
        ("--no-vlan", None, "vlan", 0),
        ("--no-snat", None, "no_snat", True),
        ("--snat", None, "no_snat", False),
        ("--snat6", None, "snat6", True),
        ("--no-snat6", None, "snat6", False),
    ]
    subnet = [
        ("--gateway", "10.1.0.9", "gateway", "10.1.0.9"),
        ("--gateway", "", "gateway", "10.1.0.1"),
        ("--dns", "10.1.0.53", "dns", ["10.1.0.53"]),
        ("--no-dns", None, "dns", []),
        ("--domain", "lab.example", "dns_domain", "lab.example"),
        ("--domain", "", "dns_domain", ""),
        ("--range", "10.1.0.10-10.1.0.19", "ranges", ["10.1.0.10-10.1.0.19"]),
        ("--no-range", None, "ranges", []),
        ("--mtu", "1400", "mtu", 1400),
        ("--mtu", "0", "mtu", 1442),
        ("--cidr6", "fd00:2::/64", "cidr6", "fd00:2::/64"),
        ("--no-cidr6", None, "cidr6", ""),
        ("--isolated", None, "isolated", True),
        ("--no-isolated", None, "isolated", False),
        ("--no-router", None, "router", ""),
        ("--default", None, "default", True),
    ]
    name, asked = ("gateway", router) if service == "router" else ("blue", subnet)
    for option, value, field, expected in asked:
        words = [option] if value is None else [option, str(value)]
        said = control.done(service, "set", name, *words, "--format", "json").json[field]
        assert said == expected, words
        assert control.done(service, "show", name, "--format", "json").json[field] == expected
        before = control.northbound.dump(versions=True)
        control.done(service, "set", name, *words, "--format", "json")
        assert control.northbound.dump(versions=True) == before, words


def test_the_address_of_a_router_is_what_was_set(control: Control) -> None:
    """In the rows as well, whose host bits are what OVN goes by."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("router", "set", "gateway", *OUTSIDE)
    control.done("router", "set", "gateway", "--address", "203.0.113.11/24")
    rows = control.northbound.dump()
    assert named(rows["Logical_Router_Port"], "external:gateway")["networks"] == "203.0.113.11/24"
    assert [row["external_ip"] for row in rows["NAT"].values()] == ["203.0.113.11"]


def test_what_a_gateway_lets_in_is_what_its_subnets_take(
    control: Control, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever control host is asked, and whatever it measures of its own interfaces: nothing is written then."""

    def mtu() -> str:
        port = named(control.northbound.dump()["Logical_Router_Port"], "external:gateway")
        return str(dict(port["options"][1])["gateway_mtu"])

    control.done("subnet", "create", "blue", "10.1.0.0/24", "--mtu", "1400")
    control.done("router", "set", "gateway", *OUTSIDE)
    assert mtu() == "1400"
    control.done("subnet", "create", "green", "10.2.0.0/24", "--mtu", "1432")
    assert mtu() == "1432"
    before = control.northbound.dump(versions=True)
    command = tmp_path / "ip"
    command.write_text('#!/bin/sh\necho "no interface can be asked for" >&2; exit 1\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    control.done("router", "set", "gateway", *OUTSIDE)
    assert control.northbound.dump(versions=True) == before
