"""Rows of ovnhook in the northbound database, read, changed and deleted as an administrator may by hand."""

from __future__ import annotations

from ovnhook.base import uuids
from ovnhook.ovsdb.operation import map_of
from tests.database.control_service import Control
from tests.database.ovsdb_server import Dump, Server


def ours(server: Server, *kinds: str) -> dict[str, dict[str, str]]:
    """External_ids of ovnhook's rows (of some kinds), by table and UUID."""
    found = {
        f"{table} {uuid}": dict(row.get("external_ids", ["map", []])[1])
        for table, rows in server.dump().items()
        for uuid, row in rows.items()
    }
    return {
        where: ids
        for where, ids in found.items()
        if "ovnhook:kind" in ids and (not kinds or ids["ovnhook:kind"] in kinds)
    }


def put(server: Server, where: str, column: str, *pairs: tuple[str, str]) -> None:
    """Insert pairs into a map column of a row."""
    table, uuid = where.split()
    mutations = [[column, "insert", ["map", [list(pair) for pair in pairs]]]]
    done = server.transact(
        {"op": "mutate", "table": table, "where": [["_uuid", "==", ["uuid", uuid]]], "mutations": mutations}
    )
    assert done[0]["count"] == 1


NOT_OURS = {"Logical_Switch_Port": {"up"}, "NB_Global": {"nb_cfg", "nb_cfg_timestamp"}}


def state(control: Control) -> Dump:
    """All rows, without columns that northd and others write and the serial number; sets and maps are sorted."""
    found = control.northbound.dump()
    for table, rows in found.items():
        for row in rows.values():
            for name in NOT_OURS.get(table, ()):
                row.pop(name, None)
            for name, value in row.items():
                if isinstance(value, list) and len(value) == 2 and value[0] in ("set", "map"):
                    row[name] = [value[0], sorted(value[1])]
            row.get("external_ids", ["map", []])[1][:] = [
                pair for pair in row.get("external_ids", ["map", []])[1] if pair[0] != "ovnhook:serial"
            ]
    return found


def delete(control: Control, where: str) -> None:
    """Delete a row and all references to it."""
    table, uuid = where.split()
    parents = {
        "Logical_Switch_Port": [("Logical_Switch", "ports")],
        "Logical_Router_Port": [("Logical_Router", "ports")],
        "Logical_Router_Static_Route": [("Logical_Router", "static_routes")],
        "Logical_Router_Policy": [("Logical_Router", "policies")],
        "NAT": [("Logical_Router", "nat")],
        "QoS": [("Logical_Switch", "qos_rules")],
        "HA_Chassis": [("HA_Chassis_Group", "ha_chassis")],
        "HA_Chassis_Group": [("Logical_Router_Port", "ha_chassis_group")],
    }.get(table, [])
    control.northbound.transact(
        *(
            {
                "op": "mutate",
                "table": parent,
                "where": [[column, "includes", ["uuid", uuid]]],
                "mutations": [[column, "delete", ["uuid", uuid]]],
            }
            for parent, column in parents
        ),
        {"op": "delete", "table": table, "where": [["_uuid", "==", ["uuid", uuid]]]},
    )


def names(control: Control, subnet: str) -> dict[str, str]:
    """DNS records of a subnet."""
    return map_of(control.northbound.dump()["DNS"][str(uuids.dns_records(subnet))]["records"])


def count(rows: Dump) -> dict[str, int]:
    """Number of ovnhook's rows by table, without the registry."""
    counts = {}
    for table, found in rows.items():
        marked = [row for row in found.values() if "ovnhook:kind" in dict(row.get("external_ids", ["map", []])[1])]
        counts[table] = len(marked) - (table == "DNS")
    return {table: number for table, number in counts.items() if number}
