"""The resource kinds of routers, their networks and their gateways. Pure."""

from __future__ import annotations

from uuid import UUID

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, Row, includes, require
from ovnhook.resources import tables
from ovnhook.resources.kind import Kind
from ovnhook.resources.operations import exists
from ovnhook.resources.reading import reader
from ovnhook.resources.router.rows import read_router
from ovnhook.resources.router.topology import (
    gateway_operations,
    gateway_uuid,
    network_operations,
    network_rows,
)
from ovnhook.resources.router.values import GatewayHosts, Network, Router


def _none(_old: object, _new: object) -> list[Operation]:
    return []


def _gateways(old: GatewayHosts | None, new: GatewayHosts | None) -> list[Operation]:
    router = (new or old or GatewayHosts("", ())).router
    before, after = (one.hosts if one else () for one in (old, new))
    ours = includes("external_ids", owned.kind("gateway", router=router))
    there: list[Row] = [{"chassis_name": chassis} for chassis in before]
    return [
        exists(tables.GATEWAY_GROUP, uuids.part("gateways", router)),
        require(tables.GATEWAY, [ours], there, ["chassis_name"]),  # foreign chassis of the group are ignored
        *gateway_operations(router, before, after),
    ]


@reader(tables.GATEWAY)
def _read_gateway(row: Row) -> GatewayHosts:
    """Parse an HA_Chassis: one gateway of a router."""
    router, chassis = owned.own(row)["router"], row["chassis_name"]
    if "_uuid" in row and UUID(row["_uuid"][1]) != gateway_uuid(router, chassis):
        raise ValueError("its UUID does not match its chassis_name, which was changed")
    return GatewayHosts(router, (chassis,), int(row["priority"]))


ROUTER = Kind(
    name="router",
    type=Router,
    table=tables.ROUTER,
    columns=("external_ids",),
    read=read_router,
    operations=_none,  # its network writes the rows
    title="router",
    field="router",
    shown_in=lambda router: [("router", router.name)],
    order=lambda router: router.name,
)
"""A logical router, with its external gateway."""

NETWORK = Kind(
    name="network",
    type=Network,
    operations=network_operations,
    rows=network_rows,
)
"""A router with the subnets on it: derived from both, without a row of its own."""

GATEWAYS = Kind(
    name="gateway",
    type=GatewayHosts,
    table=tables.GATEWAY,
    columns=("chassis_name", "priority", "external_ids"),
    read=_read_gateway,
    operations=_gateways,
    shown_in=lambda gateways: [("router", gateways.router)],
)
"""The gateways of a router: the control service derives them from the state of the hosts."""
