"""Changes of floating IPs that go along with changes of leases and ports. Pure.

A hypervisor that deletes a lease has not read its floating IP: the operations do nothing where there is none.
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


def deleted(uuid: UUID) -> Operation:
    """Take a row away from whichever router has it: NAT is no root table."""
    return mutate(ROUTER, ["nat", "includes", as_set([ref(uuid)])], [["nat", "delete", as_set([ref(uuid)])]])


def cascade(put: Put[Any]) -> Iterator[Cascade]:
    """Delete a floating IP with its lease; rename it with its domain."""
    match put.old, put.new:
        case Lease() as lease, None:
            uuid = floating_ip_uuid(lease.subnet, lease.address)
            yield Cascade((deleted(uuid),), deleted=uuid)
        case Lease(), Lease() as lease:
            yield _named(floating_ip_uuid(lease.subnet, lease.address), lease.domain_name, lease.mac)
        case None, Port() as port:
            for address in port.addresses:
                yield _named(floating_ip_uuid(port.subnet, address), port.domain_name, port.mac)


def _named(uuid: UUID, domain_name: str, mac: str) -> Cascade:
    ids = owned.kind("floating", domain_name=domain_name, mac=mac)
    return Cascade((mutate(NAT, key(uuid), set_keys("external_ids", ids)),))
