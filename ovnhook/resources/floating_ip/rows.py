"""The NAT row of a floating IP: writer and reader. Pure."""

from __future__ import annotations

from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Row, as_map
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.operations import OwnedRow
from ovnhook.resources.reading import reader
from ovnhook.resources.tables import NAT, ROUTER


def floating_ip_rows(one: FloatingIp) -> dict[UUID, OwnedRow]:
    """The rows of a floating IP, by UUID."""
    ids = owned.kind(
        "floating",
        router=one.router,
        subnet=one.subnet,
        domain=str(one.domain),
        domain_name=one.domain_name,
        mac=one.mac,
    )
    row = {
        "type": "dnat_and_snat",
        "external_ip": str(one.address),
        "logical_ip": str(one.inside),
        "external_ids": as_map(ids),
    }
    return {one.uuid: OwnedRow(NAT, row, (ROUTER, uuids.router(one.router), "nat"))}


@reader(NAT)
def read_floating_ip(row: Row) -> FloatingIp:
    """Parse the NAT row of a floating IP."""
    ids = owned.own(row)
    return FloatingIp(
        address=IPAddress(row["external_ip"]),
        router=ids["router"],
        subnet=ids["subnet"],
        inside=IPAddress(row["logical_ip"]),
        domain=UUID(ids["domain"]),
        domain_name=ids.get("domain-name", ids["domain"]),
        mac=ids["mac"],
    )
