"""Rows of virtual addresses, compared with the leases and ports that name them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.resources.kind import Put
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS, VIRTUAL_PORT
from ovnhook.resources.virtual_address.values import Holder, VirtualAddress, VirtualPort, virtual_port_uuid

Place = tuple[str, str]
"""Subnet and address."""


def places(value: Any) -> Iterator[Place]:
    """Virtual addresses that a value of a row is, or names."""
    match value:
        case VirtualAddress() | VirtualPort():
            yield value.subnet, str(value.address)
        case Lease():
            yield from ((value.subnet, str(address)) for address in value.virtual)
        case Port():
            yield from ((value.subnet, str(address)) for address in value.options.virtual)


class VirtualRows:
    """Values of rows that are virtual addresses, or name some.

    Args:
        unreadable: UUIDs of the broken rows, which the caller updates.
    """

    def __init__(self, unreadable: Collection[str]) -> None:
        self._unreadable = unreadable
        self._at: dict[Place, dict[UUID, Any]] = {}

    @property
    def all_places(self) -> Collection[Place]:
        """All virtual addresses that there are, or that are named."""
        return self._at.keys()

    def apply(self, old: Any, new: Any) -> None:
        """Replace the value of a row; None stands for no row, or a broken one."""
        for place in places(old):
            del self._at[place][old.uuid]
            if not self._at[place]:
                del self._at[place]
        for place in places(new):
            self._at.setdefault(place, {})[new.uuid] = new

    def difference(self, place: Place) -> tuple[str, str]:
        """Name of a domain, or "", and description of what is wrong with the rows of a virtual address, or ""."""
        rows = (uuids.lease(*place), virtual_port_uuid(place[0], IPAddress(place[1])))
        changes = [] if any(str(row) in self._unreadable for row in rows) else self.repairs(place)
        for put in changes:
            what = f"{'virtual address' if put.kind is VIRTUAL_ADDRESS else 'port of virtual address'} {place[1]}"
            fault = "is missing" if put.old is None else "is not named" if put.new is None else "was changed"
            domain = min((one.domain_name for one in self._of(place, Lease, Port)), default="")
            return domain, f"{what} of subnet {place[0]} {fault}"
        return "", ""

    def repairs(self, place: Place) -> list[Put[Any]]:
        """Changes of the rows of a virtual address to what leases and ports name."""
        address = next(self._of(place, VirtualAddress), None)
        port = next(self._of(place, VirtualPort), None)
        names = {(one.domain, one.mac): one.domain_name for one in self._of(place, Port)}
        names |= {(one.domain, one.mac): one.domain_name for one in self._of(place, Lease)}
        holders = tuple(sorted(Holder(*interface, name) for interface, name in names.items()))
        parents = tuple(sorted(one.id for one in self._of(place, Port)))
        run = address.run if address else min((one.run for one in self._of(place, Lease)), default="")
        where = place[0], IPAddress(place[1])
        desired = VirtualAddress(*where, holders, run) if holders else None
        bound = VirtualPort(*where, parents) if parents else None
        return [
            *([Put(VIRTUAL_ADDRESS, address, desired)] if address != desired else []),
            *([Put(VIRTUAL_PORT, port, bound)] if port != bound else []),
        ]

    def _of(self, place: Place, *kinds: type) -> Iterator[Any]:
        """Values of some classes that are, or name, a virtual address."""
        return (one for one in self._at.get(place, {}).values() if isinstance(one, kinds))
