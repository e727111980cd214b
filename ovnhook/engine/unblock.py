"""Host names that made a transaction fail: other domains' are noted, records that no lease has are replaced."""

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
    """The host names that a domain may have, as far as that is known.

    Args:
        asked: those that nothing else will do for.

    Attributes:
        taken: those that turned out to be other domains', by subnet.
    """

    def __init__(self, asked: Collection[str] = ()) -> None:
        self._asked = asked
        self.taken: dict[str, set[str]] = {}

    def note(self, lease: Lease, owner: Lease) -> None:
        """Note that the host name of a lease is that of another domain's; raise AlreadyExists if it was asked for."""
        error = name_taken(owner)
        if lease.hostname in self._asked:
            raise error.within(f"domain {lease.domain_name}: interface {lease.mac}")
        taken = self.taken.setdefault(lease.subnet, set())
        if lease.hostname not in taken:
            taken.add(lease.hostname)
            _log.warning("domain %s: another host name is derived: %s", lease.domain_name, error.message)


def unblock(
    northbound: Northbound, hostnames: HostNames, changes: Sequence[Change], deadline: Deadline
) -> Sequence[Change]:
    """The changes to commit in place of some that were in conflict; the same ones where no record is in their way.

    A record that no lease accounts for was left by a person or a crash. It is replaced.

    Args:
        northbound: where the changes failed.
        hostnames: where other domains' are noted.
        changes: maybe in conflict because of the names in them.
        deadline: when to give up.

    Raises:
        AlreadyExists: a host name that was asked for is another domain's.
    """
    leases = [put.new for put in puts(LEASE, changes) if put.new]
    own = {lease.domain for put in puts(LEASE, changes) for lease in (put.old, put.new) if lease}
    records = _in_the_way(northbound, changes, deadline)
    owners = of_records(northbound, records, own, deadline)
    for lease in leases:
        name = (lease.subnet, lease.hostname)
        if name in records and name not in owners:  # the record is wrong: its owner has to be searched for
            found = northbound.leases(deadline, subnet=lease.subnet, hostname=lease.hostname)
            owners.update((name, one) for one in found if one.domain not in own)
        if name in owners:
            hostnames.note(lease, owners[name])
    stale = {
        (subnet, record): value
        for (subnet, record), value in records.items()
        # An address that is leased in this very transaction is nobody else's.
        if record.endswith(".arpa") or (subnet, record.partition(".")[0]) not in owners
    }
    return tuple(_replacing(change, stale) for change in changes)


def _in_the_way(northbound: Northbound, changes: Iterable[Change], deadline: Deadline) -> Records:
    """The records that have a name that changes give, and lead elsewhere."""
    found: dict[tuple[str, str], str] = {}
    for put in puts(DNS_RECORDS, changes):
        if put.old and put.new:
            there = northbound.dns_records(put.new.subnet, deadline)
            found |= {
                (put.new.subnet, record): there[record]
                for record, value in put.new.records.items()
                if there.get(record, value) not in (value, put.old.records.get(record))
            }
    return found


def _replacing(change: Change, stale: Records) -> Change:
    """The same change; one of names also replaces stale records."""
    for put in puts(DNS_RECORDS, [change]):
        if put.old:
            gone = {record: value for (subnet, record), value in stale.items() if subnet == put.old.subnet}
            return replace(put, old=replace(put.old, records={**put.old.records, **gone}))
    return change
