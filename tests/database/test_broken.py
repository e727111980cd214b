"""Rows of domains that can't be read: status names each with the command after which it is made anew."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from lab.waiting import HANG
from ovnhook.host import Host
from tests.database.control import Control
from tests.database.test_foreign import cloud, ours, soon, web
from tests.database.test_repairs import state

__all__ = ["cloud"]  # the fixture

KINDS = ("lease", "domain", "port", "mac")


def broken(cloud: Control) -> dict[str, str]:
    """What status says of rows that can't be read, with what to do about it."""
    problems = cloud.ovnhook("status", "--format", "json").json["problems"]
    return {one["what"]: one["hint"] for one in problems if " with ovnhook:kind=" in one["what"]}


def spoil(cloud: Control, where: str, key: str) -> None:
    """Take a key out of a row, as somebody may by hand."""
    table, uuid = where.split()
    taken = {"mutations": [["external_ids", "delete", ["set", [key]]]], "where": [["_uuid", "==", ["uuid", uuid]]]}
    cloud.northbound.transact({"op": "mutate", "table": table, **taken})


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
    uuids = {where.split()[1] for where in ours(cloud.northbound, kind)}
    said = f"with ovnhook:kind={kind} can't be read: 'domain' is missing"
    assert {*found} == {f"northbound database: row {uuid} {said}" for uuid in uuids}
    for hint in found.values():
        command, _, then = hint.partition(": ")
        assert "makes it anew" in then
        program, *arguments = shlex.split(command)
        run = [program, f"--db={cloud.northbound.remote}", *arguments]
        subprocess.run(run, check=True, capture_output=True, timeout=HANG)
    assert broken(cloud) == {}
    Host(cloud.config).attach(web(), soon(), running=True)
    if kind == "lease":  # floating addresses are bound to one lease, and go with it
        cloud.done("floating-ip", "create", "203.0.113.20", "web1")
    assert state(cloud) | {"NB_Global": {}} == before  # ovn-nbctl makes that row


def test_rows_that_define_what_there_is(cloud: Control) -> None:
    """A subnet's, a router's, a floating address's: a person has to put them right, and is told which table it is."""
    for kind, table in (("floating", "NAT"),):
        (where,) = ours(cloud.northbound, kind)
        spoil(cloud, where, "ovnhook:domain")
        (hint,) = broken(cloud).values()
        assert hint.startswith(f"ovn-nbctl list {table} {where.split()[1]}; ")
