"""The format of a cloud's rows: a version that meets a newer one says so and changes nothing; what runs goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from lab.waiting import HANG
from ovnhook import __version__
from ovnhook.agent.hookoperation import HookOperation
from ovnhook.agent.lifecycle import answer, read
from ovnhook.api.v1 import changes_pb2, changes_pb2_grpc
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NewerFormat
from ovnhook.databases import inventory
from ovnhook.domains.values import Domain
from ovnhook.pki import keyfiles
from ovnhook.resources.registry import FORMAT
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import Server, run

NEWER = FORMAT + 1
WORDS = f"the cloud's rows have format {NEWER}, and ovnhook {__version__} supports formats up to {FORMAT}"
HINT = "upgrade ovnhook on the hosts with this version: they refuse changes until then"
XML = f"""<domain type='kvm' id='1'><name>web</name><uuid>{uuids.switch("web")}</uuid><devices><interface type='bridge'>
<mac address='{MAC}'/><source bridge='br-int'/><virtualport type='openvswitch'/></interface></devices></domain>"""


def written(server: Server) -> str | None:
    """The format that the registry says."""
    records: dict[str, str] = dict(server.dump()["DNS"][str(uuids.REGISTRY)]["records"][1])
    return records.get("format")


def write(server: Server, number: int) -> None:
    """Let the registry say another one."""
    run(
        *("ovn-nbctl", "--no-leader-only", f"--db={server.remote}"),
        *("set", "DNS", str(uuids.REGISTRY), f"records:format={number}"),
    )


@pytest.fixture
def web(control: Control) -> Domain:
    """A domain that runs on hv1."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    return control.attach("web", "blue")


@pytest.mark.usefixtures("web")
def test_written_with_the_registry(control: Control) -> None:
    """And no later: where it is absent it is 1, and what an older version left so stays so."""
    assert written(control.northbound) == str(FORMAT)
    nbctl = "ovn-nbctl", "--no-leader-only", f"--db={control.northbound.remote}"
    run(*nbctl, "remove", "DNS", str(uuids.REGISTRY), "records", "format")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    assert written(control.northbound) is None


@pytest.mark.usefixtures("web")
def test_the_command_is_refused(control: Control) -> None:
    """Whether it reads or writes; status says it as a problem, and all goes on once the format is known."""
    write(control.northbound, NEWER)
    for arguments in (
        ("subnet", "list"),
        ("subnet", "create", "green", "10.2.0.0/24"),
        ("subnet", "set", "blue", "--dns", "192.0.2.53"),
        ("subnet", "delete", "blue"),
        ("router", "create", "other"),
        ("router", "delete", "gateway"),
        ("lease", "release", "web"),
        ("port", "create", "appliance", "--host", "hv1"),
        ("floating-ip", "create", "203.0.113.20", "web"),
    ):
        assert control.refused(5, *arguments) == (WORDS, HINT)
    found = control.ovnhook("status", "--format", "json")
    assert (found.status, found.error) == (8, "")
    assert {"what": f"northbound database: {WORDS}", "hint": HINT} in found.json["problems"]
    write(control.northbound, FORMAT)
    control.done("subnet", "create", "green", "10.2.0.0/24")


def test_a_host_leaves_all_as_it_is(control: Control, web: Domain) -> None:
    """Starts and migrations are refused, a domain that stops does so, and its agent compares nothing."""
    write(control.northbound, NEWER)
    before = control.northbound.dump(versions=True)
    host = DirectHost(control.config)

    def call(operation: str) -> Any:
        return answer(
            read(HookOperation(operation), XML.encode(), "br-int", Deadline.after(HANG)), host, control.config
        )

    for operation in ("migrate", "prepare", "start"):
        refused = call(operation)
        assert (refused.exit_code, refused.unavailable) == (5, False)
        assert WORDS in refused.message
    released = call("release")
    assert released.exit_code == 0
    assert WORDS in released.message
    with pytest.raises(NewerFormat, match="have format"):
        inventory.read(host.northbound.database, "hv1", Deadline.after(HANG))
    assert control.northbound.dump(versions=True) == before
    write(control.northbound, FORMAT)
    assert call("release").message == ""
    assert not [port for port in host.northbound.ports(Deadline.after(HANG)) if port.domain == web.uuid]


@pytest.mark.usefixtures("web")
def test_a_watcher_is_told(control: Control) -> None:
    """One that watches already, and one that begins."""
    with control.channel() as channel:
        request = changes_pb2.WatchChangesRequest(existing=True)
        early = changes_pb2_grpc.ChangesStub(channel).WatchChanges(request, timeout=HANG)
        next(early)
        write(control.northbound, NEWER)
        for call in (early, changes_pb2_grpc.ChangesStub(channel).WatchChanges(request, timeout=HANG)):
            with pytest.raises(grpc.RpcError) as ended:
                list(call)
            assert (ended.value.code(), ended.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, WORDS)


@pytest.mark.usefixtures("web")
def test_a_restore_is_refused(control: Control, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a backup that a newer version's database was made, and over such a database."""
    monkeypatch.setattr(keyfiles, "AUTHORITY", directory / "ca")
    monkeypatch.setattr("ovnhook.cli.commands.control.load", lambda: control.config)
    older, newer = str(directory / "older.tar.gz"), str(directory / "newer.tar.gz")
    control.done("control", "backup", older)
    write(control.northbound, NEWER)
    control.done("control", "backup", newer)
    for file in (older, newer):
        done = control.ovnhook("control", "restore", file)
        assert (done.status, done.error) == (5, f"error: {WORDS}\nhint: {HINT}\n")
    write(control.northbound, FORMAT)
    assert control.ovnhook("control", "restore", newer).status == 5
    control.done("control", "restore", older)
