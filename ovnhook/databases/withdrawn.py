"""Keys of maps that ovnhook wrote and no longer wants: other keys are foreign, and kept. Pure.

A control service of an earlier version changes routers without the routes of guests that follow from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from ovnhook.databases.defects import Defect, Integrity
from ovnhook.ovsdb.operation import Row, as_set, key, map_of, mutate
from ovnhook.resources import tables
from ovnhook.resources.operations import OwnedRow
from ovnhook.resources.subnet.values import EVERYWHERE


def withdrawn(uuid: UUID, node: OwnedRow, row: Row, name: str, previous: Integrity) -> Iterator[Defect]:
    """Keys of a row that ovnhook no longer wants.

    A service of an earlier version that still runs would add the router of DHCP options again and again. So only the
    first check of a service finds it: the last one that is upgraded removes it.

    Args:
        uuid: of the row.
        node: the desired row.
        row: the current one.
        name: of the row, for messages.
        previous: result of the previous check, which still has what the first one has found.
    """
    for column, option in _withdrawn(node, row):
        operation = mutate(node.table, key(uuid), [[column, "delete", as_set([option])]])
        found = Defect(f"{name} has {option} of an earlier version", operations=(operation,))
        if option != "router" or previous.cloud.registry is None or found in previous.defects:
            yield found


def _withdrawn(node: OwnedRow, row: Row) -> Iterator[tuple[str, str]]:
    """Columns and keys that a desired row no longer has, and the current one has."""
    if node.table == tables.DHCP_OPTIONS:
        present, desired = map_of(row["options"]), map_of(node.row["options"])
        if "domain_search" in present:
            yield "options", "domain_search"
        if "classless_static_route" not in desired and _are_by_router(present, desired["server_id"]):
            yield "options", "classless_static_route"
        if "router" not in desired and present.get("router") == desired["server_id"]:
            yield "options", "router"
    elif node.table == tables.ROUTER_PORT and "ipv6_ra_configs" in node.row:
        present, desired = map_of(row["ipv6_ra_configs"]), map_of(node.row["ipv6_ra_configs"])
        if "router_preference" not in desired and present.get("router_preference") == "LOW":
            yield "ipv6_ra_configs", "router_preference"
        if "route_info" not in desired and present.get("route_info", "").startswith("MEDIUM-"):
            yield "ipv6_ra_configs", "route_info"


def _are_by_router(options: Mapping[str, str], router: str) -> bool:
    """Return whether static routes are those to a router's other subnets, beside which guests ignore the router."""
    routes = [one.split(",") for one in options.get("classless_static_route", "").strip("{}").split(", ")]
    return all(one[-1] == router and one[0] != str(EVERYWHERE[4]) for one in routes)
