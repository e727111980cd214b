"""Rows of domains that can't be read: status names each with the command after which it is made anew."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from lab.waiting import HANG
from ovnhook.base import uuids
from ovnhook.databases.defects import Integrity
from ovnhook.resources.reading import BrokenRow
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.full_cloud import cloud, web
from tests.database.hypervisors import soon
from tests.database.our_rows import delete, ours, state
from tests.database.southbound_rows import add_chassis

__all__ = ["cloud"]  # the fixture

KINDS = ("lease", "domain", "port", "mac")


def status(cloud: Control) -> list[dict[str, str]]:
    """The problems that status tells."""
    found: list[dict[str, str]] = cloud.ovnhook("status", "--format", "json").json["problems"]
    return found


def broken(cloud: Control) -> dict[str, str]:
    """What status says of rows that can't be read, with what to do about it."""
    return {one["what"]: one["hint"] for one in status(cloud) if " with ovnhook:kind=" in one["what"]}


def spoil(cloud: Control, where: str, key: str) -> None:
    """Take a key out of a row, as somebody may by hand."""
    table, uuid = where.split()
    taken = {"mutations": [["external_ids", "delete", ["set", [key]]]], "where": [["_uuid", "==", ["uuid", uuid]]]}
    cloud.northbound.transact({"op": "mutate", "table": table, **taken})


def obey(cloud: Control, hint: str) -> None:
    """Type the command that a hint says."""
    command, _, then = hint.partition(": ")
    assert "recreates it" in then
    program, *arguments = shlex.split(command)
    run = [program, f"--db={cloud.northbound.remote}", *arguments]
    subprocess.run(run, check=True, capture_output=True, timeout=HANG)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_say_nothing(cloud: Control, kind: str) -> None:
    """All that made them ovnhook's was taken away: whoever needs one is told which command makes room for a new one."""
    before = state(cloud)
    (where, *_) = ours(cloud.northbound, kind)
    table, uuid = where.split()
    row = {"external_ids": ["map", []]}
    cloud.northbound.transact({"op": "update", "table": table, "where": [["_uuid", "==", ["uuid", uuid]]], "row": row})
    with pytest.raises(BrokenRow) as caught:
        DirectHost(cloud.config).attach(web(), soon(), running=True)
    obey(cloud, caught.value.hint)
    DirectHost(cloud.config).attach(web(), soon(), running=True)
    if kind == "lease":
        cloud.done("floating-ip", "create", "203.0.113.20", "web1")
    assert state(cloud) | {"NB_Global": {}} == before


@pytest.mark.parametrize("kind", KINDS)
def test_status_names_them(cloud: Control, kind: str) -> None:
    """Whatever host they are of; the command that it says and the agent of the domain's host make them anew."""
    before = state(cloud)
    for where in ours(cloud.northbound, kind):
        spoil(cloud, where, "ovnhook:domain")
        if kind != "mac":
            spoil(cloud, where, "ovnhook:host")
    found = broken(cloud)
    cloud.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")  # what is so already is compared
    wrong = {where.split()[1] for where in ours(cloud.northbound, kind)}
    said = f"with ovnhook:kind={kind} can't be read: 'domain' is missing"
    assert {*found} == {f"northbound database: row {uuid} {said}" for uuid in wrong}
    for hint in found.values():
        obey(cloud, hint)
    assert broken(cloud) == {}
    DirectHost(cloud.config).attach(web(), soon(), running=True)
    if kind == "lease":  # floating IPs are bound to one lease, and go with it
        cloud.done("floating-ip", "create", "203.0.113.20", "web1")
    assert state(cloud) | {"NB_Global": {}} == before  # ovn-nbctl makes that row


def test_rows_that_define_what_there_is(cloud: Control) -> None:
    """A person has to put a floating IP right that no running service knows, and is told which table it is in."""
    (where,) = ours(cloud.northbound, "floating")
    spoil(cloud, where, "ovnhook:domain")
    cloud.service._repairs._known = Integrity()
    (hint,) = broken(cloud).values()
    assert hint.startswith(f"ovn-nbctl list NAT {where.split()[1]}; ")


@pytest.mark.parametrize("deleted", ["switch", "port"])
def test_a_clients_port_that_was_deleted(cloud: Control, deleted: str) -> None:
    """By ``ovn-nbctl ls-del`` or ``lsp-del``: status says how it is made anew, or deleted; both work."""
    add_chassis(cloud.southbound, "hv1", options="", mappings="")
    for number in (1, 2):
        cloud.done("port", "create", f"box {number}", "--host", "hv1", "--subnet", "blue")
    before = state(cloud)
    rows = cloud.northbound.dump()["Logical_Switch_Port"]
    boxes = [uuid for uuid, row in rows.items() if "box" in dict(row["external_ids"][1]).get("ovnhook:domain-name", "")]
    if deleted == "switch":
        delete(cloud, f"Logical_Switch {uuids.switch('blue')}")
        cloud.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")
        DirectHost(cloud.config).attach(web(), soon(), running=True)
    for uuid in boxes if deleted == "port" else ():
        delete(cloud, f"Logical_Switch_Port {uuid}")
    hints = {one["what"]: one["hint"] for one in status(cloud) if " is missing" in one["what"]}
    assert len(hints) == 2
    for what, hint in hints.items():
        assert what.startswith("northbound database: the port of interface 52:54:00:")
        create, _, remove = hint.partition("; or: ")
        assert shlex.split(remove)[1:3] == ["port", "delete"]
        cloud.done(*shlex.split(create)[1:])
        assert remove not in [one["hint"].partition("; or: ")[2] for one in status(cloud)]
    assert state(cloud) == before
    for uuid in boxes:
        delete(cloud, f"Logical_Switch_Port {uuid}")
    for hint in hints.values():
        cloud.done(*shlex.split(hint.partition("; or: ")[2])[1:])
    assert [one for one in status(cloud) if " is missing" in one["what"]] == []
    assert "box" not in str(cloud.northbound.dump())


def test_one_of_two_interfaces_of_a_client(cloud: Control) -> None:
    """Status says how to delete the one that is missing; the name of the domain means both, and is refused."""
    add_chassis(cloud.southbound, "hv1", options="", mappings="")
    for mac in ("52:54:00:00:00:a1", "52:54:00:00:00:a2"):
        cloud.done("port", "create", "box", "--host", "hv1", "--subnet", "blue", "--mac", mac)
    gone, left = cloud.done("port", "list", "--domain", "box", "--format", "json").json
    delete(cloud, f"Logical_Switch_Port {uuids.port(uuids.client_domain('box'), gone['mac'])}")
    (hint,) = (one["hint"] for one in status(cloud) if " is missing" in one["what"])
    said, choices = cloud.refused(2, "port", "delete", "box")
    assert said.startswith("'box' is ambiguous: ")
    assert gone["mac"] in said
    assert left["mac"] in said
    assert choices == f"name one of them: {gone['mac']}, box/1"
    cloud.done(*shlex.split(hint.partition("; or: ")[2])[1:])
    assert [one["id"] for one in cloud.done("port", "list", "--domain", "box", "--format", "json").json] == [left["id"]]
    assert [one for one in status(cloud) if " is missing" in one["what"]] == []
    cloud.done("port", "delete", "box")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_clients(cloud: Control, kind: str) -> None:
    """No agent makes them anew: the client does that attaches its interfaces again. Nothing is told twice."""
    add_chassis(cloud.southbound, "hv1", options="", mappings="")
    create = [
        ("port", "create", "box", "--host", "hv1", "--subnet", "blue", "--mac", f"52:54:00:00:00:a{number}")
        for number in (1, 2)
    ]
    others = {*ours(cloud.northbound, kind)}
    for arguments in create:
        cloud.done(*arguments)
    before = state(cloud)
    spoilt = {*ours(cloud.northbound, kind)} - others
    for where in spoilt:
        spoil(cloud, where, "ovnhook:domain")
    assert len(broken(cloud)) == len(spoilt)
    assert [one for one in status(cloud) if " is missing" in one["what"] and one["what"] not in broken(cloud)] == []
    for hint in broken(cloud).values():
        assert "client" in hint
        obey(cloud, hint)
    for arguments in create:
        cloud.done(*arguments)
    assert broken(cloud) == {}
    assert state(cloud) | {"NB_Global": {}} == before | {"NB_Global": {}}


def test_what_a_domain_held_that_is_off(cloud: Control) -> None:
    """Nobody knows any more that the domain has it: its addresses are to be released, as is said, and it starts."""
    before = state(cloud)
    DirectHost(cloud.config).detach(web(), soon())
    (where,) = ours(cloud.northbound, "domain")
    spoil(cloud, where, "ovnhook:domain")
    (hint,) = broken(cloud).values()
    obey(cloud, hint)
    *_, release = hint.partition(": ovnhook ")
    for lease in cloud.done("lease", "list", "--domain", "web1", "--format", "json").json:
        cloud.done(*release.replace("ADDRESS", lease["address"]).split())
    DirectHost(cloud.config).attach(web(), soon())
    cloud.done("floating-ip", "create", "203.0.113.20", "web1")
    assert state(cloud) | {"NB_Global": {}} == before | {"NB_Global": {}}
