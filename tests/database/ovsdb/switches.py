"""Logical switches that tests of the protocol write and read."""

from __future__ import annotations

from uuid import UUID

from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Operation, insert
from ovnhook.ovsdb.operation import select as read
from tests.database.hypervisors import soon
from tests.database.ovsdb_server import Server

ROW = UUID("00000000-0000-4000-8000-000000000001")


def database_of(server: Server) -> Database:
    return Database(server.remote, "OVN_Northbound")


def make_switch(uuid: UUID, name: str = "blue") -> Operation:
    return insert("Logical_Switch", uuid, {"name": name})


def names_of(database: Database) -> list[str]:
    (rows,) = database.transact([read("Logical_Switch", columns=["name"])], soon())
    return sorted(row["name"] for row in rows)
