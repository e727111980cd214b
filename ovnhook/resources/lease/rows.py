"""Rows of leases, and of what a domain holds: rows of DNS that no switch refers to, which northd passes over. Pure."""

from __future__ import annotations

from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import labels
from ovnhook.ovsdb.operation import Row, as_map, map_of
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Owner
from ovnhook.resources.reading import RECREATED, number_of, reader
from ovnhook.resources.tables import DNS

_LATEST = 1 << 40  # seconds since 1970


def lease_ids(lease: Lease) -> dict[str, str]:
    """External_ids of a lease's DNS row."""
    return kind(
        "lease",
        subnet=lease.subnet,
        domain=str(lease.domain),
        domain_name=lease.domain_name,
        mac=lease.mac,
        hostname=lease.hostname,
        host=lease.host,
        run=lease.run,
        by_default="yes" if lease.by_default else "no",
        **({"keep": "yes"} if lease.keep else {}),
        **({"virtual_addresses": " ".join(map(str, lease.virtual))} if lease.virtual else {}),
    )


def lease_records(lease: Lease) -> dict[str, str]:
    """Records of a lease's DNS row."""
    return {lease.hostname: str(lease.address)}


def lease_columns(lease: Lease) -> Row:
    """DNS row of a lease."""
    return {"records": as_map(lease_records(lease)), "external_ids": as_map(lease_ids(lease))}


@reader(DNS, f"ovn-nbctl destroy {DNS} {{uuid}}: {RECREATED}, or its next start, which may give it another address")
def read_lease(row: Row) -> Lease:
    """Parse the DNS row of a lease."""
    ids = own(row)
    records = map_of(row["records"])
    hostname = ids["hostname"] if ids.get("hostname") in records else min(records, default="")
    return Lease(
        subnet=ids["subnet"],
        address=IPAddress(records[hostname]),
        domain=UUID(ids["domain"]),
        domain_name=ids.get("domain-name", ids["domain"]),
        mac=ids["mac"],
        hostname=hostname,
        host=ids.get("host", ""),
        run=ids.get("run", ""),
        by_default=ids.get("by-default") == "yes",
        keep=ids.get("keep") == "yes",
        virtual=tuple(map(IPAddress, ids.get("virtual-addresses", "").split())),
    )


def lease_index_ids(lease_index: LeaseIndex) -> dict[str, str]:
    """External_ids of a lease index's DNS row, without a requested migration."""
    return kind(
        "domain",
        domain=str(lease_index.domain),
        domain_name=lease_index.domain_name,
        host=lease_index.host,
        kept_by=lease_index.kept_by.value,
        moving_to=lease_index.moving_to,
    )


def request_ids(lease_index: LeaseIndex) -> dict[str, str]:
    """External_ids of a requested migration; none without a request, as earlier versions write the row."""
    if not lease_index.requested_by:
        return {}
    return kind("domain", requested_by=lease_index.requested_by, requested_until=str(lease_index.requested_until))


def lease_index_records(lease_index: LeaseIndex) -> dict[str, str]:
    """Records of a lease index's DNS row: by MAC, subnet and addresses."""
    records: dict[str, str] = {}
    for mac, subnet_name, where in lease_index.leases:
        records[mac] = f"{records[mac]} {where}" if mac in records else f"{subnet_name} {where}"
    return records


def lease_index_columns(lease_index: LeaseIndex) -> Row:
    """DNS row of a lease index."""
    ids = {**lease_index_ids(lease_index), **request_ids(lease_index)}
    return {"records": as_map(lease_index_records(lease_index)), "external_ids": as_map(ids)}


@reader(
    DNS,
    f"ovn-nbctl destroy {DNS} {{uuid}}: {RECREATED}; "
    "of a domain that is off, release its addresses before it starts: ovnhook lease release ADDRESS",
)
def read_lease_index(row: Row) -> LeaseIndex:
    """Parse the DNS row of a lease index."""
    ids = own(row)
    leases = []
    others = {}
    for mac, value in map_of(row["records"]).items():
        if not labels.MAC.fullmatch(mac):
            others[mac] = value
            continue
        subnet_name, *addresses = value.split()
        leases += [(mac, subnet_name, IPAddress(where)) for where in addresses]
    return LeaseIndex(
        domain=UUID(ids["domain"]),
        domain_name=ids.get("domain-name", ids["domain"]),
        host=ids.get("host", ""),
        leases=tuple(sorted(leases)),
        kept_by=Owner(ids.get("kept-by", Owner.LIBVIRT.value)),
        moving_to=ids.get("moving-to", ""),
        requested_by=ids.get("requested-by", ""),
        requested_until=number_of(ids.get("requested-until", "0"), _LATEST),
        others=tuple(others.items()),
    )
