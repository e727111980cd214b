"""The replica: rows are complete after each kind of update, and rows that match no condition cost nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import pytest

from ovnhook.ovsdb.operation import as_map, as_set, delete, includes, insert, key, mutate, update
from ovnhook.ovsdb.replica import Replica, RowDifference
from ovnhook.ovsdb.rowchanges import Selection
from tests.database.hypervisors import soon
from tests.database.ovsdb.switches import ROW, database_of, make_switch
from tests.database.ovsdb_server import Server

PORT = UUID(int=1)
NAMES = UUID(int=2)
PORTS = Selection(("name", "addresses", "options", "up", "tag", "dhcpv4_options"))
OURS = Selection(("records", "external_ids"), (includes("external_ids", {"kind": "a"}),))

Differences = Iterator[Iterable[RowDifference]]


@pytest.fixture
def differences(northbound: Server) -> Iterator[Differences]:
    """Changes of ports and of some DNS rows."""
    stop = threading.Event()
    tables = {"Logical_Switch_Port": PORTS, "DNS": OURS}
    found = Replica(northbound.remote, "OVN_Northbound", tables).follow(stop)
    assert list(next(found)) == []
    yield found
    stop.set()


def changed(differences: Differences) -> Any:
    """The only changed row, as it is now."""
    (found,) = next(differences)
    return found.new


def ovsdb_client_row(northbound: Server) -> Any:
    """The port, as a select returns it."""
    (row,) = northbound.dump()["Logical_Switch_Port"].values()
    return {name: row[name] for name in PORTS.columns}


def test_columns_of_each_type(northbound: Server, differences: Differences) -> None:
    """Sets and maps are sent as differences, optional columns as values, and defaults not at all."""
    database, port = database_of(northbound), key(PORT)
    join = mutate("Logical_Switch", key(ROW), [["ports", "insert", ["uuid", str(PORT)]]])
    database.transact([make_switch(ROW), insert("Logical_Switch_Port", PORT, {"name": "p"}), join], soon())
    assert changed(differences) == {
        "name": "p", "addresses": ["set", []], "options": ["map", []], "up": ["set", []], "tag": ["set", []],
        "dhcpv4_options": ["set", []],
    }  # fmt: skip
    for columns in (
        {"addresses": "b", "options": as_map({"x": "1", "y": "2"}), "up": True},
        {"addresses": as_set(["c", "a"]), "tag": 7},
        {"addresses": as_set(["a", "d"]), "options": as_map({"y": "3", "w": "4"}), "up": False},
        {"addresses": as_set([]), "options": as_map({}), "tag": 8, "name": "q"},
        {"up": as_set([]), "tag": as_set([])},
    ):
        database.transact([update("Logical_Switch_Port", port, columns)], soon())
        assert changed(differences) == ovsdb_client_row(northbound)
    database.transact([delete("Logical_Switch", key(ROW))], soon())
    assert changed(differences) is None


def test_rows_begin_and_cease_to_match(northbound: Server, differences: Differences) -> None:
    """They come completely, and go; while they do not match, their changes are not sent."""
    database, names = database_of(northbound), key(NAMES)

    def has(**columns: Any) -> None:
        database.transact([update("DNS", names, {name: as_map(value) for name, value in columns.items()})], soon())

    database.transact([insert("DNS", NAMES, {"external_ids": as_map({"kind": "b"})})], soon())
    has(records={"one": "1"})
    has(external_ids={"kind": "a"})
    assert changed(differences) == {"records": as_map({"one": "1"}), "external_ids": as_map({"kind": "a"})}
    has(records={"one": "1", "two": "2"})
    assert changed(differences)["records"] == as_map({"one": "1", "two": "2"})
    has(external_ids={"kind": "b"})
    assert changed(differences) is None
    has(records={})
    has(external_ids={"kind": "a"})
    assert changed(differences)["records"] == as_map({})


def test_changes_during_an_outage(northbound: Server, differences: Differences) -> None:
    """Only they are reported after it, although rows were updated by differences before it."""
    database = database_of(northbound)
    ours = {"external_ids": as_map({"kind": "a"})}
    for uuid in (NAMES, PORT):
        database.transact([insert("DNS", uuid, {**ours, "records": as_map({"b": "1"})})], soon())
        next(differences)
        database.transact([mutate("DNS", key(uuid), [["records", "insert", as_map({"a": "2"})]])], soon())
        next(differences)
    northbound.stop()
    northbound.start()
    assert list(next(differences)) == []
    database.transact([mutate("DNS", key(NAMES), [["records", "insert", as_map({"c": "3"})]])], soon())
    assert changed(differences)["records"] == as_map({"a": "2", "b": "1", "c": "3"})


def test_a_large_row(northbound: Server) -> None:
    """Its follower receives it once, then differences, and all of it after an outage and when it is not large."""
    stop, ours = threading.Event(), {"external_ids": as_map({"kind": "a"})}
    replica = Replica(
        northbound.remote, "OVN_Northbound", {"DNS": OURS}, is_partial=lambda row: row["records"] != as_map({})
    )
    found = replica.follow(stop)
    assert list(next(found)) == []
    database, names = database_of(northbound), key(NAMES)

    def difference() -> tuple[Any, bool]:
        (one,) = next(found)
        return one.new, one.is_partial

    database.transact([insert("DNS", NAMES, {**ours, "records": as_map({"a": "1", "b": "2"})})], soon())
    assert difference() == ({**ours, "records": as_map({"a": "1", "b": "2"})}, False)
    changes = [["records", "delete", as_set(["a"])], ["records", "insert", as_map({"c": "3"})]]
    database.transact([mutate("DNS", names, changes)], soon())
    assert difference() == ({"records": as_map({"a": "1", "c": "3"})}, True)
    northbound.stop()
    northbound.start()
    assert difference() == ({**ours, "records": as_map({"b": "2", "c": "3"})}, False)
    database.transact([delete("DNS", names)], soon())
    assert difference() == (None, False)
    database.transact([insert("DNS", NAMES, ours)], soon())
    assert difference() == ({**ours, "records": as_map({})}, False)
    database.transact([mutate("DNS", names, [["records", "insert", as_map({"a": "1"})]])], soon())
    assert difference() == ({**ours, "records": as_map({"a": "1"})}, False)
    stop.set()
