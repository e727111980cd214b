"""The MTU that a new subnet has: what this host tells of the network between the hosts, and what all of them do."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases import underlay
from ovnhook.databases.vswitch import Vswitch
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.subnet.request import Underlay
from ovnhook.resources.subnet.values import isolated_subnet
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import Server
from tests.database.southbound_rows import add_chassis, set_reports


@pytest.fixture
def ip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``ip`` that has interfaces of its own; what it says is in the file that is returned."""
    command, says = tmp_path / "ip", tmp_path / "says"
    command.write_text(f'#!/bin/sh\n[ "$*" = "-json address show to $5" ] && exec cat "{says}.$5"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return says


@pytest.mark.parametrize(
    ("kind", "address", "mtu", "expected"),
    [
        (None, "192.0.2.1", 1500, 1442),
        ("geneve", "192.0.2.1", 9000, 8942),
        ("geneve", "2001:db8::1", 1500, 1422),
        ("vxlan", "192.0.2.1", 1500, 1450),
        ("vxlan", "2001:db8::1", 1500, 1430),
        ("geneve,vxlan", "192.0.2.1", 1500, 1442),
    ],
)
def test_what_it_carries(ip: Path, vswitch: Server, kind: str | None, address: str, mtu: int, expected: int) -> None:
    """The interface's MTU without what the tunnel adds."""
    found = [{"ifname": "eth0", "flags": ["UP"], "mtu": mtu, "addr_info": [{"local": address}]}]
    Path(f"{ip}.{address}").write_text(json.dumps([{}, *found]))
    ids = {"ovn-encap-ip": address} | ({"ovn-encap-type": kind} if kind else {})
    assert read(vswitch, ids) == Underlay(expected, known=True)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ({}, ""),
        ({"ovn-encap-ip": "192.0.2.1"}, "[{}]"),
        ({"ovn-encap-ip": "192.0.2.1"}, ""),
        ({"ovn-encap-ip": "192.0.2.1"}, "nonsense"),
        ({"ovn-encap-ip": "192.0.2.7"}, "[]"),
        (
            {"ovn-encap-ip": "192.0.2.1"},
            '[{"ifname": "lo", "flags": ["LOOPBACK"], "mtu": 65536, "addr_info": [{"local": "192.0.2.1"}]}]',
        ),
    ],
)
def test_what_can_not_be_known(ip: Path, vswitch: Server, ids: dict[str, str], said: str) -> None:
    """Is as usual, and no limit."""
    Path(f"{ip}.192.0.2.1").write_text(said)
    assert read(vswitch, ids) == Underlay(1442, known=False)


def test_this_very_host(vswitch: Server) -> None:
    """As its own ``ip`` says: an interface to elsewhere has its MTU, the loopback interface says nothing."""
    assert read(vswitch, {"ovn-encap-ip": "127.0.0.1"}) == Underlay(1442, known=False)
    said = subprocess.run(["ip", "-json", "-4", "address"], capture_output=True, check=True, timeout=HANG).stdout
    for interface in json.loads(said):
        if interface.get("addr_info") and "LOOPBACK" not in interface["flags"]:
            mtu = int(Path(f"/sys/class/net/{interface['ifname']}/mtu").read_text())
            ids = {"ovn-encap-ip": interface["addr_info"][0]["local"]}
            assert read(vswitch, ids) == Underlay(mtu - 58, known=True)


def test_a_host_without_a_switch(caplog: pytest.LogCaptureFixture) -> None:
    """The same, and the log says so."""
    assert underlay.read(Vswitch("unix:/nonexistent/s", "br-int"), Deadline.after(HANG)) == Underlay(1442)
    assert "assuming an underlay MTU of 1500: " in caplog.text


def test_a_limit_reaches_the_user(ip: Path, control: Control) -> None:
    """From the host to the line that the command prints."""
    ids = {"ovn-encap-ip": "192.0.2.1", "ovn-encap-type": "vxlan"}
    found = [{"ifname": "eth0", "flags": ["UP"], "mtu": 1400, "addr_info": [{"local": "192.0.2.1"}]}]
    Path(f"{ip}.192.0.2.1").write_text(json.dumps(found))
    configure(control.config.vswitch, ids)
    said, hint = control.refused(2, "subnet", "create", "blue", "10.1.0.0/24", "--mtu", "1400")
    assert said == "MTU 1400 exceeds that of the underlay, 1350 bytes"
    assert "underlay" in hint
    assert control.done("subnet", "create", "blue", "10.1.0.0/24", "--format", "json").json["mtu"] == 1350


@pytest.mark.parametrize("own", [8990, 9000])
def test_every_host_has_a_say(ip: Path, control: Control, own: int) -> None:
    """Whichever control host is asked: the smallest that agents have told counts, and a refusal says whose."""
    found = [{"ifname": "eth0", "flags": ["UP"], "mtu": own, "addr_info": [{"local": "192.0.2.1"}]}]
    Path(f"{ip}.192.0.2.1").write_text(json.dumps(found))
    configure(control.config.vswitch, {"ovn-encap-ip": "192.0.2.1"})
    for name, mtu in (("hv1", "8942"), ("hv2", "8922"), ("hv3", ""), ("hv4", "1e3"), ("hv5", "12"), ("hv6", "9" * 9)):
        add_chassis(control.southbound, name, reports={"mtu": mtu})
    assert control.done("subnet", "create", "blue", "10.1.0.0/24", "--format", "json").json["mtu"] == 8922
    said, _ = control.refused(2, "subnet", "create", "green", "10.2.0.0/24", "--mtu", "8923")
    assert said == "MTU 8923 exceeds that of the underlay of host hv2, 8922 bytes"
    assert control.done("node", "show", "hv2", "--format", "json").json["mtu"] == 8922
    set_reports(control.southbound, "hv2", mtu="1392")
    assert control.done("subnet", "set", "blue", "--mtu", "0", "--format", "json").json["mtu"] == 1392
    control.southbound.stop()
    assert control.done("subnet", "create", "red", "10.3.0.0/24", "--format", "json").json["mtu"] == own - 58


def test_a_host_that_tells_while_others_do_not_yet(ip: Path, control: Control) -> None:
    """One that was upgraded first, and carries more: what the host knows that is asked counts as well."""
    found = [{"ifname": "eth0", "flags": ["UP"], "mtu": 1500, "addr_info": [{"local": "192.0.2.1"}]}]
    Path(f"{ip}.192.0.2.1").write_text(json.dumps(found))
    configure(control.config.vswitch, {"ovn-encap-ip": "192.0.2.1"})
    for name, mtu in (("hv1", "8942"), ("hv2", "")):
        add_chassis(control.southbound, name, reports={"mtu": mtu})
    assert control.done("subnet", "create", "blue", "10.1.0.0/24", "--format", "json").json["mtu"] == 1442
    said, _ = control.refused(2, "subnet", "create", "green", "10.2.0.0/24", "--mtu", "1443")
    assert said == "MTU 1443 exceeds that of the underlay, 1442 bytes"


def test_a_domains_own_subnet(control: Control) -> None:
    """It has it from all hosts as well: the domain may migrate."""
    add_chassis(control.southbound, "hv2", reports={"mtu": "1322"})
    configure(control.config.vswitch, {"ovn-remote": control.southbound.remote})
    for number, mtu in ((1, 1322), (2, 1442)):
        request = InterfaceRequest(isolated_subnet(UUID(int=number)), isolated=True)
        interface = Interface("52:54:00:00:00:01", InterfaceType.BRIDGE, request)
        domain = Domain(UUID(int=number), f"web{number}", 1, (interface,), (interface.mac,))
        DirectHost(control.config).attach(domain, Deadline.after(HANG))
        name = isolated_subnet(domain.uuid)
        assert control.done("subnet", "show", name, "--format", "json").json["mtu"] == mtu
        control.southbound.stop()


def read(vswitch: Server, ids: dict[str, str]) -> Underlay:
    """What is known with these external_ids."""
    configure(vswitch.remote, ids)
    return underlay.read(Vswitch(vswitch.remote, "br-int"), Deadline.after(HANG))


def configure(remote: str, ids: dict[str, str]) -> None:
    """Set external_ids as an administrator does."""
    pairs = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
    if pairs:
        command = ["ovs-vsctl", "--no-wait", f"--db={remote}", "set", "Open_vSwitch", ".", *pairs]
        subprocess.run(command, check=True, timeout=HANG)


def test_what_is_measured(ip: Path, vswitch: Server) -> None:
    """Nothing is said of an address that no interface has; a look that fails says nothing at all."""
    own = Vswitch(vswitch.remote, "br-int")
    assert underlay.measure(own, Deadline.after(HANG)) == 0
    configure(vswitch.remote, {"ovn-encap-ip": "192.0.2.1"})
    Path(f"{ip}.192.0.2.1").write_text("[]")
    assert underlay.measure(own, Deadline.after(HANG)) == 0
    found = [{"ifname": "eth0", "flags": ["UP"], "mtu": 9000, "addr_info": [{"local": "192.0.2.1"}]}]
    Path(f"{ip}.192.0.2.1").write_text(json.dumps(found))
    assert underlay.measure(own, Deadline.after(HANG)) == 8942
    for said in ("nonsense", '[{"addr_info": [{}], "flags": []}]'):
        Path(f"{ip}.192.0.2.1").write_text(said)
        with pytest.raises(Unavailable, match=r"192\.0\.2\.1"):
            underlay.measure(own, Deadline.after(HANG))
    with pytest.raises(Unavailable):
        underlay.measure(Vswitch("unix:/nonexistent/s", "br-int"), Deadline.after(HANG))
