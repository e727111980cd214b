"""What a node tries in the southbound database with its certificate: OVN's RBAC refuses some, and lets others pass."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.waiting import HANG

SCHEMA = Path("/usr/share/ovn/ovn-sb.ovsschema")
PERMISSION = "permission error"
_NAME = "OVN_Southbound"

Operation = dict[str, Any]

_SAMPLES: dict[str, dict[str, Any]] = {
    "Meter": {"name": "attack", "unit": "kbps", "bands": ["named-uuid", "b"]},
    "Meter_Band": {"action": "drop", "rate": 1},
    "Mirror": {"name": "attack", "filter": "from-lport", "type": "gre", "sink": "192.0.2.66", "index": 1},
}
"""Rows of tables that are empty in most clouds, and whose columns have no default."""


@dataclass(frozen=True)
class SouthboundAttempt:
    """A transaction that a node tries.

    Attributes:
        what: what it would do.
        operations: its operations.
        passes: True if RBAC lets it pass.
    """

    what: str
    operations: tuple[Operation, ...]
    passes: bool = False


class SouthboundClient:
    """Client of the southbound database with the certificate of a node.

    Args:
        remote: the database, as ``ssl:HOST:PORT``.
        certificate: file of the client certificate.
        key: file of its key.
        ca: file of the CA certificate.
        prefix: command that runs a program where the client is.
    """

    def __init__(self, remote: str, certificate: Path, key: Path, ca: Path, prefix: Sequence[str] = ()) -> None:
        files = (f"--certificate={certificate}", f"--private-key={key}", f"--ca-cert={ca}")
        self._command = [*prefix, "ovsdb-client", f"--timeout={HANG:.0f}", *files, "transact", remote]

    def transact(self, *operations: Operation) -> list[dict[str, Any]]:
        """Run a transaction; each result has ``rows`` or ``error``.

        Raises:
            CalledProcessError: no connection.
        """
        command = [*self._command, json.dumps([_NAME, *operations])]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG)
        return [one or {} for one in json.loads(done.stdout)]

    def error(self, *operations: Operation) -> str:
        """Error of a transaction, or ""."""
        return next((one["error"] for one in self.transact(*operations) if "error" in one), "")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        (found,) = self.transact({"op": "select", "table": table, "where": []})
        return list(found["rows"])


def attempts(client: SouthboundClient, own: str, other: str, port: str) -> Iterator[SouthboundAttempt]:
    """All that a node tries.

    Args:
        client: of the node.
        own: its chassis.
        other: another host's chassis.
        port: logical port of a guest there.
    """
    yield from _rows_of_hosts(own, other, _uuid(client, "Chassis", "name", other))
    yield from _rows_of_northd(client)
    yield from _bindings(client, own, port)
    yield from _learned(client, port)


def _rows_of_hosts(own: str, other: str, chassis: list[str]) -> Iterator[SouthboundAttempt]:
    """Chassis, Encap and Chassis_Private: a node's own rows only."""
    for host in (own, other):
        ids = ["external_ids", "insert", ["map", [["attack", "1"]]]]
        for table, column in (("Chassis", "name"), ("Chassis_Private", "name")):
            where = [[column, "==", host]]
            change: Operation = {"op": "mutate", "table": table, "where": where, "mutations": [ids]}
            yield SouthboundAttempt(f"set external_ids in {table} of {host}", (change,), host == own)
        where = [["chassis_name", "==", host]]
        change = {"op": "update", "table": "Encap", "where": where, "row": {"options": ["map", [["attack", "1"]]]}}
        yield SouthboundAttempt(f"set options in Encap of {host}", (change,), host == own)
    where = [["chassis_name", "==", other]]
    taken = {"op": "update", "table": "Encap", "where": where, "row": {"ip": "192.0.2.66"}}
    yield SouthboundAttempt(f"draw the tunnels to {other} to another address", (taken,))
    for table, column in (("Chassis", "name"), ("Chassis_Private", "name"), ("Encap", "chassis_name")):
        gone = {"op": "delete", "table": table, "where": [[column, "==", other]]}
        yield SouthboundAttempt(f"delete {table} of {other}", (gone,))
    for name in (other, "hv9"):
        encap = {"type": "vxlan", "ip": "192.0.2.66", "chassis_name": name}
        made = {"op": "insert", "table": "Encap", "uuid-name": "e", "row": encap}
        yield SouthboundAttempt(f"create Encap of {name}", (made,))
    own_encap = {"type": "vxlan", "ip": "192.0.2.66", "chassis_name": own}
    encap_of_own = {"op": "insert", "table": "Encap", "uuid-name": "e", "row": own_encap}
    row: Operation = {"name": "hv9", "hostname": "hv9", "encaps": ["named-uuid", "e"]}
    yield SouthboundAttempt("create Chassis of hv9", (encap_of_own, {"op": "insert", "table": "Chassis", "row": row}))
    row = {"name": "hv9", "chassis": chassis}
    yield SouthboundAttempt(
        "create Chassis_Private of hv9", ({"op": "insert", "table": "Chassis_Private", "row": row},)
    )


def _rows_of_northd(client: SouthboundClient) -> Iterator[SouthboundAttempt]:
    """Tables that are northd's and the administrator's: flows, names, listeners, RBAC itself."""
    permitted = {row["table"] for row in client.rows("RBAC_Permission")}
    for table in sorted(json.loads(SCHEMA.read_text())["tables"].keys() - permitted):
        new = _SAMPLES.get(table, {})
        for found in client.rows(table)[:1]:
            where = [["_uuid", "==", found["_uuid"]]]
            new = {column: value for column, value in found.items() if not column.startswith("_")}
            yield SouthboundAttempt(f"update {table}", ({"op": "update", "table": table, "where": where, "row": new},))
            yield SouthboundAttempt(f"delete {table}", ({"op": "delete", "table": table, "where": where},))
        yield SouthboundAttempt(f"insert {table}", ({"op": "insert", "table": table, "row": new},))


def _bindings(client: SouthboundClient, own: str, port: str) -> Iterator[SouthboundAttempt]:
    """Port_Binding: where a port is bound is every node's to write, what it is northd's."""
    where = [["logical_port", "==", port]]
    (row,) = (one for one in client.rows("Port_Binding") if one["logical_port"] == port)
    chassis = _uuid(client, "Chassis", "name", own)
    passing = {
        "chassis": chassis,
        "additional_chassis": chassis,
        "up": False,
        "options": row["options"],
        "virtual_parent": "attack",
    }
    refused = {
        "mac": "unknown",
        "tunnel_key": 77,
        "type": "patch",
        "nat_addresses": "attack",
        "external_ids": ["map", []],
        "requested_chassis": chassis,
        "logical_port": "attack",
    }
    for columns, passes in ((passing, True), (refused, False)):
        for column, value in columns.items():
            change = {"op": "update", "table": "Port_Binding", "where": where, "row": {column: value}}
            yield SouthboundAttempt(f"set {column} in Port_Binding of {port}", (change,), passes)
    yield SouthboundAttempt(
        f"delete Port_Binding of {port}", ({"op": "delete", "table": "Port_Binding", "where": where},)
    )
    new = {"logical_port": "attack", "datapath": row["datapath"], "tunnel_key": 77}
    yield SouthboundAttempt("create a Port_Binding", ({"op": "insert", "table": "Port_Binding", "row": new},))


def _learned(client: SouthboundClient, port: str) -> Iterator[SouthboundAttempt]:
    """Tables of what hosts have learned: every node may write every row."""
    (row,) = (one for one in client.rows("Port_Binding") if one["logical_port"] == port)
    datapath = row["datapath"]
    mac = {"logical_port": port, "ip": "10.1.0.77", "mac": "02:00:00:00:00:77", "datapath": datapath}
    yield from _life("MAC_Binding", mac, {"mac": "02:00:00:00:00:78"})
    fdb = {"mac": "02:00:00:00:00:77", "dp_key": 77, "port_key": 1}
    yield from _life("FDB", fdb, {"port_key": 2})
    (owner,) = (row["authorization"] for row in client.rows("RBAC_Permission") if row["table"] == "IGMP_Group")
    if not owner:  # in newer versions of OVN its rows have owners
        group = {"address": "239.0.0.77", "datapath": datapath, "ports": ["set", []]}
        yield from _life("IGMP_Group", group, {"address": "239.0.0.78"})
    event = {"event_type": "empty_lb_backends", "event_info": ["map", [["attack", "1"]]], "seq_num": 77}
    yield from _life("Controller_Event", event, {"seq_num": 78})


def _life(table: str, row: dict[str, Any], change: dict[str, Any]) -> Iterator[SouthboundAttempt]:
    """Create, change and delete a row."""
    (column, value), *_ = change.items()
    for where, words, operation in (
        ([], "create", {"op": "insert", "table": table, "row": row}),
        ([[column, "==", row[column]]], "change", {"op": "update", "table": table, "row": change}),
        ([[column, "==", value]], "delete", {"op": "delete", "table": table}),
    ):
        condition = {"where": where} if where else {}
        yield SouthboundAttempt(f"{words} a {table}", ({**operation, **condition},), passes=True)


def _uuid(client: SouthboundClient, table: str, column: str, value: str) -> list[str]:
    """Reference to the row with a value in a column."""
    (found,) = (row["_uuid"] for row in client.rows(table) if row[column] == value)
    return list(found)
