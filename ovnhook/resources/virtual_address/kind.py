"""The resource kinds of virtual addresses and of their ports. Pure."""

from __future__ import annotations

from uuid import UUID

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import (
    Operation,
    as_map,
    delete,
    includes,
    insert,
    key,
    mutate,
    set_keys,
    update,
)
from ovnhook.resources.kind import Kind
from ovnhook.resources.operations import exists, refer, rewrite
from ovnhook.resources.tables import DNS, PORT, SWITCH
from ovnhook.resources.virtual_address.rows import (
    PARENTS,
    holder_records,
    read_virtual_address,
    read_virtual_port,
    virtual_address_columns,
    virtual_port_columns,
    virtual_port_ids,
    virtual_port_options,
)
from ovnhook.resources.virtual_address.values import VirtualAddress, VirtualPort


def _operations(old: VirtualAddress | None, new: VirtualAddress | None) -> list[Operation]:
    if old is None:
        return [insert(DNS, new.uuid, virtual_address_columns(new))] if new else []
    if new is None:
        return [*_same_holders(old), delete(DNS, key(old.uuid))]
    return [*_same_holders(old), *rewrite(DNS, new.uuid, virtual_address_columns(old), virtual_address_columns(new))]


def _same_holders(virtual: VirtualAddress) -> list[Operation]:
    """It has exactly the holders that were read: one that was added since would be lost."""
    records = {**holder_records(virtual), **dict(virtual.others)}
    ours = includes("external_ids", owned.kind("virtual"))
    return [exists(DNS, virtual.uuid, ours, ["records", "==", as_map(records)])]


def _describe(old: VirtualAddress | None, new: VirtualAddress | None) -> str:
    virtual = new or old
    if virtual is None:
        return ""
    of = f"is that of {', '.join(new.domains)}" if new else "is free"
    return f"virtual address {virtual.address} of subnet {virtual.subnet} {of}"


def _port_operations(old: VirtualPort | None, new: VirtualPort | None) -> list[Operation]:
    if old is None:
        return _created(new) if new else []
    if new is None:
        # An unreferenced port is garbage-collected: Logical_Switch_Port is no root table.
        return [*_same_parents(old), refer(_place(old), "delete", old.uuid)]
    return [
        *_same_parents(old),
        update(PORT, key(new.uuid), virtual_port_columns(new)),
        mutate(PORT, key(new.uuid), set_keys("options", virtual_port_options(new))),
    ]


def _created(port: VirtualPort) -> list[Operation]:
    maps = {"options": virtual_port_options(port), "external_ids": virtual_port_ids(port)}
    row = {**virtual_port_columns(port), **{name: as_map(value) for name, value in maps.items()}}
    return [insert(PORT, port.uuid, row), refer(_place(port), "insert", port.uuid)]


def _same_parents(port: VirtualPort) -> list[Operation]:
    """It has exactly the parents that were read. Without any, it was changed by hand."""
    if not port.parents:
        return [exists(PORT, port.uuid)]
    return [exists(PORT, port.uuid, includes("options", {PARENTS: ",".join(port.parents)}))]


def _place(port: VirtualPort) -> tuple[str, UUID, str]:
    """Column of the switch that refers to a port."""
    return SWITCH, uuids.switch(port.subnet), "ports"


VIRTUAL_ADDRESS = Kind(
    name="virtual",
    type=VirtualAddress,
    table=DNS,
    columns=("records", "external_ids"),
    read=read_virtual_address,
    operations=_operations,
    guard=_same_holders,
    describe=_describe,
    shown_in=lambda virtual: [("subnet", virtual.subnet)],
)
"""An address that several ports may take over from each other."""

VIRTUAL_PORT = Kind(
    name="virtual-port",
    type=VirtualPort,
    table=PORT,
    columns=("name", "type", "options", "external_ids"),
    read=read_virtual_port,
    operations=_port_operations,
    guard=_same_parents,
)
"""The OVN port of a virtual address."""
