"""Rows of virtual addresses and of their ports. Pure."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import labels
from ovnhook.ovsdb.operation import Row, as_map, map_of
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.reading import reader
from ovnhook.resources.tables import DNS, PORT
from ovnhook.resources.virtual_address.values import Holder, VirtualAddress, VirtualPort

PARENTS = "virtual-parents"
_ADDRESS = "virtual-ip"
_RESTORED = "the control service recreates it from the leases that name it"


def holder_records(virtual: VirtualAddress) -> dict[str, str]:
    """Records of a virtual address's DNS row: by domain and MAC, the domain's name."""
    return {f"{holder.domain}/{holder.mac}": holder.domain_name for holder in virtual.holders}


def virtual_address_columns(virtual: VirtualAddress) -> Row:
    """DNS row of a virtual address. No switch refers to it, so northd ignores it."""
    ids = kind("virtual", subnet=virtual.subnet, address=str(virtual.address), run=virtual.run)
    return {"records": as_map(holder_records(virtual)), "external_ids": as_map(ids)}


@reader(DNS, f"ovn-nbctl destroy {DNS} {{uuid}}: {_RESTORED}")
def read_virtual_address(row: Row) -> VirtualAddress:
    """Parse the DNS row of a virtual address."""
    ids = own(row)
    holders = []
    others = {}
    for key, name in map_of(row["records"]).items():
        domain, _, mac = key.partition("/")
        if labels.MAC.fullmatch(mac):
            holders.append(Holder(UUID(domain), mac, name))
        else:
            others[key] = name
    return VirtualAddress(
        subnet=ids["subnet"],
        address=IPAddress(ids["address"]),
        holders=tuple(sorted(holders)),
        run=ids.get("run", ""),
        others=tuple(others.items()),
    )


def virtual_port_columns(port: VirtualPort) -> Row:
    """Columns of a virtual port that ovnhook sets as a whole."""
    return {"name": port.name, "type": "virtual"}


def virtual_port_options(port: VirtualPort) -> dict[str, str]:
    """Options of a virtual port (ovn-nb(5))."""
    return {_ADDRESS: str(port.address), PARENTS: ",".join(port.parents)}


def virtual_port_ids(port: VirtualPort) -> dict[str, str]:
    """External_ids of a virtual port."""
    return kind("virtual-port", subnet=port.subnet, address=str(port.address))


@reader(PORT, f"ovn-nbctl lsp-del {{uuid}}: {_RESTORED}")
def read_virtual_port(row: Row) -> VirtualPort:
    """Parse the Logical_Switch_Port of a virtual address."""
    ids, options = own(row), map_of(row["options"])
    parents = tuple(filter(None, options.get(PARENTS, "").split(",")))
    found = VirtualPort(ids["subnet"], IPAddress(ids["address"]), parents)
    intact = options.get(_ADDRESS) == ids["address"]
    intact &= all(row[name] == value for name, value in virtual_port_columns(found).items())
    return replace(found, intact=intact)
