"""Values of a replica's rows: differences of DNS records, of which a subnet can have many."""

from __future__ import annotations

from typing import Any

from ovnhook.base import uuids
from ovnhook.control.rowvalues import RowValues, ValueChange, is_partial
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import as_map
from ovnhook.ovsdb.replica import RowDifference
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.subnet.kind import DNS_RECORDS
from ovnhook.resources.subnet.values import DnsRecords

UUID = str(uuids.dns_records("blue"))
IDS = as_map(owned.kind(DNS_RECORDS.name, subnet="blue"))


def changed(old: dict[str, str], new: dict[str, str]) -> list[ValueChange]:
    """Change of some DNS records."""
    return [ValueChange(UUID, DnsRecords("blue", old), DnsRecords("blue", new))]


def test_differences_of_dns_records() -> None:
    """A pair that exists is removed, another value replaces it; only what has changed is passed on."""
    values = RowValues([(DNS_RECORDS, DNS_RECORDS.columns)])

    def apply(row: Any, *, partial: bool = True) -> list[ValueChange]:
        return values.apply([RowDifference("DNS", UUID, row, is_partial=partial)])

    (first,) = apply({"external_ids": IDS, "records": as_map({"a": "1", "b": "2"})}, partial=False)
    assert (first.old, first.new) == (None, DnsRecords("blue", {"a": "1", "b": "2"}))
    assert apply({"records": as_map({"a": "1", "b": "3", "c": "4"})}) == changed(
        {"a": "1", "b": "2"}, {"b": "3", "c": "4"}
    )
    assert apply({"external_ids": as_map({"ovnhook:cidr": "x"})}) == changed({}, {})
    assert apply({"records": as_map({"a": "1"})}) == changed({}, {"a": "1"})
    assert apply(None, partial=False) == [ValueChange(UUID, DnsRecords("blue", {"a": "1", "b": "3", "c": "4"}), None)]


def test_rows_of_which_differences_are_enough() -> None:
    """DNS records, unless their row is broken, so that it can be read when it is corrected."""
    assert is_partial({"external_ids": IDS})
    assert not is_partial({"external_ids": as_map(owned.kind(DNS_RECORDS.name))})
    assert not is_partial({"external_ids": as_map(owned.kind(LEASE.name, subnet="blue"))})
