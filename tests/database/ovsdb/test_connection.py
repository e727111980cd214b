"""Transactions with a real server: what its errors become, and what happens when it is slow, away or new."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import UUID, uuid4

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, OvnhookError, Unavailable
from ovnhook.base.retry import repeat
from ovnhook.ovsdb.connection import ConstraintViolation, Database
from ovnhook.ovsdb.operation import Operation, insert, key, mutate, ref, require, update
from ovnhook.ovsdb.operation import select as read
from ovnhook.ovsdb.replica import Replica
from ovnhook.ovsdb.rowchanges import Selection
from tests.database.hypervisors import soon
from tests.database.ovsdb.switches import ROW, database_of, make_switch, names_of
from tests.database.ovsdb_server import Cluster, Server, wait_for


def test_rows_come_back_by_operation(northbound: Server) -> None:
    """One list for each operation: of what it selected, and an empty one where it wrote."""
    found = database_of(northbound).transact(
        [make_switch(ROW), read("Logical_Switch", columns=["name"]), read("DNS")], soon()
    )
    assert found == [[], [{"name": "blue"}], []]


@pytest.mark.parametrize("shift", range(4))
def test_characters_that_arrive_in_parts(northbound: Server, shift: int) -> None:
    """However a long reply is cut, its text is what was written."""
    text = "x" * shift + "\U0001f98a" * 200_000
    row = insert("DNS", uuid4(), {"external_ids": ["map", [["a", text]]]})
    database_of(northbound).transact([row], soon())
    for _ in range(5):
        assert database_of(northbound).transact([read("DNS", columns=["external_ids"])], soon()) == [
            [{"external_ids": ["map", [["a", text]]]}]
        ]


@pytest.mark.parametrize("remote", ["ssl:192.0.2.1", "tcp:192.0.2.1:sb", "tcp::1", "tcp:192.0.2.1:66420", "nonsense"])
def test_remotes_that_are_none(northbound: Server, remote: str) -> None:
    """They are named, and keep nobody from those that are some."""
    with pytest.raises(Unavailable, match=remote):
        Database(remote, "OVN_Northbound").transact([read("DNS")], soon())
    both = Database(f"{remote},{northbound.remote}", "OVN_Northbound")
    both._order = [remote, northbound.remote]
    assert both.transact([read("DNS")], soon()) == [[]]


@pytest.fixture
def descriptors() -> Iterator[None]:
    """A process that has so many open files that the next ones have numbers above those that select(2) takes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2048), before[1]))
    with ExitStack() as stack:
        null = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, null)
        while null < 1100:
            null = os.dup(null)
            stack.callback(os.close, null)
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("descriptors")
def test_many_open_files(northbound: Server) -> None:
    """Those of a service whose clients hold a thousand connections: transactions and replicas work as ever."""
    database = database_of(northbound)
    database.transact([make_switch(ROW)], soon())
    assert names_of(database) == ["blue"]
    stop = threading.Event()
    (found,) = next(Replica(northbound.remote, "OVN_Northbound", {"Logical_Switch": Selection(("name",))}).follow(stop))
    assert found.new == {"name": "blue"}


def test_a_row_that_exists_is_a_conflict(northbound: Server) -> None:
    """The primary key is the arbiter: the second insert of a UUID fails, and nothing of its transaction is written."""
    database = database_of(northbound)
    database.transact([make_switch(ROW)], soon())
    before = northbound.dump(versions=True)
    with pytest.raises(Conflict, match="duplicate uuid"):
        database.transact([make_switch(uuid4(), "other"), make_switch(ROW)], soon())
    assert northbound.dump(versions=True) == before


def test_an_unmet_requirement_is_a_conflict(northbound: Server) -> None:
    """A row that is not as it was read aborts the transaction."""
    database = database_of(northbound)
    database.transact([make_switch(ROW)], soon())
    before = northbound.dump(versions=True)
    unmet = require("Logical_Switch", [key(ROW)], [{"name": "green"}], ["name"])
    with pytest.raises(Conflict):
        database.transact([unmet, update("Logical_Switch", key(ROW), {"name": "red"})], soon())
    with pytest.raises(Conflict):
        database.transact([update("Logical_Switch", key(ROW), {"name": "red"}), unmet], soon())
    assert northbound.dump(versions=True) == before


def test_a_reference_to_nothing_is_a_conflict(northbound: Server) -> None:
    """What was referred to is gone: somebody was faster."""
    refer = mutate("Logical_Switch", key(ROW), [["ports", "insert", ["set", [ref(uuid4())]]]])
    with pytest.raises(Conflict, match="referential integrity"):
        database_of(northbound).transact([make_switch(ROW), refer], soon())
    assert northbound.dump()["Logical_Switch"] == {}


def test_a_name_that_is_taken_is_a_constraint_violation(northbound: Server) -> None:
    """The schema's index of ports' names; trying again would not help, so it is no Unavailable."""
    database = database_of(northbound)

    def port(uuid: UUID, switch: UUID) -> list[Operation]:
        join = mutate("Logical_Switch", key(switch), [["ports", "insert", ["set", [ref(uuid)]]]])
        return [make_switch(switch), insert("Logical_Switch_Port", uuid, {"name": "same"}), join]

    database.transact(port(uuid4(), ROW), soon())
    before = northbound.dump(versions=True)
    with pytest.raises(ConstraintViolation, match="same") as caught:
        database.transact(port(uuid4(), uuid4()), soon())
    assert not isinstance(caught.value, Unavailable)
    assert northbound.dump(versions=True) == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "select", "table": "No_Such_Table", "where": []},
        {"op": "insert", "table": "Logical_Switch", "row": {"no_such_column": 1}},
        {"op": "dance"},
    ],
    ids=["table", "column", "operation"],
)
def test_a_mistake_of_ours_is_neither_an_outage_nor_a_race(northbound: Server, operation: Operation) -> None:
    """It would be the same the next time, so nobody may repeat it or start a domain in spite of it."""
    with pytest.raises(OvnhookError, match="OVN_Northbound") as caught:
        database_of(northbound).transact([operation], soon())
    assert type(caught.value) is OvnhookError


def test_a_database_that_is_not_there_is_told(northbound: Server) -> None:
    """The server is not the one that was meant: out of reach, as no server would be."""
    with pytest.raises(Unavailable, match="No_Such_Database"):
        Database(northbound.remote, "No_Such_Database").transact([read("DNS")], soon())


@pytest.mark.parametrize("remote", ["unix:/nonexistent/s", "tcp:127.0.0.1:1", "unix:/"])
def test_nobody_there_is_unavailable(remote: str) -> None:
    """At once, and the message says where it was looked."""
    deadline = Deadline.after(2 * HANG)
    with pytest.raises(Unavailable) as caught:
        Database(remote, "OVN_Northbound").transact([read("DNS")], deadline)
    assert remote in caught.value.message
    assert deadline.remaining > HANG


def test_a_frozen_server_costs_no_more_than_the_deadline(northbound: Server) -> None:
    """On a new connection (which the kernel accepts) and on one that was used before."""
    used, new = database_of(northbound), database_of(northbound)
    used.transact([make_switch(ROW)], soon())
    northbound.pause()
    for database in (used, new):
        guard = Deadline.after(HANG)
        with pytest.raises(Unavailable, match="no answer in time"):
            database.transact([read("DNS")], Deadline.after(0.2))
        assert guard.remaining
    northbound.resume()
    assert names_of(used) == names_of(new) == ["blue"]


def test_nothing_is_sent_when_time_is_over(northbound: Server) -> None:
    """A process that was stopped for long must not write what nobody waits for any more."""
    with pytest.raises(Unavailable, match="deadline exceeded"):
        database_of(northbound).transact([make_switch(ROW)], Deadline.after(0))
    assert northbound.dump()["Logical_Switch"] == {}


def test_a_restarted_server_is_not_noticed(northbound: Server) -> None:
    """The connection that died meanwhile is replaced, and what was written is there."""
    database = database_of(northbound)
    database.transact([make_switch(ROW)], soon())
    northbound.stop()
    northbound.start()
    assert names_of(database) == ["blue"]
    northbound.kill()
    northbound.start()
    assert names_of(database) == ["blue"]


def test_a_stopped_server_is_unavailable_until_it_is_back(northbound: Server) -> None:
    """An idle connection to a server that went is no reason to wait."""
    database = database_of(northbound)
    assert names_of(database) == []
    northbound.stop()
    deadline = Deadline.after(2 * HANG)
    with pytest.raises(Unavailable):
        database.transact([read("DNS")], deadline)
    assert deadline.remaining > HANG
    northbound.start()
    assert names_of(database) == []


def test_a_server_that_dies_in_the_middle_is_unavailable(northbound: Server) -> None:
    """Somebody who waits for an answer is told at once that none will come."""
    database = database_of(northbound)
    assert names_of(database) == []
    northbound.pause()
    deadline = Deadline.after(2 * HANG)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(database.transact, [read("DNS")], deadline)
        wait_for(waiting.running)
        northbound.kill()
        with pytest.raises(Unavailable):
            waiting.result(HANG)
    assert deadline.remaining > HANG


def test_a_dead_server_among_several_is_passed_over(northbound: Server) -> None:
    """Wherever it stands in the list, and in whatever order they are tried."""
    for remotes in (f"unix:/nonexistent/s,{northbound.remote}", f"{northbound.remote}, unix:/nonexistent/s"):
        for _ in range(8):
            assert names_of(Database(remotes, "OVN_Northbound")) == []


def test_a_frozen_server_among_several_is_left_after_one_try(cluster: Cluster) -> None:
    """The transaction that met it ends by its deadline; the next one goes to another server."""
    frozen = cluster.servers[2]
    wait_for(lambda: cluster.leader() is not frozen)
    database = Database(",".join([frozen.remote, cluster.servers[0].remote]), "OVN_Northbound")
    database._order.sort(key=lambda remote: remote != frozen.remote)
    frozen.pause()
    with pytest.raises(Unavailable):
        database.transact([read("DNS")], Deadline.after(0.2))
    assert names_of(database) == []


def test_a_frozen_server_among_several_costs_no_operation(cluster: Cluster) -> None:
    """The one that meets it has time to try again with another server."""
    frozen = cluster.servers[2]
    wait_for(lambda: cluster.leader() is not frozen)
    database = Database(",".join([frozen.remote, cluster.servers[0].remote]), "OVN_Northbound")
    frozen.pause()
    for is_kept in (False, True):  # a connection of before, or a new one
        database._order.sort(key=lambda remote: remote != frozen.remote)
        if is_kept:
            frozen.resume()
            database.close()
            assert names_of(database) == []
            frozen.pause()
        deadline = Deadline.after(16)  # seconds: half of it is spent with the one that is frozen
        assert repeat(lambda: database.transact([read("DNS")], deadline), deadline, outage_tries=5) == [[]]  # noqa: B023


def test_every_server_of_a_cluster_serves(cluster: Cluster) -> None:
    """What is written through one is there for the next one to read, and unique in all."""
    databases = [Database(remote, "OVN_Northbound") for remote in cluster.remotes]
    databases[1].transact([make_switch(ROW)], soon())
    for database in databases:
        with pytest.raises(Conflict):
            database.transact([make_switch(ROW)], soon())
        assert names_of(database) == ["blue"]
