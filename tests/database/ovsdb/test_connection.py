"""Transactions with a real server: what its errors become, and what happens when it is slow, away or new."""

from __future__ import annotations

import os
import resource
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, OvnhookError, Unavailable
from ovnhook.base.retry import repeat
from ovnhook.ovsdb.connection import ConstraintViolation, Database, is_address
from ovnhook.ovsdb.operation import Operation, insert, key, mutate, ref, require, update
from ovnhook.ovsdb.operation import select as read
from ovnhook.ovsdb.replica import Replica
from tests.database.ovsdb_server import Cluster, Server, wait_for

ROW = UUID("00000000-0000-4000-8000-000000000001")


def _soon() -> Deadline:
    return Deadline.after(HANG)


def _database(server: Server) -> Database:
    return Database(server.remote, "OVN_Northbound")


def _switch(uuid: UUID, name: str = "blue") -> Operation:
    return insert("Logical_Switch", uuid, {"name": name})


def _names(database: Database) -> list[str]:
    (rows,) = database.transact([read("Logical_Switch", columns=["name"])], _soon())
    return sorted(row["name"] for row in rows)


def test_rows_come_back_by_operation(northbound: Server) -> None:
    """One list for each operation: of what it selected, and an empty one where it wrote."""
    found = _database(northbound).transact(
        [_switch(ROW), read("Logical_Switch", columns=["name"]), read("DNS")], _soon()
    )
    assert found == [[], [{"name": "blue"}], []]


@pytest.mark.parametrize("remote", ["ssl:192.0.2.1", "tcp:192.0.2.1:sb", "tcp::1", "tcp:192.0.2.1:66420", "nonsense"])
def test_remotes_that_are_none(northbound: Server, remote: str) -> None:
    """They are named, and keep nobody from those that are some."""
    with pytest.raises(Unavailable, match=remote):
        Database(remote, "OVN_Northbound").transact([read("DNS")], _soon())
    both = Database(f"{remote},{northbound.remote}", "OVN_Northbound")
    both._order = [remote, northbound.remote]
    assert both.transact([read("DNS")], _soon()) == [[]]


@pytest.mark.parametrize(
    ("remote", "is_one"),
    [
        ("unix:/run/ovn/ovnsb_db.sock", True),
        (" ssl:192.0.2.1:6642", True),
        ("tcp:[2001:db8::1]:6642", True),
        ("ssl:192.0.2.1", False),
        ("ssl:control.example:6642", False),
        ("tcp:192.0.2.1:sb", False),
        ("", False),
    ],
)
def test_what_is_an_address(remote: str, *, is_one: bool) -> None:
    """Nothing that has to be looked up is."""
    assert is_address(remote) is is_one


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
    database = _database(northbound)
    database.transact([_switch(ROW)], _soon())
    assert _names(database) == ["blue"]
    stop = threading.Event()
    (found,) = next(Replica(northbound.remote, "OVN_Northbound", {"Logical_Switch": ["name"]}).follow(stop))
    assert found.new == {"name": "blue"}


def test_a_row_that_exists_is_a_conflict(northbound: Server) -> None:
    """The primary key is the arbiter: the second insert of a UUID fails, and nothing of its transaction is written."""
    database = _database(northbound)
    database.transact([_switch(ROW)], _soon())
    before = northbound.dump(versions=True)
    with pytest.raises(Conflict, match="duplicate uuid"):
        database.transact([_switch(uuid4(), "other"), _switch(ROW)], _soon())
    assert northbound.dump(versions=True) == before


def test_an_unmet_requirement_is_a_conflict(northbound: Server) -> None:
    """A row that is not as it was read aborts the transaction."""
    database = _database(northbound)
    database.transact([_switch(ROW)], _soon())
    before = northbound.dump(versions=True)
    unmet = require("Logical_Switch", [key(ROW)], [{"name": "green"}], ["name"])
    with pytest.raises(Conflict):
        database.transact([unmet, update("Logical_Switch", key(ROW), {"name": "red"})], _soon())
    with pytest.raises(Conflict):
        database.transact([update("Logical_Switch", key(ROW), {"name": "red"}), unmet], _soon())
    assert northbound.dump(versions=True) == before


def test_a_reference_to_nothing_is_a_conflict(northbound: Server) -> None:
    """What was referred to is gone: somebody was faster."""
    refer = mutate("Logical_Switch", key(ROW), [["ports", "insert", ["set", [ref(uuid4())]]]])
    with pytest.raises(Conflict, match="referential integrity"):
        _database(northbound).transact([_switch(ROW), refer], _soon())
    assert northbound.dump()["Logical_Switch"] == {}


def test_a_name_that_is_taken_is_a_constraint_violation(northbound: Server) -> None:
    """The schema's index of ports' names; trying again would not help, so it is no Unavailable."""
    database = _database(northbound)

    def port(uuid: UUID, switch: UUID) -> list[Operation]:
        join = mutate("Logical_Switch", key(switch), [["ports", "insert", ["set", [ref(uuid)]]]])
        return [_switch(switch), insert("Logical_Switch_Port", uuid, {"name": "same"}), join]

    database.transact(port(uuid4(), ROW), _soon())
    before = northbound.dump(versions=True)
    with pytest.raises(ConstraintViolation, match="same") as caught:
        database.transact(port(uuid4(), uuid4()), _soon())
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
        _database(northbound).transact([operation], _soon())
    assert type(caught.value) is OvnhookError


def test_a_database_that_is_not_there_is_told(northbound: Server) -> None:
    """The server is not the one that was meant: out of reach, as no server would be."""
    with pytest.raises(Unavailable, match="No_Such_Database"):
        Database(northbound.remote, "No_Such_Database").transact([read("DNS")], _soon())


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
    used, new = _database(northbound), _database(northbound)
    used.transact([_switch(ROW)], _soon())
    northbound.pause()
    for database in (used, new):
        guard = Deadline.after(HANG)
        with pytest.raises(Unavailable, match="no answer in time"):
            database.transact([read("DNS")], Deadline.after(0.2))
        assert guard.remaining
    northbound.resume()
    assert _names(used) == _names(new) == ["blue"]


def test_nothing_is_sent_when_time_is_over(northbound: Server) -> None:
    """A process that was stopped for long must not write what nobody waits for any more."""
    with pytest.raises(Unavailable, match="deadline exceeded"):
        _database(northbound).transact([_switch(ROW)], Deadline.after(0))
    assert northbound.dump()["Logical_Switch"] == {}


def test_a_restarted_server_is_not_noticed(northbound: Server) -> None:
    """The connection that died meanwhile is replaced, and what was written is there."""
    database = _database(northbound)
    database.transact([_switch(ROW)], _soon())
    northbound.stop()
    northbound.start()
    assert _names(database) == ["blue"]
    northbound.kill()
    northbound.start()
    assert _names(database) == ["blue"]


def test_a_stopped_server_is_unavailable_until_it_is_back(northbound: Server) -> None:
    """An idle connection to a server that went is no reason to wait."""
    database = _database(northbound)
    assert _names(database) == []
    northbound.stop()
    deadline = Deadline.after(2 * HANG)
    with pytest.raises(Unavailable):
        database.transact([read("DNS")], deadline)
    assert deadline.remaining > HANG
    northbound.start()
    assert _names(database) == []


def test_a_server_that_dies_in_the_middle_is_unavailable(northbound: Server) -> None:
    """Somebody who waits for an answer is told at once that none will come."""
    database = _database(northbound)
    assert _names(database) == []
    northbound.pause()
    deadline = Deadline.after(2 * HANG)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(database.transact, [read("DNS")], deadline)
        wait_for(waiting.running)
        northbound.kill()
        with pytest.raises(Unavailable):
            waiting.result(HANG)
    assert deadline.remaining > HANG


def test_a_connection_that_turns_out_to_have_ended_is_replaced(northbound: Server) -> None:
    """The network was away meanwhile: it seems alive until something is sent. All idle ones are such, then."""
    path = Path(northbound.directory, "severed")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        severed = threading.Event()
        threading.Thread(target=_forward, args=(listening, northbound, severed), daemon=True).start()
        database = Database(f"unix:{path}", "OVN_Northbound")
        together = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            for waiting in [pool.submit(lambda: (together.wait(HANG), _names(database))) for _ in range(2)]:
                waiting.result(HANG)
        severed.set()
        database.transact([_switch(ROW)], _soon())
        assert _names(database) == ["blue"]


def _forward(listening: socket.socket, server: Server, severed: threading.Event) -> None:
    """Hand connections on to a server; those made before `severed` end at the next thing that is sent."""

    def pass_on(source: socket.socket, target: socket.socket, *, asks: bool, is_old: bool) -> None:
        with source, target:
            while data := source.recv(1 << 16):
                if asks and is_old and severed.is_set():
                    source.shutdown(socket.SHUT_RDWR)
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)

    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(server.remote.removeprefix("unix:"))
        is_old = not severed.is_set()
        for source, target, asks in ((client, upstream, True), (upstream, client, False)):
            threading.Thread(
                target=pass_on,
                args=(source.dup(), target.dup()),
                kwargs={"asks": asks, "is_old": is_old},
                daemon=True,
            ).start()
        client.close()
        upstream.close()


def test_a_dead_server_among_several_is_passed_over(northbound: Server) -> None:
    """Wherever it stands in the list, and in whatever order they are tried."""
    for remotes in (f"unix:/nonexistent/s,{northbound.remote}", f"{northbound.remote}, unix:/nonexistent/s"):
        for _ in range(8):
            assert _names(Database(remotes, "OVN_Northbound")) == []


def test_a_frozen_server_among_several_is_left_after_one_try(cluster: Cluster) -> None:
    """The transaction that met it ends by its deadline; the next one goes to another server."""
    frozen = cluster.servers[2]
    wait_for(lambda: cluster.leader() is not frozen)
    database = Database(",".join([frozen.remote, cluster.servers[0].remote]), "OVN_Northbound")
    database._order.sort(key=lambda remote: remote != frozen.remote)
    frozen.pause()
    with pytest.raises(Unavailable):
        database.transact([read("DNS")], Deadline.after(0.2))
    assert _names(database) == []


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
            assert _names(database) == []
            frozen.pause()
        deadline = Deadline.after(16)  # seconds: half of it is spent with the one that is frozen
        assert repeat(lambda: database.transact([read("DNS")], deadline), deadline, outage_tries=5) == [[]]  # noqa: B023


def test_every_server_of_a_cluster_serves(cluster: Cluster) -> None:
    """What is written through one is there for the next one to read, and unique in all."""
    databases = [Database(remote, "OVN_Northbound") for remote in cluster.remotes]
    databases[1].transact([_switch(ROW)], _soon())
    for database in databases:
        with pytest.raises(Conflict):
            database.transact([_switch(ROW)], _soon())
        assert _names(database) == ["blue"]


def test_a_connection_is_kept(northbound: Server) -> None:
    """One after the other, transactions share one connection; side by side they have one each, and keep some."""
    database = _database(northbound)
    for _ in range(5):
        assert _names(database) == []
    assert len(database._idle) == 1
    together = threading.Barrier(4)

    def meet() -> None:
        together.wait(HANG)
        assert _names(database) == []

    with ThreadPoolExecutor(4) as pool:
        for waiting in [pool.submit(meet) for _ in range(4)]:
            waiting.result(HANG)
    assert 1 <= len(database._idle) <= 4
    database.close()
    assert database._idle == []


def test_only_some_connections_are_kept(northbound: Server) -> None:
    """The worst moment of a process is not what its server has to hold for ever."""
    database = _database(northbound)
    northbound.pause()
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(_names, database) for _ in range(12)]
        wait_for(lambda: _connections() >= 12)
        northbound.resume()
        assert [one.result(HANG) for one in waiting] == [[]] * 12
    assert len(database._idle) == 4
    assert not database.keep_alive()
    assert len(database._idle) == 4


def _connections() -> int:
    """How many sockets this process has open."""
    return sum(link.is_socket() for link in Path("/proc/self/fd").iterdir())


def test_an_idle_connection_answers_the_servers_probes(northbound: Server) -> None:
    """Tended, it outlives the inactivity probe of the server; the second probe says that the first one was answered."""
    probing = Path(northbound.directory, "probing")
    northbound.transact(
        {"op": "insert", "table": "NB_Global", "row": {"connections": ["named-uuid", "c"]}},
        {
            "op": "insert",
            "table": "Connection",
            "uuid-name": "c",
            "row": {"target": f"punix:{probing}", "inactivity_probe": 1000},
        },
    )
    wait_for(probing.exists)
    database = Database(f"unix:{probing}", "OVN_Northbound")
    assert _names(database) == []
    (idle,) = database._idle
    for _ in range(2):
        assert select.select([idle.stream.socket], [], [], HANG)[0]
        database.keep_alive()
        assert database._idle == [idle]
    assert _names(database) == []
    assert database._idle == [idle]


def test_tending_lets_go_of_what_has_ended(northbound: Server) -> None:
    """A server that went away leaves no dead connection behind."""
    database = _database(northbound)
    assert _names(database) == []
    (idle,) = database._idle
    northbound.stop()
    assert select.select([idle.stream.socket], [], [], HANG)[0]
    database.keep_alive()
    assert database._idle == []
