"""Hosts as they stand in the southbound database: what their ovn-controller and northd write, without either."""

from __future__ import annotations

from zlib import crc32

from tests.database.ovsdb_server import Server

ANSWERED = 1_000_000
"""A count of nb_cfg that no test comes to: whoever says that has answered to every question."""


def add_chassis(
    southbound: Server,
    name: str,
    *,
    options: str = "enable-chassis-as-gw",
    mappings: str = "external:br-ex",
    nb_cfg: int = ANSWERED,
    told: dict[str, str] | None = None,
) -> None:
    """Let a host be there, as its ovn-controller would, and its agent tell this of it."""
    config = [["ovn-bridge-mappings", mappings], ["ovn-cms-options", options]]
    encap = {"type": "geneve", "ip": f"192.0.2.{crc32(name.encode()) % 250}", "chassis_name": name}
    ids = [[f"ovnhook:{key}", value] for key, value in (told or {}).items()]
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


def tell(southbound: Server, name: str, **told: str) -> None:
    """Let a host's agent tell something else."""
    ids = {f"ovnhook:{key.replace('_', '-')}": value for key, value in told.items()}
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


def told(southbound: Server, name: str) -> dict[str, str]:
    """The external_ids of a host's own row; empty where there is none."""
    rows = southbound.dump()["Chassis_Private"].values()
    return next((dict(row["external_ids"][1]) for row in rows if row["name"] == name), {})


def give_leg(southbound: Server, router: str, host: str) -> None:
    """Let a host have a router's leg, as its ovn-controller would."""
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
    """Make the rows that northd makes when it starts; whether it has answered to every question."""
    northbound.transact({"op": "insert", "table": "NB_Global", "row": {}})
    southbound.transact({"op": "insert", "table": "SB_Global", "row": {"nb_cfg": ANSWERED if answers else 0}})
