"""Whether all is well, asked of real databases: what is down is told, and what is left is still shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import HANG
from ovnhook.control import server
from ovnhook.control.services import status as service
from tests.database.control_service import Control
from tests.database.ovsdb_server import Cluster, Server, wait_for, wait_for_scans
from tests.database.southbound_rows import add_chassis, set_active_gateway, set_reports, start_northd

OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
PARTS = {"problems", "notes", "northd", "databases", "nodes", "gateways", "subnets"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that are silent are not waited for so long; a database that answers has all the time."""
    monkeypatch.setattr(service, "_CHASSIS_TIMEOUT", 0.5)
    monkeypatch.setattr(service, "_TIMEOUT", HANG)


def seen() -> dict[str, str]:
    """What an agent tells that runs."""
    return {"agent": "1.2", "seen": str(int(time.time()))}


@pytest.fixture
def well(control: Control) -> Control:
    """A cloud that lacks nothing."""
    start_northd(control.northbound, control.southbound)
    for name in ("gw1", "gw2"):
        add_chassis(control.southbound, name, reports=seen())
    add_chassis(control.southbound, "hv1", options="", mappings="", reports=seen())
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("router", "set", "gateway", *OUTSIDE)
    set_active_gateway(control.southbound, "gateway", "gw1")
    return control


def status(control: Control) -> dict[str, Any]:
    """What the command says; its exit status says the same."""
    done = control.ovnhook("status", "--format", "json")
    assert done.error == ""
    assert done.json.keys() == {"ok"} | PARTS
    assert done.json["ok"] is not bool(done.json["problems"])
    assert done.status == (0 if done.json["ok"] else 8)
    found: dict[str, Any] = done.json
    return found


def problems(control: Control) -> list[str]:
    """What is wrong, all with hints."""
    found = status(control)["problems"]
    assert all(one["hint"] for one in found)
    return [one["what"] for one in found]


def test_all_is_well(well: Control) -> None:
    """Then the first word is ok, and every part is shown."""
    found = status(well)
    assert found["ok"]
    assert found["northd"]["active"]
    assert found["northd"]["hosts_ms"] >= found["northd"]["southbound_ms"] >= 0
    stands = {"reachable": True, "model": "standalone", "connected": True, "leader": True}
    assert found["databases"] == [
        {"database": "northbound", "remote": well.northbound.remote, **stands},
        {"database": "southbound", "remote": well.southbound.remote, **stands},
    ]
    assert [node["name"] for node in found["nodes"]] == ["gw1", "gw2", "hv1"]
    assert found["gateways"] == [
        {
            "router": "gateway",
            "physical_network": "external",
            "gateways": well.done("router", "show", "gateway", "--format", "json").json["gateways"],
            "active_gateway": "gw1",
        }
    ]
    assert found["subnets"] == [{"subnet": "blue", "used": 0, "capacity": 252}]
    shown = well.done("status").table
    assert shown[0] == ["ok"]
    assert "next:" not in well.done("status").out
    assert [line[0] for line in shown if line and line[0].isupper()] == ["DATABASE", "NAME", "ROUTER", "SUBNET"]
    assert well.done("status", "--format", "yaml").out.startswith("ok: true\n")


def test_what_comes_next(control: Control) -> None:
    """Before anything is set up, and half-way: all is well, and the next command is shown."""
    start_northd(control.northbound, control.southbound)
    wait_for(lambda: status(control)["ok"])
    before = control.done("status").out.splitlines()
    assert before[0] == "ok"
    assert [line.split("   ")[0] for line in before if line.startswith("next: ")] == [
        "next: ovnhook node init --all-in-one",
        "next: ovnhook node init --control",
    ]
    assert "next" not in control.done("status", "--format", "json").out
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    assert "next: ovnhook node token NAME " in control.done("status").out


def test_it_asks(well: Control) -> None:
    """Each time NB_Global.nb_cfg is counted up, and nothing else is written."""
    before = well.northbound.dump(versions=True), well.southbound.dump(versions=True)
    status(well)
    after = well.northbound.dump(versions=True), well.southbound.dump(versions=True)
    assert after[1] == before[1]
    (old,), (new,) = (dump[0].pop("NB_Global").values() for dump in (before, after))
    assert new["nb_cfg"] == old["nb_cfg"] + 1
    assert after == before


def test_what_is_wrong_is_said_first(well: Control) -> None:
    """One line for each problem, and one for what to do."""
    set_reports(well.southbound, "hv1", seen="1")
    done = well.ovnhook("status")
    first, second, blank, *_ = done.out.splitlines()
    assert done.status == 8
    assert first.startswith("problem: host hv1: its agent has not reported for ")
    assert second.startswith("   hint: on hv1: ")
    assert blank == ""


def test_northd_and_hosts_that_are_silent(well: Control) -> None:
    """A host is silent only when northd isn't."""
    well.southbound.transact(
        {"op": "update", "table": "Chassis_Private", "where": [["name", "==", "hv1"]], "row": {"nb_cfg": 0}}
    )
    assert [words.split(":")[0] for words in problems(well)] == ["host hv1"]
    assert status(well)["northd"]["hosts_ms"] is None
    well.southbound.transact({"op": "update", "table": "SB_Global", "where": [], "row": {"nb_cfg": 0}})
    assert [words.split(":")[0] for words in problems(well)] == ["ovn-northd does not answer"]
    assert status(well)["northd"] == {"active": False, "southbound_ms": None, "hosts_ms": None}


def test_a_cloud_that_northd_never_saw(control: Control) -> None:
    """Nothing is in its databases."""
    assert [words.split(":")[0] for words in problems(control)] == ["ovn-northd does not answer"]


@pytest.mark.parametrize("freeze", [False, True], ids=["killed", "frozen"])
def test_databases_that_are_away(well: Control, freeze: bool) -> None:
    """Each is a problem, and what the other one knows is shown."""
    for down, name, left in (
        (well.southbound, "southbound", {"gateways", "subnets"}),
        (well.northbound, "northbound", {"nodes"}),
    ):
        if freeze:
            down.pause()
        else:
            down.kill()
        found = status(well)
        (problem,) = found["problems"]
        assert problem["what"].startswith(f"the {name} database can't be read: ")
        assert {part for part in PARTS - {"problems", "northd", "databases"} if found[part]} == left
        assert {(one["ports"], one["ovn_behind"]) for one in found["nodes"]} <= {(None, None)}  # nobody can tell
        assert [one["reachable"] for one in found["databases"]] == [name != "northbound", name != "southbound"]
        if freeze:
            down.resume()
        else:
            down.start()
    wait_for(lambda: status(well)["ok"])


def test_both_away(well: Control) -> None:
    """It is still no error of the call."""
    well.northbound.stop()
    well.southbound.stop()
    assert [words.split(" can't")[0] for words in problems(well)] == [
        "the northbound database",
        "the southbound database",
    ]


def test_gateways(well: Control) -> None:
    """A link that is down; a router without an active gateway."""
    set_reports(well.southbound, "gw1", uplinks_down="external")
    assert problems(well) == ["host gw1 has no link to the physical network external that is up"]
    set_reports(well.southbound, "gw1", uplinks_down="")
    well.southbound.transact({"op": "update", "table": "Port_Binding", "where": [], "row": {"chassis": ["set", []]}})
    assert problems(well) == ["router gateway has no external connectivity: no gateway host (gw1, gw2) is active"]


def test_subnets_that_are_full(well: Control) -> None:
    """Counted is what the ranges give; an address beside them takes nothing from them."""
    well.done("subnet", "create", "tiny", "10.2.0.0/29", "--range", "10.2.0.2-10.2.0.3")
    for number, address in enumerate(("10.2.0.5", "10.2.0.6", "10.2.0.2")):
        well.attach(f"web{number}", "tiny", address, f"52:54:00:00:01:0{number}")
    assert status(well)["ok"]
    well.attach("web9", "tiny", "10.2.0.3", "52:54:00:00:01:09")
    assert problems(well) == ["subnet tiny is full: 2 of 2 addresses are leased"]


def test_a_cluster(
    cluster: Cluster,
    southbound: Server,
    make_host: Callable[[str], Server],
    directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each of its servers is shown; one that is dead is told, and all the rest is as it was."""
    control = Control(directory / "run" / "c.sock", cluster.servers[0], southbound, make_host, capsys)
    control.service.stop()
    control.config = type(control.config)(
        northbound=",".join(cluster.remotes), southbound=southbound.remote, vswitch=control.config.vswitch
    )
    control.service = server.ControlServer(control.path, control.config)
    control.service.start()
    try:
        start_northd(cluster.servers[0], southbound)
        found = status(control)
        assert found["ok"]
        servers = found["databases"][:3]
        assert [one["model"] for one in servers] == ["clustered"] * 3
        assert sorted(one["leader"] for one in servers) == [False, False, True]
        assert all(one["connected"] for one in servers)
        dead = cluster.kill_leader()
        wait_for(lambda: sum(one["leader"] for one in status(control)["databases"][:3]) == 1)
        (problem,) = status(control)["problems"]
        assert problem["what"].startswith(f"the northbound database: its server {dead.remote} does not answer: ")
        survivor = next(one for one in cluster.servers if one.running)
        survivor.kill()
        (last,) = (one for one in cluster.servers if one.running)
        wait_for(lambda: "can't be read" in status(control)["problems"][0]["what"])
        assert last.remote in {one["remote"] for one in status(control)["databases"] if one["reachable"]}
    finally:
        control.service.stop()


def test_the_control_service_away(control: Control) -> None:
    """The usual error."""
    control.service.stop()
    done = control.ovnhook("status")
    assert (done.status, done.out) == (7, "")
    assert "the control service is not running" in done.error
    control.service = server.ControlServer(control.path, control.config)
    control.service.start()


def test_the_agents_word_does_not_cost_a_gateway(well: Control) -> None:
    """An agent that ended long ago takes no host out."""
    set_reports(well.southbound, "gw1", seen="1")
    wait_for_scans(well.service._gateways, "_log_errors")
    shown = well.done("router", "show", "gateway", "--format", "json").json["gateways"]
    assert (shown[0], sorted(shown)) == ("gw1", ["gw1", "gw2"])
