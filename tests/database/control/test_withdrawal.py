"""Nodes' access to the northbound database: it lasts until all of them use the API, and never comes back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lab.waiting import HANG
from ovnhook.api.calls import Calls
from ovnhook.api.channels import Method
from ovnhook.api.v1 import enrolment_pb2 as api
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition
from ovnhook.control import withdrawal
from ovnhook.control.server import ControlServer
from ovnhook.databases.southbound import Southbound
from ovnhook.ovsdb.operation import key
from ovnhook.pki import x509
from ovnhook.pki.keyfiles import Files
from ovnhook.pki.members import Member, Members
from ovnhook.pki.x509 import Subject
from ovnhook.resources.chassis import Node, Report
from tests.database.control_host import ControlHost, cloud
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis, set_reports

__all__ = ["cloud"]  # the fixture

NOW = 1_800_000_000.0
CLOSED = "closed northbound"


def member(name: str, role: str = x509.NODE, expires: float = NOW + 1) -> Member:
    """A trusted client."""
    return Member(f"{role} {name} 1", Subject(name, role), b"anchor", expires=int(expires))


@pytest.mark.parametrize(
    ("nodes", "known", "names"),
    [
        ([], [], ()),
        ([Node("hv1", uses_api=True), Node("hv2", uses_api=True)], [member("hv1"), member("hv2")], ()),
        ([Node("hv1", uses_api=True), Node("hv2")], [member("hv2"), member("hv1")], ("hv2",)),
        ([], [member("hv2"), member("hv1"), member("hv1")], ("hv1", "hv2")),  # of a database that was restored
        ([Node("c1")], [], ()),  # a control host's own, by a unix socket
        ([], [member("alice", x509.OPERATOR), member("c1", x509.CONTROL)], ()),
        ([], [member("hv1", expires=NOW - 1)], ()),  # it has to join again
        ([], [member("hv1", expires=0)], ("hv1",)),  # unknown
    ],
)
def test_whose_access_is_kept(nodes: list[Node], known: list[Member], names: tuple[str, ...]) -> None:
    assert withdrawal.pending(nodes, Members(tuple(known)), NOW) == names
    assert withdrawal.pending(nodes, Members(tuple(known), is_closed=True), NOW) == ()


def reopened(cloud: ControlHost) -> Files:
    """Let the cloud be of an earlier version, with a node that has joined: without a decision; the node's files."""
    pair = cloud.enrol(cloud.create_token("hv1"))
    cloud.service.stop()
    ledger = json.loads(cloud.files.ledger.read_text())
    del ledger[CLOSED]
    cloud.files.ledger.write_text(json.dumps(ledger))
    write(cloud, ["delete", ["set", [CLOSED]]])
    restart(cloud)
    return pair


def trust_entries(cloud: ControlHost) -> dict[str, str]:
    """Entries of the trust row in the database."""
    row = cloud.control.northbound.dump()["DNS"][str(uuids.TRUST)]
    return dict(row["records"][1])


def write(cloud: ControlHost, mutation: list[Any]) -> None:
    """Change entries of that row, as somebody does who may write to the database."""
    change = {"op": "mutate", "table": "DNS", "where": [key(uuids.TRUST)], "mutations": [["records", *mutation]]}
    cloud.control.northbound.transact(change)


def restart(cloud: ControlHost) -> None:
    """Start the control service again."""
    cloud.service.stop()
    cloud.service = ControlServer(cloud.path, cloud.config)
    cloud.service.start()


def earlier(cloud: ControlHost, name: str) -> None:
    """Join as a host does whose version needs the northbound database."""
    token = cloud.create_token(name)
    enrol = Method("ovnhook.v1.Enrolment", "Enrol", api.EnrolResponse, is_idempotent=False)
    request = x509.request(x509.new_key()).decode()
    calls = Calls(token.servers, lambda: (cloud.files.own.certificate.read_bytes(),))
    calls.call(enrol, api.EnrolRequest(secret=token.secret, request=request, address="192.0.2.9"), Deadline.after(HANG))


def test_a_new_cloud_is_closed(cloud: ControlHost) -> None:
    """From the beginning: a host of an earlier version can't join; one of this version can, and has no access."""
    assert CLOSED in cloud.files.ledger.read_text()
    for role in (x509.NODE, x509.CONTROL):
        with pytest.raises(FailedPrecondition, match="ovnhook here is an earlier version"):
            earlier(cloud, f"of-{role}")
    pair = cloud.enrol(cloud.create_token("hv1"))
    assert cloud.trusts(pair)
    wait_for(lambda: cloud.database_trusts(pair))
    assert not cloud.northbound_trusts(pair)
    assert cloud.northbound_trusts(cloud.files.databases)
    assert "does not use the API yet" not in cloud.ovnhook("status").out


def test_a_cloud_of_an_earlier_version(cloud: ControlHost) -> None:
    """Its nodes keep their access, and the status names them, until the last one of them uses the API."""
    pair = reopened(cloud)
    earlier(cloud, "hv2")
    wait_for(lambda: cloud.northbound_trusts(pair))
    told = "host {} does not use the API yet: the northbound database stays open to all nodes"
    said = cloud.ovnhook("status").out
    assert told.format("hv1") in said
    assert told.format("hv2") in said
    seen = str(int(time.time()))
    add_chassis(cloud.control.southbound, "hv1", reports={"agent": "1", "seen": seen})
    add_chassis(cloud.control.southbound, "hv2", reports={"agent": "0.9", "seen": seen, "api": ""})
    restart(cloud)
    said = cloud.ovnhook("status").out
    assert told.format("hv1") not in said
    assert told.format("hv2") in said
    assert cloud.northbound_trusts(pair)

    southbound = Southbound(cloud.control.southbound.remote)
    southbound.publish("hv2", Report("1", "3.1.0", ()), time.time(), Deadline.after(HANG))
    southbound.database.close()
    wait_for(lambda: not cloud.northbound_trusts(pair))
    wait_for(lambda: cloud.database_trusts(pair))  # its connections were cut, too
    assert "does not use the API" not in cloud.ovnhook("status").out

    set_reports(cloud.control.southbound, "hv2", agent="0.9", seen=str(int(time.time()) + 1), api=seen)  # a downgrade
    restart(cloud)
    assert not cloud.northbound_trusts(pair)
    assert "host hv2: its agent, 0.9, is an earlier version, which does not use the API" in cloud.ovnhook("status").out


def test_nobody_opens_it_again(cloud: ControlHost) -> None:
    """Neither who writes to the database or restores an old state of it, nor a node that lies; nor who closes it."""
    pair = reopened(cloud)
    write(cloud, ["insert", ["map", [[CLOSED, "- forged"]]]])
    wait_for(lambda: CLOSED not in trust_entries(cloud))
    assert cloud.northbound_trusts(pair)
    add_chassis(cloud.control.southbound, "hv1", reports={"agent": "1", "seen": "1"})
    wait_for(lambda: not cloud.files.serves_nodes and not cloud.files.cut.exists())
    write(cloud, ["delete", ["set", [CLOSED]]])
    wait_for(lambda: CLOSED in trust_entries(cloud))
    set_reports(cloud.control.southbound, "hv1", agent="0.9", api="")
    restart(cloud)
    assert not cloud.northbound_trusts(pair)


def test_a_database_that_is_away(cloud: ControlHost) -> None:
    """Nothing is decided meanwhile."""
    pair = reopened(cloud)
    cloud.control.southbound.stop()
    restart(cloud)
    assert CLOSED not in cloud.files.ledger.read_text()
    cloud.control.southbound.start()
    wait_for(lambda: cloud.northbound_trusts(pair))
