"""The resource kind of floating IPs. Pure."""

from __future__ import annotations

from dataclasses import replace

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, includes
from ovnhook.resources.floating_ip.cascade import cascade, deleted
from ovnhook.resources.floating_ip.needs import needs
from ovnhook.resources.floating_ip.rows import floating_ip_rows, read_floating_ip
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.kind import Kind
from ovnhook.resources.operations import difference, exists
from ovnhook.resources.tables import DNS, NAT


def _operations(old: FloatingIp | None, new: FloatingIp | None) -> list[Operation]:
    guards = [exists(NAT, old.uuid, ["external_ip", "==", str(old.address)])] if old else []
    if new is None:
        return [*guards, deleted(old.uuid)] if old else []
    leased = owned.kind("lease", domain=str(new.domain), mac=new.mac)
    inside = includes("external_ids", leased if new.domain else owned.kind("virtual"))
    guards.append(exists(DNS, uuids.lease(new.subnet, str(new.inside)), inside))
    return [*guards, *difference(floating_ip_rows(old) if old else {}, floating_ip_rows(new))]


FLOATING_IP = Kind(
    name="floating",  # in rows of every version
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
    cascade=cascade,
    lease=lambda one: (one.subnet, one.inside),
    gateway=lambda one: (one.router, one.subnet),
    equivalent=lambda one, other: replace(one, domain_name=other.domain_name) == other,
    display_name=lambda one: f"floating IP {one.address} of {one.owner}",
)
"""1:1 NAT between an external address and a leased or virtual one."""
