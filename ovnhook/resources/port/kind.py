"""The resource kinds of ports and MAC reservations. Pure."""

from __future__ import annotations

from uuid import UUID

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import (
    Operation,
    Row,
    as_map,
    as_set,
    delete,
    includes,
    insert,
    key,
    mutate,
    put_keys,
    require,
    update,
)
from ovnhook.resources import tables
from ovnhook.resources.kind import Kind
from ovnhook.resources.operations import exists, refer, rewrite, unchanged
from ovnhook.resources.port.cascade import cascade, of_domain
from ovnhook.resources.port.rows import (
    ACTIVATION_STRATEGY,
    REQUESTED_CHASSIS,
    claim_columns,
    port_columns,
    port_ids,
    port_options,
    read_claim,
    read_port,
)
from ovnhook.resources.port.values import Claim, Port


def _port_operations(old: Port | None, new: Port | None) -> list[Operation]:
    if old is None:
        return _created(new) if new else []
    if new is None:
        # An unreferenced port is garbage-collected: Logical_Switch_Port is no root table.
        here = owned.kind("port", host=old.host, moving_to="")
        return [*unchanged(tables.PORT, old.uuid, here), refer(_place(old), "delete", old.uuid)]
    mutations = [
        ["options", "delete", as_set([REQUESTED_CHASSIS, ACTIVATION_STRATEGY])],
        ["options", "insert", as_map(port_options(new))],
        *put_keys("external_ids", port_ids(old), port_ids(new)),
    ]
    moves = (refer(_place(old), "delete", old.uuid), refer(_place(new), "insert", new.uuid))
    return [
        *_unchanged(old),
        update(tables.PORT, key(old.uuid), port_columns(new)),
        mutate(tables.PORT, key(old.uuid), mutations),
        *(moves if old.subnet != new.subnet else ()),
    ]


def _created(port: Port) -> list[Operation]:
    row: Row = {
        **port_columns(port),
        "options": as_map(port_options(port)),
        "external_ids": as_map(port_ids(port)),
    }
    return [insert(tables.PORT, port.uuid, row), refer(_place(port), "insert", port.uuid)]


def _unchanged(port: Port) -> list[Operation]:
    return unchanged(tables.PORT, port.uuid, port_ids(port))


def _place(port: Port) -> tuple[str, UUID, str]:
    """Column of the switch that refers to a port."""
    return tables.SWITCH, uuids.switch(port.subnet), "ports"


def _describe(old: Port | None, new: Port | None) -> str:
    if new:
        addresses = " ".join(map(str, new.addresses))
        where = f"{new.host}, moving to {new.moving_to}" if new.moving_to else new.host
        has = f"domain {new.domain_name}: {new.mac} has {addresses} on subnet {new.subnet}"
        return f"{has}, port {new.id} on {where}"
    return f"domain {old.domain_name}: {old.mac} is off subnet {old.subnet}, port {old.id} deleted" if old else ""


def _claim_operations(old: Claim | None, new: Claim | None) -> list[Operation]:
    """Reserve a MAC address, or release it.

    The domain's own reservation must still exist. Another domain's is taken over if that domain has no such port.
    """
    if new is None:
        return [delete(tables.DNS, key(old.uuid), of_domain(old))] if old else []
    if old is None:
        return [insert(tables.DNS, new.uuid, claim_columns(new))]
    present = exists(tables.DNS, old.uuid, of_domain(old))
    if old.domain == new.domain:
        return [present]
    there = includes("external_ids", owned.kind("port", subnet=old.subnet))
    gone = require(tables.PORT, [key(uuids.port(old.domain, old.mac)), there], [], ["_uuid"])
    return [present, gone, *rewrite(tables.DNS, new.uuid, claim_columns(old), claim_columns(new))]


PORT = Kind(
    name="port",
    type=Port,
    table=tables.PORT,
    columns=("name", "addresses", "up", "external_ids"),
    read=read_port,
    operations=_port_operations,
    guard=_unchanged,
    describe=_describe,
    title="port",
    field="port",
    shown_in=lambda port: [
        ("port", str(port.uuid)),
        *(("lease", f"{port.subnet}/{address}") for address in port.addresses),
    ],
)
"""An interface of a running domain."""

CLAIM = Kind(
    name="mac",
    type=Claim,
    table=tables.DNS,
    columns=("external_ids",),
    read=read_claim,
    operations=_claim_operations,
    cascade=cascade,
)
"""A MAC address that is reserved for a port in its subnet."""
