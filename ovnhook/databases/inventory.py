"""All objects of one host in the northbound database, by a search of its tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.domains.inventory import Inventory
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Row, includes, key, select
from ovnhook.resources import tables
from ovnhook.resources.lease.rows import read_lease, read_lease_index
from ovnhook.resources.port.rows import read_port
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry

_log = logging.getLogger(__name__)

T = TypeVar("T")


def read(database: Database, host: str, deadline: Deadline) -> Inventory:
    """Read the ports and leases of a host in one transaction, without subnets.

    Args:
        database: the northbound database.
        host: name of the chassis.
        deadline: deadline of the transaction.

    Raises:
        NewerFormat: rows were written by a newer version.
    """
    registry, ports, coming, lease_indexes, arriving, leases = database.transact(
        [
            select(tables.DNS, key(uuids.REGISTRY)),
            select(tables.PORT, includes("external_ids", owned.kind("port", host=host))),
            select(tables.PORT, includes("external_ids", owned.kind("port", moving_to=host))),
            select(tables.DNS, includes("external_ids", owned.kind("domain", host=host))),
            select(tables.DNS, includes("external_ids", owned.kind("domain", moving_to=host))),
            select(tables.DNS, includes("external_ids", owned.kind("lease", host=host))),
        ],
        deadline,
    )
    list(_each(read_registry, registry))  # checks its format
    return Inventory.of(
        host,
        [
            *_each(read_port, (*ports, *coming)),
            *_each(read_lease_index, (*lease_indexes, *arriving)),
            *_each(read_lease, leases),
        ],
    )


def _each(read: Callable[[Row], T], found: Iterable[Row]) -> Iterator[T]:
    """Values of rows; those that are unreadable are skipped: `ovnhook status` reports them."""
    for row in found:
        try:
            yield read(row)
        except BrokenRow as error:
            _log.warning("skipped: %s", error)
