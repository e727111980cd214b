"""Rows of the southbound database that ovn-controller and northd write, without either."""

from __future__ import annotations

from zlib import crc32

from tests.database.ovsdb_server import Server

ANSWERED = 1_000_000
"""A value of nb_cfg that no test reaches: a chassis with it is always up to date."""


def add_chassis(
    southbound: Server,
    name: str,
    *,
    options: str = "enable-chassis-as-gw",
    mappings: str = "external:br-ex",
    nb_cfg: int = ANSWERED,
    reports: dict[str, str] | None = None,
) -> None:
    """Create the rows of a chassis, as its ovn-controller would, with what its agent reports through the API."""
    config = [["ovn-bridge-mappings", mappings], ["ovn-cms-options", options]]
    encap = {"type": "geneve", "ip": f"192.0.2.{crc32(name.encode()) % 250}", "chassis_name": name}
    ids = [[f"ovnhook:{key}", value] for key, value in _reported(reports or {}).items()]
    chassis = {"name": name, "hostname": f"{name}.example", "encaps": ["named-uuid", "e"]}
    private = {"name": name, "chassis": ["named-uuid", "c"], "nb_cfg": nb_cfg, "external_ids": ["map", ids]}
    southbound.transact(
        {"op": "insert", "table": "Encap", "uuid-name": "e", "row": encap},
        {
            "op": "insert",
            "table": "Chassis",
            "uuid-name": "c",
            "row": {**chassis, "other_config": ["map", config]},
        },
        {"op": "insert", "table": "Chassis_Private", "row": private},
    )


def add_active_gateway(southbound: Server, router: str, host: str, key: int) -> None:
    """Create the rows of a router, with a number of its own, whose external gateway port a chassis has bound."""
    (found,) = southbound.transact({"op": "select", "table": "Chassis", "where": [["name", "==", host]]})
    (chassis,) = found["rows"]
    port = {"logical_port": f"cr-external:{router}", "type": "chassisredirect", "chassis": chassis["_uuid"]}
    southbound.transact(
        {"op": "insert", "table": "Datapath_Binding", "uuid-name": "d", "row": {"tunnel_key": key}},
        {
            "op": "insert",
            "table": "Port_Binding",
            "row": {**port, "datapath": ["named-uuid", "d"], "tunnel_key": 1},
        },
    )


def add_mac_binding(southbound: Server, router: str, address: str, key: int) -> None:
    """Create the row of a MAC address that a router, by its number, has learned on its external gateway port."""
    (found,) = southbound.transact({"op": "select", "table": "Datapath_Binding", "where": [["tunnel_key", "==", key]]})
    (datapath,) = found["rows"]
    row = {"logical_port": f"external:{router}", "ip": address, "mac": "02:00:00:00:00:01"}
    southbound.transact({"op": "insert", "table": "MAC_Binding", "row": {**row, "datapath": datapath["_uuid"]}})


def _reported(reports: dict[str, str]) -> dict[str, str]:
    """Add the control service's mark."""
    return {"api": reports["seen"], **reports} if "seen" in reports else reports


def set_reports(southbound: Server, name: str, **reports: str) -> None:
    """Change what a host's agent reports, through the API unless `api` says otherwise."""
    ids = {f"ovnhook:{key.replace('_', '-')}": value for key, value in _reported(reports).items()}
    southbound.transact(
        {
            "op": "mutate",
            "table": "Chassis_Private",
            "where": [["name", "==", name]],
            "mutations": [
                ["external_ids", "delete", ["set", list(ids)]],
                ["external_ids", "insert", ["map", [list(pair) for pair in ids.items()]]],
            ],
        }
    )


def reports_of(southbound: Server, name: str) -> dict[str, str]:
    """External_ids of a host's row in Chassis_Private; empty if there is none."""
    rows = southbound.dump()["Chassis_Private"].values()
    return next((dict(row["external_ids"][1]) for row in rows if row["name"] == name), {})


def set_active_gateway(southbound: Server, router: str, host: str) -> None:
    """Bind a router's external gateway port on a host, as its ovn-controller would."""
    uuid = next(key for key, row in southbound.dump()["Chassis"].items() if row["name"] == host)
    key = 1 + crc32(router.encode()) % 1000
    southbound.transact(
        {"op": "delete", "table": "Port_Binding", "where": [["logical_port", "==", f"cr-external:{router}"]]},
        {"op": "delete", "table": "Datapath_Binding", "where": [["tunnel_key", "==", key]]},
        {"op": "insert", "table": "Datapath_Binding", "uuid-name": "d", "row": {"tunnel_key": key}},
        {
            "op": "insert",
            "table": "Port_Binding",
            "row": {
                "logical_port": f"cr-external:{router}",
                "type": "chassisredirect",
                "tunnel_key": 1,
                "datapath": ["named-uuid", "d"],
                "chassis": ["uuid", uuid],
            },
        },
    )


def start_northd(northbound: Server, southbound: Server, *, answers: bool = True) -> None:
    """Create the rows that northd creates when it starts.

    Args:
        northbound: northbound database.
        southbound: southbound database.
        answers: True if northd is always up to date, False if it never answers.
    """
    northbound.transact({"op": "insert", "table": "NB_Global", "row": {}})
    southbound.transact({"op": "insert", "table": "SB_Global", "row": {"nb_cfg": ANSWERED if answers else 0}})
