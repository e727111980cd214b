"""Subnets and the names of their guests as kinds of resource. Pure."""

from __future__ import annotations

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, as_map, delete, includes, key, mutate, require
from ovnhook.resources.kind import Kind
from ovnhook.resources.operations import difference, exists, refer, unchanged
from ovnhook.resources.subnet.needs import needs
from ovnhook.resources.subnet.rows import dhcp_options, read_dns_records, read_subnet, subnet_ids, subnet_rows
from ovnhook.resources.subnet.values import DnsRecords, Subnet
from ovnhook.resources.tables import DHCP_OPTIONS, DNS, SWITCH


def _operations(old: Subnet | None, new: Subnet | None) -> list[Operation]:
    if old and new is None:
        return _deleted(old)
    guards = _unchanged(old) if old else []
    found = difference(subnet_rows(old) if old else {}, subnet_rows(new) if new else {})
    if new and old is None:
        found.append(refer((SWITCH, new.uuid, "dns_records"), "insert", uuids.dns_records(new.name)))
    return [*guards, *found]


def _deleted(subnet: Subnet) -> list[Operation]:
    leased = includes("external_ids", owned.kind("lease", subnet=subnet.name))
    return [
        *_unchanged(subnet),
        require(DNS, [leased], [], ["_uuid"]),
        require(SWITCH, [key(subnet.uuid)], [{"ports": ["set", []]}], ["ports"]),
        delete(SWITCH, key(subnet.uuid)),
        delete(DNS, key(uuids.dns_records(subnet.name))),
        *(delete(DHCP_OPTIONS, key(uuid)) for uuid in dhcp_options(subnet)),
    ]


def _unchanged(subnet: Subnet) -> list[Operation]:
    return unchanged(SWITCH, subnet.uuid, subnet_ids(subnet))


def _names_operations(old: DnsRecords | None, new: DnsRecords | None) -> list[Operation]:
    """Replace some records of a subnet by others. Aborts if a new one is somebody else's."""
    before, after = (one.records if one else {} for one in (old, new))
    uuid = (new or old or DnsRecords("", {})).uuid
    gone = dict(before.items() - after.items())
    added = dict(after.items() - before.items())
    # The server copies all the names of the subnet for each mutation.
    mutations = [["records", how, as_map(some)] for how, some in (("delete", gone), ("insert", added)) if some]
    changed = mutate(DNS, key(uuid), mutations)
    # An insert leaves a key that is there as it is: the name is then somebody else's.
    return [changed, exists(DNS, uuid, includes("records", added))] if added else [changed]


def _same_names(names: DnsRecords) -> list[Operation]:
    return [require(DNS, [key(names.uuid)], [{"records": as_map(names.records)}], ["records"])]


SUBNET = Kind(
    name="subnet",
    type=Subnet,
    table=SWITCH,
    columns=("external_ids",),  # its ports can be ten thousand
    read=read_subnet,
    operations=_operations,
    guard=_unchanged,
    title="subnet",
    field="subnet",
    shown_in=lambda subnet: [("subnet", subnet.name), ("router", subnet.router)],
    order=lambda subnet: subnet.name,
    rows=subnet_rows,
    needs=needs,
)
"""A logical switch with its addresses."""

DNS_RECORDS = Kind(
    name="names",
    type=DnsRecords,
    table=DNS,
    columns=("records", "external_ids"),
    read=read_dns_records,
    operations=_names_operations,
    guard=_same_names,
)
"""Records of a subnet's guests: a change replaces some, and leaves the others."""
