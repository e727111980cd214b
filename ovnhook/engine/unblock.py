"""Resolution of host name conflicts: names of other domains are noted, stale DNS records replaced."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ovnhook.base.deadline import Deadline
from ovnhook.databases.northbound import Northbound
from ovnhook.engine.holders import Records, name_taken, of_records
from ovnhook.resources.kind import Change, puts
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.subnet.kind import DNS_RECORDS

_log = logging.getLogger(__name__)


class HostNames:
    """Host names that a domain requests, and those that other domains have.

    Args:
        requested: host names from metadata; others are derived, and made unique.

    Attributes:
        taken: host names of other domains, as learned from conflicts, by subnet.
    """

    def __init__(self, requested: Collection[str] = ()) -> None:
        self._requested = requested
        self.taken: dict[str, set[str]] = {}

    def note(self, lease: Lease, owner: Lease) -> None:
        """Note that another domain has the host name of a lease; raise AlreadyExists if it was requested."""
        error = name_taken(owner)
        if lease.hostname in self._requested:
            raise error.within(f"domain {lease.domain_name}: interface {lease.mac}")
        taken = self.taken.setdefault(lease.subnet, set())
        if lease.hostname not in taken:
            taken.add(lease.hostname)
            _log.warning("domain %s: deriving another host name: %s", lease.domain_name, error.message)


def unblock(
    northbound: Northbound, hostnames: HostNames, changes: Sequence[Change], deadline: Deadline
) -> Sequence[Change]:
    """Return the changes to commit instead of those that conflicted; the same ones if no DNS record is the reason.

    A record without a lease is stale: a person or a crash has left it. It is replaced.

    Args:
        northbound: northbound database.
        hostnames: host names of the domain; names of other domains are noted there.
        changes: changes that conflicted.
        deadline: when to give up.

    Raises:
        AlreadyExists: another domain has a requested host name.
    """
    leases = [put.new for put in puts(LEASE, changes) if put.new]
    own = {lease.domain for put in puts(LEASE, changes) for lease in (put.old, put.new) if lease}
    records = _conflicting(northbound, changes, deadline)
    owners = of_records(northbound, records, own, deadline)
    for lease in leases:
        name = (lease.subnet, lease.hostname)
        if name in records and name not in owners:  # the record is wrong: search for its owner
            found = northbound.leases(deadline, subnet=lease.subnet, hostname=lease.hostname)
            owners.update((name, one) for one in found if one.domain not in own)
        if name in owners:
            hostnames.note(lease, owners[name])
    stale = {
        (subnet, record): value
        for (subnet, record), value in records.items()
        # An address that this transaction leases belongs to no other domain.
        if record.endswith(".arpa") or (subnet, record.partition(".")[0]) not in owners
    }
    return tuple(_replacing(change, stale) for change in changes)


def _conflicting(northbound: Northbound, changes: Iterable[Change], deadline: Deadline) -> Records:
    """DNS records with a name that the changes set to another value."""
    found: dict[tuple[str, str], str] = {}
    for put in puts(DNS_RECORDS, changes):
        if put.old and put.new:
            current = northbound.dns_records(put.new.subnet, deadline)
            found |= {
                (put.new.subnet, record): current[record]
                for record, value in put.new.records.items()
                if current.get(record, value) not in (value, put.old.records.get(record))
            }
    return found


def _replacing(change: Change, stale: Records) -> Change:
    """Make a change of names also replace stale records; return other changes as they are."""
    for put in puts(DNS_RECORDS, [change]):
        if put.old:
            gone = {record: value for (subnet, record), value in stale.items() if subnet == put.old.subnet}
            return replace(put, old=replace(put.old, records={**put.old.records, **gone}))
    return change
