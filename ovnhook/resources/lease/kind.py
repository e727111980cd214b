"""The resource kinds of leases and lease indexes. Pure."""

from __future__ import annotations

from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, as_map, delete, includes, insert, key
from ovnhook.resources.kind import Kind
from ovnhook.resources.lease.rows import (
    lease_columns,
    lease_index_columns,
    lease_index_ids,
    lease_index_records,
    read_lease,
    read_lease_index,
    request_ids,
)
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.operations import exists, rewrite, unchanged
from ovnhook.resources.tables import DNS

_COLUMNS = ("records", "external_ids")


def _lease_operations(old: Lease | None, new: Lease | None) -> list[Operation]:
    if old is None:
        return [insert(DNS, new.uuid, lease_columns(new))] if new else []
    if new is None:
        return [*_same_interface(old), delete(DNS, key(old.uuid))]
    return [*_same_interface(old), *rewrite(DNS, old.uuid, lease_columns(old), lease_columns(new))]


def _same_interface(lease: Lease) -> list[Operation]:
    """The lease still belongs to the same interface."""
    ids = owned.kind("lease", domain=str(lease.domain), mac=lease.mac)
    return [exists(DNS, lease.uuid, includes("external_ids", ids))]


def _describe(old: Lease | None, new: Lease | None) -> str:
    lease, verb = (new, f"leased to {new.mac}") if new else (old, "released")
    if lease is None or (old and new):
        return ""
    return f"domain {lease.domain_name}: {lease.address} of subnet {lease.subnet} is {verb}"


def _lease_index_operations(old: LeaseIndex | None, new: LeaseIndex | None) -> list[Operation]:
    if old is None:
        return [insert(DNS, new.uuid, lease_index_columns(new))] if new else []
    if new is None:
        return [*_same_leases(old), delete(DNS, key(old.uuid))]
    guards = [*_same_leases(old), *(_same_request(old) if request_ids(old) != request_ids(new) else ())]
    return [*guards, *rewrite(DNS, new.uuid, lease_index_columns(old), lease_index_columns(new))]


def _same_leases(lease_index: LeaseIndex) -> list[Operation]:
    """The domain has exactly the leases that were read: a lease that was added since would be lost.

    A requested migration is not compared: any host may request one, and must not make changes of others fail.
    """
    records = {**lease_index_records(lease_index), **dict(lease_index.others)}
    return [
        *unchanged(DNS, lease_index.uuid, lease_index_ids(lease_index)),
        exists(DNS, lease_index.uuid, ["records", "==", as_map(records)]),
    ]


def _same_request(lease_index: LeaseIndex) -> list[Operation]:
    """The domain has exactly the requested migration that was read."""
    if lease_index.requested_by:
        return [exists(DNS, lease_index.uuid, includes("external_ids", request_ids(lease_index)))]
    return unchanged(DNS, lease_index.uuid, owned.kind("domain", requested_by=""))


LEASE = Kind(
    name="lease",
    type=Lease,
    table=DNS,
    columns=_COLUMNS,
    read=read_lease,
    operations=_lease_operations,
    guard=_same_interface,
    describe=_describe,
    title="lease",
    field="lease",
    shown_in=lambda lease: [("lease", f"{lease.subnet}/{lease.address}")],
    counted_in=lambda lease: [(("subnet", lease.subnet), lease.address.version)],
)
"""An address that is reserved for an interface while its domain is defined."""

LEASE_INDEX = Kind(
    name="domain",
    type=LeaseIndex,
    table=DNS,
    columns=_COLUMNS,
    read=read_lease_index,
    operations=_lease_index_operations,
    guard=_same_leases,
)
"""The index of a domain's leases."""
