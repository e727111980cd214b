"""A migration, which both hosts have to want: real databases, real TLS."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from lab.waiting import HANG
from ovnhook.api.agentmessages import domain_message
from ovnhook.api.v1 import agents_pb2 as api
from tests.database.clients import Clients
from tests.database.hostwatch import HostWatch
from tests.database.hypervisors import WEB
from tests.database.nodes import WEB1, NodeClient, error_of, leases, ports
from tests.database.southbound_rows import set_reports


@pytest.fixture
def source(clients: Clients, node1: NodeClient) -> NodeClient:
    """Node hv1, whose agent is alive, and on which web1 runs."""
    node1.report(agent_version="1")
    node1.attach()
    return node1


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for calls that wait."""
    with ThreadPoolExecutor(4) as made:
        yield made


def announce(node: NodeClient, seconds: float) -> api.DomainResponse:
    """Announce a migration, with a timeout."""
    request = api.DomainRequest(host=node.host, domain=domain_message(WEB1))
    answer: api.DomainResponse = node.stub.AnnounceMigration(request, timeout=seconds)
    return answer


def unconfirmed(node: NodeClient) -> tuple[str, str, str]:
    """The error of a migration that nobody confirms.

    The service answers shortly before the client's timeout; on a busy machine the answer comes too late.
    """
    seconds = 1.5
    while not (found := error_of(partial(announce, node, seconds)))[0]:
        seconds *= 2
        assert seconds < HANG, found
    return found


class Source:
    """The agent of a source, which sees requests in its stream."""

    def __init__(self, clients: Clients) -> None:
        self._watch = HostWatch(clients.channel("hv1", "node"), "hv1")
        self._watch.next()

    @property
    def requested_by(self) -> str:
        """Destination that is shown now."""
        return next(one.leases.requested_by for one in self._watch.known.values() if one.HasField("leases"))

    def wait(self, destination: str) -> None:
        """Wait until the request of a destination is shown; "" for none."""
        self._watch.until(lambda: self.requested_by == destination)


def test_a_confirmed_migration(
    clients: Clients, source: NodeClient, node2: NodeClient, pool: ThreadPoolExecutor
) -> None:
    """The destination has the ports, too, when the source has confirmed it, and not before; a step may come twice."""
    agent = Source(clients)
    called: Future[Any] = pool.submit(announce, node2, HANG)
    agent.wait("hv2")
    assert ports(clients) == [("hv1", "")]
    assert error_of(node2.attach)[0] == "PermissionDenied"
    source.confirm("hv2")
    called.result(HANG)
    source.confirm("hv2")
    announce(node2, HANG)
    assert ports(clients) == [("hv1", "hv2")]
    agent.wait("")
    assert node2.attach().arrives
    node2.call("FinishMigration")
    source.call("DetachDomain")
    assert (ports(clients), leases(clients)) == ([("hv2", "")], [("web1", "hv2")])


def test_a_migration_that_nobody_confirms(clients: Clients, source: NodeClient, node2: NodeClient) -> None:
    """The error names the source, and nothing is left of the request."""
    before = clients.control.northbound.dump()
    kind, said, hint = unconfirmed(node2)
    assert kind == "Unavailable"
    assert re.fullmatch(r"domain web1: host hv1 has not confirmed within [\d.]+ s that it migrates to hv2", said)
    assert hint == "on hv1: systemctl status ovnhook-agent; virsh domjobinfo web1"
    assert clients.control.northbound.dump() == before
    kind, said, _ = error_of(partial(source.confirm, "hv2"))
    assert (kind, said) == (
        "FailedPrecondition",
        "domain web1: hv2 does not request its migration, or no longer",
    )
    assert clients.control.northbound.dump() == before


def test_two_destinations(
    clients: Clients,
    source: NodeClient,
    node2: NodeClient,
    make_node: Callable[[str], NodeClient],
    pool: ThreadPoolExecutor,
) -> None:
    """The first one has it, and the second one is told of it; it gets nothing by the confirmation of the first."""
    node3, agent = make_node("hv3"), Source(clients)
    called = pool.submit(announce, node2, HANG)
    agent.wait("hv2")
    kind, said, hint = error_of(partial(announce, node3, HANG))
    assert (kind, said) == ("FailedPrecondition", "domain web1: hv2 requests its migration at the same time")
    assert hint.startswith("retry in ")
    assert error_of(partial(source.confirm, "hv3"))[0] == "FailedPrecondition"
    assert error_of(partial(node2.confirm, "hv2"))[0] == "FailedPrecondition"
    source.confirm("hv2")
    called.result(HANG)
    node2.report(agent_version="1")
    kind, said, _ = error_of(partial(announce, node3, HANG))
    assert (kind, said) == ("PermissionDenied", "domain web1 has ports on hv1 and hv2, and can't migrate to hv3")
    node3.call("FinishMigration")
    assert ports(clients) == [("hv1", "hv2")]


def test_a_request_that_a_crash_has_left(clients: Clients, source: NodeClient, node2: NodeClient) -> None:
    """Is void when its time is over: nobody can confirm it, and it is in nobody's way."""
    late = {"ovnhook:requested-by": "hv3", "ovnhook:requested-until": str(int(time.time()) - 1)}
    (index,) = [
        uuid
        for uuid, row in clients.control.northbound.dump()["DNS"].items()
        if dict(row["external_ids"][1]).get("ovnhook:kind") == "domain"
    ]
    clients.control.northbound.transact(
        {
            "op": "mutate",
            "table": "DNS",
            "where": [["_uuid", "==", ["uuid", index]]],
            "mutations": [["external_ids", "insert", ["map", [list(pair) for pair in late.items()]]]],
        }
    )
    assert error_of(partial(source.confirm, "hv3"))[0] == "FailedPrecondition"
    source.attach(running=True)
    source.call("DetachDomain")
    source.attach()
    assert unconfirmed(node2)[0] == "Unavailable"
    assert "ovnhook:requested-by" not in dict(clients.control.northbound.dump()["DNS"][index]["external_ids"][1])
    source.call("ReleaseDomainLeases")
    assert index not in clients.control.northbound.dump()["DNS"]


@pytest.mark.usefixtures("_long_up")
@pytest.mark.parametrize("reported", ["of an earlier version", "dead", "shut off"])
def test_without_a_source_that_could_confirm(
    clients: Clients, source: NodeClient, node2: NodeClient, reported: str
) -> None:
    """It is announced at once: an agent of an earlier version writes its report itself."""
    now = int(time.time())
    if reported == "of an earlier version":
        set_reports(clients.control.southbound, "hv1", seen=str(now), api=str(now - 20))
    elif reported == "dead":
        set_reports(clients.control.southbound, "hv1", seen=str(now - 100), api=str(now - 100))
    else:
        source.call("DetachDomain")
    announce(node2, HANG)
    assert ports(clients) == ([] if reported == "shut off" else [("hv1", "hv2")])
    node2.call("FinishMigration")
    assert leases(clients) == [("web1", "hv2")]


def test_changes_beside_a_request(
    clients: Clients, source: NodeClient, node2: NodeClient, pool: ThreadPoolExecutor
) -> None:
    """A request makes no change of the source fail or wait, and outlives those of the running domain."""
    agent = Source(clients)
    called = pool.submit(announce, node2, HANG)
    agent.wait("hv2")
    before = clients.control.northbound.dump(versions=True)
    source.attach(running=True)
    assert clients.control.northbound.dump(versions=True) == before
    source.confirm("hv2", WEB)
    called.result(HANG)
    source.call("CancelMigration")
    assert ports(clients) == [("hv1", "")]
    agent.wait("")
    called = pool.submit(announce, node2, HANG)
    agent.wait("hv2")
    source.call("DetachDomain")
    source.call("ReleaseDomainLeases")
    assert error_of(partial(called.result, HANG))[0] == "Unavailable"
    assert leases(clients) == []
