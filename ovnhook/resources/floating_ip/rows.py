"""The NAT row of a floating IP, and back. Pure."""

from __future__ import annotations

from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import (
    Operation,
    Row,
    as_map,
    key,
    mutate,
    set_keys,
)
from ovnhook.resources import tables
from ovnhook.resources.floating_ip.values import Floating
from ovnhook.resources.reading import reader
from ovnhook.resources.router.topology import NAT, ROUTER


def floating_row(one: Floating) -> Row:
    """The NAT row of a floating address."""
    ids = owned.kind(
        "floating",
        router=one.router,
        subnet=one.subnet,
        domain=str(one.domain),
        domain_name=one.domain_name,
        mac=one.mac,
    )
    return {
        "type": "dnat_and_snat",
        "external_ip": str(one.address),
        "logical_ip": str(one.inside),
        "external_ids": as_map(ids),
    }


def name_floating(subnet: str, address: IPAddress, domain_name: str, mac: str) -> Operation:
    """Write the domain's present name into the floating address of a leased one, if there is one."""
    ids = owned.kind("floating", domain_name=domain_name, mac=mac)
    return mutate(NAT, key(uuids.floating(subnet, str(address))), set_keys("external_ids", ids))


@reader
def read_floating(row: Row) -> Floating:
    """A NAT row as the floating address it is."""
    ids = owned.own(row)
    return Floating(
        address=IPAddress(row["external_ip"]),
        router=ids["router"],
        subnet=ids["subnet"],
        inside=IPAddress(row["logical_ip"]),
        domain=UUID(ids["domain"]),
        domain_name=ids.get("domain-name", ids["domain"]),
        mac=ids["mac"],
    )


def unfloat(uuid: UUID) -> Operation:
    """Take a floating address's row away from whichever router has it, if there is one."""
    return mutate(ROUTER, ["nat", "includes", tables.members(uuid)], [["nat", "delete", tables.members(uuid)]])
