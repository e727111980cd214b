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
    of = {"domain": str(one.domain), "domain_name": one.domain_name, "mac": one.mac}
    ids = owned.kind("floating", router=one.router, subnet=one.subnet, **(of if one.domain else {"virtual": "yes"}))
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
    is_virtual = ids.get("virtual") == "yes"
    return FloatingIp(
        address=IPAddress(row["external_ip"]),
        router=ids["router"],
        subnet=ids["subnet"],
        inside=IPAddress(row["logical_ip"]),
        domain=None if is_virtual else UUID(ids["domain"]),
        domain_name="" if is_virtual else ids.get("domain-name", ids["domain"]),
        mac="" if is_virtual else ids["mac"],
    )
