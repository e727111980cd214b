"""Cascades from leases, virtual addresses and ports to floating IPs. Pure.

A hypervisor that deletes a lease has not read its floating IP: without one, the operations have no effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, as_set, key, mutate, ref, set_keys
from ovnhook.resources.floating_ip.values import floating_ip_uuid
from ovnhook.resources.kind import Cascade, Put
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port
from ovnhook.resources.tables import NAT, ROUTER
from ovnhook.resources.virtual_address.values import VirtualAddress


def deleted(uuid: UUID) -> Operation:
    """Remove a row from its router: it is garbage-collected, since NAT is no root table."""
    return mutate(ROUTER, ["nat", "includes", as_set([ref(uuid)])], [["nat", "delete", as_set([ref(uuid)])]])


def cascade(put: Put[Any]) -> Iterator[Cascade]:
    """Delete a floating IP with its lease or virtual address; rename it with its domain."""
    old, new = put.old, put.new
    if isinstance(old, Lease | VirtualAddress) and new is None:
        uuid = floating_ip_uuid(old.subnet, old.address)
        yield Cascade((deleted(uuid),), deleted=uuid)
    elif isinstance(old, Lease) and isinstance(new, Lease):
        yield _named(floating_ip_uuid(new.subnet, new.address), new.domain_name, new.mac)
    elif old is None and isinstance(new, Port):
        for address in new.addresses:
            yield _named(floating_ip_uuid(new.subnet, address), new.domain_name, new.mac)


def _named(uuid: UUID, domain_name: str, mac: str) -> Cascade:
    ids = owned.kind("floating", domain_name=domain_name, mac=mac)
    return Cascade((mutate(NAT, key(uuid), set_keys("external_ids", ids)),))
