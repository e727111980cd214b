"""The resource kinds of subnets and DNS records. Pure."""

from __future__ import annotations

from collections.abc import Iterator

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
    guards = [*(_unchanged(old) if old else ()), *(_unleased(old, new) if new else ())]
    found = difference(subnet_rows(old) if old else {}, subnet_rows(new) if new else {})
    subnet = new or old
    had, has = (one is not None and one.has_records for one in (old, new))
    if subnet and had != has:
        own = (SWITCH, subnet.uuid, "dns_records")
        found.append(refer(own, "insert" if has else "delete", uuids.dns_records(subnet.name)))
    return [*guards, *found]


def _unleased(old: Subnet | None, new: Subnet) -> Iterator[Operation]:
    """New addresses of the resolver are not leased."""
    for address in new.resolvers:
        if old is None or address not in old.resolvers:
            yield require(DNS, [key(uuids.lease(new.name, str(address)))], [], ["_uuid"])


def _deleted(subnet: Subnet) -> list[Operation]:
    leased = includes("external_ids", owned.kind("lease", subnet=subnet.name))
    return [
        *_unchanged(subnet),
        require(DNS, [leased], [], ["_uuid"]),
        refer((SWITCH, subnet.uuid, "ports"), "delete", uuids.part("resolver", subnet.name)),
        require(SWITCH, [key(subnet.uuid)], [{"ports": ["set", []]}], ["ports"]),
        delete(SWITCH, key(subnet.uuid)),
        delete(DNS, key(uuids.dns_records(subnet.name))),
        *(delete(DHCP_OPTIONS, key(uuid)) for uuid in dhcp_options(subnet)),
    ]


def _unchanged(subnet: Subnet) -> list[Operation]:
    return unchanged(SWITCH, subnet.uuid, subnet_ids(subnet))


def _records_operations(old: DnsRecords | None, new: DnsRecords | None) -> list[Operation]:
    """Replace some records of a subnet. Aborts if a new one exists with another value."""
    before, after = (one.records if one else {} for one in (old, new))
    uuid = (new or old or DnsRecords("", {})).uuid
    gone = dict(before.items() - after.items())
    added = dict(after.items() - before.items())
    # No mutation without records: the server copies all records of the subnet for each.
    mutations = [["records", how, as_map(some)] for how, some in (("delete", gone), ("insert", added)) if some]
    changed = mutate(DNS, key(uuid), mutations)
    # An insert does not overwrite a present key: another domain has the host name.
    return [changed, exists(DNS, uuid, includes("records", added))] if added else [changed]


def _same_records(read: DnsRecords) -> list[Operation]:
    return [require(DNS, [key(read.uuid)], [{"records": as_map(read.records)}], ["records"])]


SUBNET = Kind(
    name="subnet",
    type=Subnet,
    table=SWITCH,
    columns=("external_ids",),  # not ports, of which there can be ten thousand
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
    operations=_records_operations,
    guard=_same_records,
)
"""DNS records of a subnet's guests. A change replaces some of them."""
