"""Connections that are kept: used again, replaced when they have ended, and kept alive."""

from __future__ import annotations

import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.waiting import HANG
from ovnhook.ovsdb.connection import Database
from tests.database.hypervisors import soon
from tests.database.ovsdb.switches import ROW, database_of, make_switch, names_of
from tests.database.ovsdb_server import Server, wait_for


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
            for waiting in [pool.submit(lambda: (together.wait(HANG), names_of(database))) for _ in range(2)]:
                waiting.result(HANG)
        severed.set()
        database.transact([make_switch(ROW)], soon())
        assert names_of(database) == ["blue"]


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


def test_a_connection_is_kept(northbound: Server) -> None:
    """One after the other, transactions share one connection; side by side they have one each, and keep some."""
    database = database_of(northbound)
    for _ in range(5):
        assert names_of(database) == []
    assert len(database._idle) == 1
    together = threading.Barrier(4)

    def meet() -> None:
        together.wait(HANG)
        assert names_of(database) == []

    with ThreadPoolExecutor(4) as pool:
        for waiting in [pool.submit(meet) for _ in range(4)]:
            waiting.result(HANG)
    assert 1 <= len(database._idle) <= 4
    database.close()
    assert database._idle == []


def test_only_some_connections_are_kept(northbound: Server) -> None:
    """The worst moment of a process is not what its server has to hold for ever."""
    database = database_of(northbound)
    northbound.pause()
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(names_of, database) for _ in range(12)]
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
    assert names_of(database) == []
    (idle,) = database._idle
    for _ in range(2):
        assert select.select([idle.stream.socket], [], [], HANG)[0]
        database.keep_alive()
        assert database._idle == [idle]
    assert names_of(database) == []
    assert database._idle == [idle]


def test_tending_lets_go_of_what_has_ended(northbound: Server) -> None:
    """A server that went away leaves no dead connection behind."""
    database = database_of(northbound)
    assert names_of(database) == []
    (idle,) = database._idle
    northbound.stop()
    assert select.select([idle.stream.socket], [], [], HANG)[0]
    database.keep_alive()
    assert database._idle == []
