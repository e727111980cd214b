"""Floating IPs as a kind of resource. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, as_set, includes, key, mutate, ref, set_keys
from ovnhook.resources.floating_ip.needs import needs
from ovnhook.resources.floating_ip.rows import floating_ip_rows, read_floating_ip
from ovnhook.resources.floating_ip.values import FloatingIp, floating_ip_uuid
from ovnhook.resources.kind import Cascade, Kind, Put
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.operations import difference, exists
from ovnhook.resources.port.values import Port
from ovnhook.resources.tables import DNS, NAT, ROUTER


def _operations(old: FloatingIp | None, new: FloatingIp | None) -> list[Operation]:
    guards = [exists(NAT, old.uuid, ["external_ip", "==", str(old.address)])] if old else []
    if new:
        lease = includes("external_ids", owned.kind("lease", domain=str(new.domain), mac=new.mac))
        guards.append(exists(DNS, uuids.lease(new.subnet, str(new.inside)), lease))
    return [*guards, *difference(floating_ip_rows(old) if old else {}, floating_ip_rows(new) if new else {})]


def _follow(put: Put[Any]) -> Iterator[Cascade]:
    """It is deleted with its lease, and has the name that its domain has now."""
    match put.old, put.new:
        case Lease() as lease, None:
            uuid = floating_ip_uuid(lease.subnet, lease.address)
            yield Cascade((_deleted(uuid),), deleted=uuid)
        case Lease(), Lease() as lease:
            yield _named(floating_ip_uuid(lease.subnet, lease.address), lease.domain_name, lease.mac)
        case None, Port() as port:
            for address in port.addresses:
                yield _named(floating_ip_uuid(port.subnet, address), port.domain_name, port.mac)


def _named(uuid: UUID, domain_name: str, mac: str) -> Cascade:
    ids = owned.kind("floating", domain_name=domain_name, mac=mac)
    return Cascade((mutate(NAT, key(uuid), set_keys("external_ids", ids)),))


def _deleted(uuid: UUID) -> Operation:
    """Take a row away from whichever router has it: NAT is no root table."""
    return mutate(ROUTER, ["nat", "includes", as_set([ref(uuid)])], [["nat", "delete", as_set([ref(uuid)])]])


FLOATING_IP = Kind(
    name="floating",
    type=FloatingIp,
    operations=_operations,
    table=NAT,
    columns=("external_ip", "logical_ip", "external_ids"),
    read=read_floating_ip,
    title="floating IP",
    field="floating_ip",
    shown_in=lambda one: [("floating_ip", str(one.uuid))],
    order=lambda one: (one.router, one.address),
    rows=floating_ip_rows,
    needs=needs,
    cascade=_follow,
    lease=lambda one: (one.subnet, one.inside),
    gateway=lambda one: (one.router, one.subnet),
    equivalent=lambda one, other: replace(one, domain_name=other.domain_name) == other,
    display_name=lambda one: f"floating IP {one.address} of domain {one.domain_name}",
)
"""1:1 NAT between an external address and a leased one."""
