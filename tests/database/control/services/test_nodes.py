"""Hosts: what their agents tell of them, on real databases, and how they are shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from lab.waiting import HANG
from ovnhook import __version__
from ovnhook.agent import report
from ovnhook.agent.nexthops import NextHops
from ovnhook.agent.report import HostReporter
from ovnhook.api.client import Client
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.control import calls
from ovnhook.databases.southbound import Southbound
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import Server, run, wait_for, wait_for_scans
from tests.database.southbound_rows import add_chassis, reports_of, set_active_gateway, set_reports, start_northd

MADE = {
    "ovnhook:networks": "",
    "ovnhook:dns": "",
    "ovnhook:agent": __version__,
    "ovnhook:ovs": "3.1.0",
    "ovnhook:uplinks-down": "",
    "ovnhook:mtu": "",
}


class HostSwitch:
    """The Open vSwitch of a host, as its administrator sees it."""

    def __init__(self, vswitch: Server) -> None:
        self.vswitch = vswitch

    def vsctl(self, *arguments: str) -> None:
        """Change something; no ovs-vswitchd carries it out."""
        run("ovs-vsctl", "--no-wait", f"--db={self.vswitch.remote}", *arguments)

    def link(self, interface: str, state: str) -> None:
        """Let an interface have another state, as ovs-vswitchd would say."""
        self.vsctl("set", "Interface", interface, f"link_state={state}")


@pytest.fixture
def host(vswitch: Server) -> HostSwitch:
    """A host with a bridge to the outside, whose link is up."""
    made = HostSwitch(vswitch)
    made.vsctl(
        *("set", "Open_vSwitch", ".", "ovs_version=3.1.0", "external_ids:ovn-bridge-mappings=external:br-ex"),
    )
    made.vsctl("add-br", "br-ex", "--", "add-port", "br-ex", "eth1")
    made.link("eth1", "up")
    return made


@pytest.fixture
def reporter(host: HostSwitch, southbound: Server) -> Iterator[HostReporter]:
    """The agent's part that tells, running."""
    direct = DirectHost(Config(southbound=southbound.remote, vswitch=host.vswitch.remote))
    made = HostReporter(direct, NextHops(lambda: None, "br-int"))
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(HANG)
    assert not thread.is_alive()


def down(southbound: Server) -> str | None:
    """What hv1's agent says of its uplinks."""
    return reports_of(southbound, "hv1").get("ovnhook:uplinks-down")


@pytest.mark.usefixtures("reporter")
class TestHostReporter:
    """Published status of a host."""

    def test_the_mtu(self, southbound: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """As far as it is known, and anew when it is another one; a look that fails takes nothing back."""
        carried: list[int | Unavailable] = [0]
        fails = Unavailable("slow")
        looks = threading.Semaphore(0)

        def measure(*_: object) -> int:
            latest = carried[-1]
            if latest is fails:
                looks.release()
            if isinstance(latest, Unavailable):
                raise latest
            return latest

        monkeypatch.setattr("ovnhook.databases.underlay.measure", measure)
        monkeypatch.setattr(report, "BEAT", 0.1)
        monkeypatch.setattr(report, "_POLL_INTERVAL", 0.1)
        monkeypatch.setattr(report, "_JITTER", 0.1)
        add_chassis(southbound, "hv1")
        wait_for(lambda: reports_of(southbound, "hv1").get("ovnhook:mtu") == "")
        for mtu in (1442, 8942):
            carried.append(mtu)
            wait_for(lambda: reports_of(southbound, "hv1")["ovnhook:mtu"] == str(carried[-1]))
        carried.append(fails)
        for _ in range(3):
            assert looks.acquire(timeout=HANG)
            assert reports_of(southbound, "hv1")["ovnhook:mtu"] == "8942"
        carried.append(0)
        wait_for(lambda: reports_of(southbound, "hv1")["ovnhook:mtu"] == "")

    def test_it_tells(self, southbound: Server) -> None:
        """As soon as ovn-controller has made the host's row, whose other keys stay, and of no other host."""
        add_chassis(southbound, "hv2", reports={"agent": "0"})
        add_chassis(southbound, "hv1", reports={"theirs": "stays"})
        wait_for(lambda: "ovnhook:agent" in reports_of(southbound, "hv1"))
        found = reports_of(southbound, "hv1")
        seen = found.pop("ovnhook:seen")
        assert abs(int(seen) - time.time()) < 2 * HANG
        assert found.pop("ovnhook:api") == seen
        assert found == {**MADE, "ovnhook:theirs": "stays"}
        assert reports_of(southbound, "hv2") == {"ovnhook:agent": "0"}
        (row,) = (row for row in southbound.dump()["Chassis_Private"].values() if row["name"] == "hv1")
        assert row["nb_cfg"] == 1_000_000

    def test_uplinks(self, host: HostSwitch, southbound: Server) -> None:
        """Down is what has no link up that leads outside; neither a patch port, a tunnel nor a guest's tap does."""
        add_chassis(southbound, "hv1")
        wait_for(lambda: down(southbound) == "")
        host.link("eth1", "down")
        wait_for(lambda: down(southbound) == "external")
        tap = 'external_ids:attached-mac="52:54:00:00:00:01"'
        for number, what in enumerate(("type=patch", "type=internal", "type=geneve", tap)):
            name = f"if{number}"
            host.vsctl("add-port", "br-ex", name, "--", "set", "Interface", name, what)
            host.link(name, "up")
        host.vsctl("set", "Open_vSwitch", ".", "ovs_version=3.1.1")
        wait_for(
            lambda: reports_of(southbound, "hv1")["ovnhook:ovs"] == "3.1.1"
        )  # by a look that saw these interfaces too
        assert down(southbound) == "external"
        host.vsctl("add-bond", "br-ex", "bond0", "eth2", "eth3")
        host.link("eth3", "up")
        wait_for(lambda: down(southbound) == "")
        host.vsctl("set", "Open_vSwitch", ".", 'external_ids:ovn-bridge-mappings="external:br-ex,b:br-b,a:br-a"')
        wait_for(lambda: down(southbound) == "a b")
        host.vsctl("add-br", "br-a")
        host.link("br-a", "up")
        wait_for(lambda: down(southbound) == "b")  # the host itself is at the end of br-a
        host.vsctl("del-br", "br-ex")
        wait_for(lambda: down(southbound) == "b external")

    def test_a_row_that_is_made_anew(self, southbound: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """ovn-controller was stopped and started: it is told again with the next beat."""
        monkeypatch.setattr(report, "BEAT", 0.1)
        monkeypatch.setattr(report, "_JITTER", 0.1)
        add_chassis(southbound, "hv1")
        wait_for(lambda: down(southbound) == "")
        southbound.transact(
            *({"op": "delete", "table": t, "where": []} for t in ("Chassis", "Chassis_Private", "Encap"))
        )
        add_chassis(southbound, "hv1")
        wait_for(lambda: down(southbound) == "")

    def test_the_database_goes_and_comes_back(
        self, host: HostSwitch, southbound: Server, reporter: HostReporter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What has changed meanwhile is told then; the log has the outage once."""
        add_chassis(southbound, "hv1")
        wait_for(lambda: down(southbound) == "")
        caplog.clear()
        southbound.stop()
        host.link("eth1", "down")
        wait_for(lambda: "cannot publish host status" in caplog.text)
        wait_for_scans(reporter, "_poll")
        assert caplog.text.count("cannot publish host status") == 1
        southbound.start()
        wait_for(lambda: down(southbound) == "external")


def test_a_node_is_shown(control: Control) -> None:
    """With all that it says of itself, and what is on it."""
    seen = int(time.time())
    add_chassis(
        control.southbound,
        "hv1",
        reports={"agent": "1.2", "seen": str(seen), "ovs": "3.1.0", "uplinks-down": "external", "mtu": "1442"},
    )
    add_chassis(control.southbound, "hv2", options="", mappings="", nb_cfg=0)
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.attach("web1", "blue")
    set_active_gateway(control.southbound, "gateway", "hv1")
    first, second = control.done("node", "list", "--format", "json").json
    (end,) = first.pop("encapsulations")
    assert end["type"] == "geneve"
    assert first.pop("agent_seen") < 2 * HANG
    assert first == {
        "name": "hv1",
        "hostname": "hv1.example",
        "is_gateway": True,
        "physical_networks": ["external"],
        "uplinks_down": ["external"],
        "agent_version": "1.2",
        "ovs_version": "3.1.0",
        "ovn_behind": 0,
        "ovn_seen": None,
        "ports": 1,
        "active_for": ["gateway"],
        "mtu": 1442,
        "foreign_networks": [],
    }
    assert control.done("node", "show", "hv2", "--format", "json").json == second
    assert (second["is_gateway"], second["agent_version"], second["agent_seen"]) == (False, "", None)
    shown = control.done("node", "show", "hv2").out
    assert "agent seen         never\n" in shown
    assert f"encapsulations     geneve {second['encapsulations'][0]['ip']}\n" in shown
    assert control.done("node", "list").table[0][:3] == ["NAME", "GATEWAY", "AGENT"]
    assert control.refused(3, "node", "show", "hv9") == ("there is no node 'hv9'", "ovnhook node list")


def test_hosts_of_another_cloud(control: Control) -> None:
    """OVN interconnection lists them too; they are none of ours."""
    add_chassis(control.southbound, "far", options="")
    config = ["map", [["is-remote", "true"]]]
    control.southbound.transact({"op": "update", "table": "Chassis", "where": [], "row": {"other_config": config}})
    add_chassis(control.southbound, "hv1")
    assert [row["name"] for row in control.done("node", "list", "--format", "json").json] == ["hv1"]


class TestRemove:
    """A host that is gone for good."""

    @pytest.fixture
    def cloud(self, control: Control) -> Control:
        """web1 and web2 ran on hv1, which is silent; hv2 answers."""
        start_northd(control.northbound, control.southbound)
        add_chassis(control.southbound, "hv1", nb_cfg=0, reports={"agent": "1", "seen": str(int(time.time()) - 100)})
        add_chassis(control.southbound, "hv2")
        control.done("subnet", "create", "blue", "10.1.0.0/24")
        return control

    def test_all_of_it_is_forgotten(self, cloud: Control) -> None:
        """Its rows in both databases, those of stopped domains too; nothing of another host is touched."""
        cloud.attach("web1", "blue")
        cloud.stop(cloud.attach("web2", "blue", mac="52:54:00:00:00:02"))
        other = cloud.southbound.dump()
        cloud.done("node", "remove", "hv1")
        cloud.done("subnet", "delete", "blue")
        cloud.clear()
        left = cloud.southbound.dump()
        assert [row["name"] for row in left["Chassis"].values()] == ["hv2"]
        for table in ("Encap", "Chassis", "Chassis_Private"):
            key = "chassis_name" if table == "Encap" else "name"
            assert left[table] == {uuid: row for uuid, row in other[table].items() if row[key] == "hv2"}
        assert cloud.refused(3, "node", "remove", "hv1") == ("there is no node 'hv1'", "ovnhook node list")

    def test_what_went_on_elsewhere_stays(self, cloud: Control, make_host: Callable[[str], Server]) -> None:
        """A domain that another host has started since keeps its address."""
        domain = cloud.attach("web1", "blue", "10.1.0.9")
        cloud.stop(domain)
        there = replace(cloud.config, vswitch=make_host("hv2").remote)
        DirectHost(there).attach(domain, Deadline.after(HANG))
        cloud.done("node", "remove", "hv1")
        (row,) = cloud.done("port", "list", "--format", "json").json
        assert (row["host"], row["addresses"]) == ("hv2", ["10.1.0.9"])

    def test_what_is_left_of_one_without_a_chassis(self, cloud: Control) -> None:
        """Somebody removed its chassis by hand, or this ended half way."""
        cloud.attach("web1", "blue")
        Southbound(cloud.southbound.remote).remove("hv1", Deadline.after(HANG))
        cloud.done("node", "remove", "hv1")
        assert cloud.done("lease", "list", "--format", "json").json == []

    def test_one_that_is_there_is_refused(self, cloud: Control) -> None:
        """Its guests may be running: by its agent's word, or its ovn-controller's answer."""
        cloud.attach("web1", "blue")
        set_reports(cloud.southbound, "hv1", seen=str(int(time.time())))
        said, hint = cloud.refused(5, "node", "remove", "hv1")
        assert said.startswith("node hv1 is running: last heartbeat ")
        assert "systemctl disable --now ovnhook-agent ovn-host" in hint
        done = cloud.ovnhook("node", "remove", "hv2")
        assert (done.status, done.error.splitlines()[0]) == (
            5,
            "error: node hv2 is running: its ovn-controller answers",
        )
        assert len(cloud.done("port", "list", "--format", "json").json) == 1


def test_no_host_is_removed_while_northd_is_silent(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no host answers."""
    monkeypatch.setattr(calls, "_MAX_TIMEOUT", 2.0)
    start_northd(control.northbound, control.southbound, answers=False)
    add_chassis(control.southbound, "hv1", nb_cfg=0)
    with pytest.raises(Unavailable, match="ovn-northd does not answer: cannot check that node hv1 does not run"):
        Client(control.path, HANG).call("RemoveNode", name="hv1")
