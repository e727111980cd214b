"""Changes of the northbound database as the operations that make them, each with what it takes for granted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import (
    Condition,
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
    ref,
    require,
    update,
)
from ovnhook.resources import tables
from ovnhook.resources.changes import (
    AddFloating,
    AddLease,
    AddPort,
    AddSubnet,
    ClaimMac,
    DropClaim,
    DropHolding,
    DropLease,
    NeedLease,
    NeedNames,
    NeedSubnet,
    RemoveFloating,
    RemovePort,
    RemoveSubnet,
    RenewIsolation,
    SetGateways,
    SetHolding,
    SetNames,
    SetNetwork,
    SetRegistry,
    UpdateLease,
    UpdatePort,
    UpdateSubnet,
)
from ovnhook.resources.floating_ip.rows import floating_row, name_floating, unfloat
from ovnhook.resources.lease.rows import (
    holding_columns,
    holding_ids,
    holding_records,
    lease_columns,
    lease_ids,
    lease_records,
)
from ovnhook.resources.lease.values import Holding, Lease
from ovnhook.resources.port.rows import (
    ACTIVATION_STRATEGY,
    REQUESTED_CHASSIS,
    claim_columns,
    port_columns,
    port_ids,
    port_options,
)
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.registry import registry_columns, registry_ids, registry_records
from ovnhook.resources.router import topology
from ovnhook.resources.subnet.rows import dhcp_options, subnet_ids


def exists(table: str, uuid: UUID, *conditions: Condition) -> Operation:
    """Abort the transaction unless the row is there and the conditions are true of it."""
    return require(table, [key(uuid), *conditions], [{"_uuid": ref(uuid)}], ["_uuid"])


@singledispatch
def operations_of(change: Any) -> list[Operation]:
    """What a change is in OVSDB's operations, those that guard it first."""
    raise TypeError(f"not a change: {change!r}")


@operations_of.register
def _(change: NeedSubnet) -> list[Operation]:
    return still(tables.SWITCH, change.subnet.uuid, subnet_ids(change.subnet))


@operations_of.register
def _(change: NeedLease) -> list[Operation]:
    return [_still_of(change.lease)]


@operations_of.register
def _(change: AddLease) -> list[Operation]:
    return [insert(tables.DNS, change.lease.uuid, lease_columns(change.lease))]


@operations_of.register
def _(change: UpdateLease) -> list[Operation]:
    old, new = change.old, change.new
    mutations = [
        *put_keys("external_ids", lease_ids(old), lease_ids(new)),
        *put_keys("records", lease_records(old), lease_records(new)),
    ]
    named = name_floating(new.subnet, new.address, new.domain_name, new.mac)
    return [_still_of(old), mutate(tables.DNS, key(old.uuid), mutations), named]


@operations_of.register
def _(change: DropLease) -> list[Operation]:
    lease = change.lease
    floating = unfloat(uuids.floating(lease.subnet, str(lease.address)))
    return [_still_of(lease), delete(tables.DNS, key(lease.uuid)), floating]


@operations_of.register
def _(change: ClaimMac) -> list[Operation]:
    old, new = change.old, change.new
    if old is None:
        return [insert(tables.DNS, new.uuid, claim_columns(new))]
    present = exists(tables.DNS, old.uuid, _of_domain(old))
    if old.domain == new.domain:
        return [present]
    there = includes("external_ids", owned.kind("port", subnet=old.subnet))
    gone = require(tables.PORT, [key(uuids.port(old.domain, old.mac)), there], [], ["_uuid"])
    return [present, gone, *topology.put(tables.DNS, new.uuid, claim_columns(old), claim_columns(new))]


@operations_of.register
def _(change: AddPort) -> list[Operation]:
    port = change.port
    row: Row = {
        **port_columns(port),
        "options": as_map(port_options(port)),
        "external_ids": as_map(port_ids(port)),
    }
    named = (name_floating(port.subnet, where, port.domain_name, port.mac) for where in port.addresses)
    return [insert(tables.PORT, port.uuid, row), _join(port), *named]


@operations_of.register
def _(change: UpdatePort) -> list[Operation]:
    old, new = change.old, change.new
    mutations = [
        ["options", "delete", as_set([REQUESTED_CHASSIS, ACTIVATION_STRATEGY])],
        ["options", "insert", as_map(port_options(new))],
        *put_keys("external_ids", port_ids(old), port_ids(new)),
    ]
    moves = [*_leave(old), _join(new)] if old.subnet != new.subnet else []
    return [
        *still(tables.PORT, old.uuid, port_ids(old)),
        update(tables.PORT, key(old.uuid), port_columns(new)),
        mutate(tables.PORT, key(old.uuid), mutations),
        *moves,
    ]


@operations_of.register
def _(change: RemovePort) -> list[Operation]:
    # A port that no switch refers to is gone: Logical_Switch_Port is no root table.
    port = change.port
    return [*still(tables.PORT, port.uuid, owned.kind("port", host=port.host, moving_to="")), *_leave(port)]


@operations_of.register
def _(change: DropClaim) -> list[Operation]:
    return [delete(tables.DNS, key(change.claim.uuid), _of_domain(change.claim))]


@operations_of.register
def _(change: NeedNames) -> list[Operation]:
    row = {"records": as_map(change.records)}
    return [require(tables.DNS, [key(uuids.names(change.subnet))], [row], ["records"])]


@operations_of.register
def _(change: SetNames) -> list[Operation]:
    uuid = uuids.names(change.subnet)
    gone = dict(change.old.items() - change.new.items())
    new = dict(change.new.items() - change.old.items())
    # The server copies all the names of the subnet for each mutation.
    mutations = [["records", how, as_map(some)] for how, some in (("delete", gone), ("insert", new)) if some]
    changed = mutate(tables.DNS, key(uuid), mutations)
    # An insert leaves a key that is there as it is: the name is then somebody else's.
    return [changed, exists(tables.DNS, uuid, includes("records", new))] if new else [changed]


@operations_of.register
def _(change: SetHolding) -> list[Operation]:
    new, old = change.new, change.old
    if old is None:
        return [insert(tables.DNS, new.uuid, holding_columns(new))]
    mutations = [
        *put_keys("external_ids", holding_ids(old), holding_ids(new)),
        *put_keys("records", holding_records(old), holding_records(new)),
    ]
    return [*_still_held(old), mutate(tables.DNS, key(new.uuid), mutations)]


@operations_of.register
def _(change: DropHolding) -> list[Operation]:
    return [*_still_held(change.holding), delete(tables.DNS, key(change.holding.uuid))]


@operations_of.register
def _(change: SetRegistry) -> list[Operation]:
    if change.old is None:
        return [insert(tables.DNS, uuids.REGISTRY, registry_columns(change.new))]
    old, new = change.old, change.new
    mutations = [
        *put_keys("external_ids", registry_ids(old), registry_ids(new)),
        *put_keys("records", registry_records(old), registry_records(new)),
    ]
    return [
        *still(tables.DNS, uuids.REGISTRY, registry_ids(old)),
        mutate(tables.DNS, key(uuids.REGISTRY), mutations),
    ]


@operations_of.register
def _(change: AddSubnet) -> list[Operation]:
    subnet = change.subnet
    own = [["dns_records", "insert", tables.members(uuids.names(subnet.name))]]
    return [
        *(insert(node.table, uuid, node.row) for uuid, node in topology.subnet_nodes(subnet).items()),
        mutate(tables.SWITCH, key(subnet.uuid), own),
    ]


@operations_of.register
def _(change: UpdateSubnet) -> list[Operation]:
    old, new = change.old, change.new
    before, after = topology.subnet_nodes(old), topology.subnet_nodes(new)
    return [
        *still(tables.SWITCH, old.uuid, subnet_ids(old)),
        *(
            operation
            for uuid in before.keys() & after.keys()
            for operation in topology.put(after[uuid].table, uuid, before[uuid].row, after[uuid].row)
        ),
        *(insert(node.table, uuid, node.row) for uuid, node in after.items() if uuid not in before),
        *(delete(node.table, key(uuid)) for uuid, node in before.items() if uuid not in after),
    ]


@operations_of.register
def _(change: RemoveSubnet) -> list[Operation]:
    subnet = change.subnet
    unused = includes("external_ids", owned.kind("lease", subnet=subnet.name))
    return [
        *still(tables.SWITCH, subnet.uuid, subnet_ids(subnet)),
        require(tables.DNS, [unused], [], ["_uuid"]),
        require(tables.SWITCH, [key(subnet.uuid)], [{"ports": ["set", []]}], ["ports"]),
        delete(tables.SWITCH, key(subnet.uuid)),
        delete(tables.DNS, key(uuids.names(subnet.name))),
        delete(tables.DNS, includes("external_ids", owned.kind("mac", subnet=subnet.name))),  # what ports by hand left
        *(delete(tables.DHCP_OPTIONS, key(uuid)) for uuid in dhcp_options(subnet)),
    ]


@operations_of.register
def _(change: SetNetwork) -> list[Operation]:
    return topology.operations(change.old, change.new)


@operations_of.register
def _(change: RenewIsolation) -> list[Operation]:
    return topology.renewed_isolation(change.network, change.subnets, change.present)


@operations_of.register
def _(change: AddFloating) -> list[Operation]:
    one = change.floating
    lease = includes("external_ids", owned.kind("lease", domain=str(one.domain), mac=one.mac))
    return [
        exists(tables.DNS, uuids.lease(one.subnet, str(one.inside)), lease),
        insert(topology.NAT, one.uuid, floating_row(one)),
        mutate(topology.ROUTER, key(uuids.router(one.router)), [["nat", "insert", tables.members(one.uuid)]]),
    ]


@operations_of.register
def _(change: RemoveFloating) -> list[Operation]:
    one = change.floating
    return [exists(topology.NAT, one.uuid, ["external_ip", "==", str(one.address)]), unfloat(one.uuid)]


@operations_of.register
def _(change: SetGateways) -> list[Operation]:
    group = uuids.part("gateways", change.router)
    ours = includes("external_ids", owned.kind("gateway", router=change.router))
    before: list[Row] = [{"chassis_name": chassis} for chassis in change.old]
    return [
        exists(topology.GROUP, group),
        require(topology.GATEWAY, [ours], before, ["chassis_name"]),  # whatever is there that is not ours
        *topology.gateways(change.router, change.old, change.new),
    ]


def _join(port: Port) -> Operation:
    return mutate(tables.SWITCH, key(uuids.switch(port.subnet)), [["ports", "insert", tables.members(port.uuid)]])


def _leave(port: Port) -> list[Operation]:
    """Take a port off its switch, with the claim of its MAC address."""
    claim = Claim(port.subnet, port.mac, port.domain)
    return [
        mutate(tables.SWITCH, key(uuids.switch(port.subnet)), [["ports", "delete", tables.members(port.uuid)]]),
        delete(tables.DNS, key(claim.uuid), _of_domain(claim)),
    ]


def _of_domain(claim: Claim) -> Condition:
    return includes("external_ids", owned.kind("mac", domain=str(claim.domain)))


def still(table: str, uuid: UUID, ids: Mapping[str, str]) -> list[Operation]:
    """Abort the transaction unless a row says this in its external_ids.

    A key that the row lacks was read as its default: the row gets it first. An insert into a map leaves keys that are
    there as they are (RFC 7047, section 5.1), so none that somebody has set meanwhile goes unnoticed. Keys beside these
    are no matter.
    """
    return [
        mutate(table, key(uuid), [["external_ids", "insert", as_map(ids)]]),
        exists(table, uuid, includes("external_ids", ids)),
    ]


def _still_of(lease: Lease) -> Operation:
    """A lease must still be of the interface that it was read with."""
    ids = owned.kind("lease", domain=str(lease.domain), mac=lease.mac)
    return exists(tables.DNS, lease.uuid, includes("external_ids", ids))


def _still_held(holding: Holding) -> list[Operation]:
    """A domain must still hold just what was read: also nothing that was added since, which would be lost."""
    records = {**holding_records(holding), **dict(holding.others)}
    return [
        *still(tables.DNS, holding.uuid, holding_ids(holding)),
        exists(tables.DNS, holding.uuid, ["records", "==", as_map(records)]),
    ]
