"""Virtual addresses of a domain: who may have one, and what follows for them from changes of ports and leases. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.errors import AlreadyExists, InvalidRequest
from ovnhook.domains.values import InterfaceRequest
from ovnhook.resources.kind import Change, Kind, Put, puts
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.port.values import Port
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import address as addresses
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS, VIRTUAL_PORT
from ovnhook.resources.virtual_address.values import Holder, VirtualAddress, VirtualPort

T = TypeVar("T", Lease, Port)
K = TypeVar("K")

_Place = tuple[str, IPAddress]


def check(request: InterfaceRequest, subnet: Subnet, given: Collection[IPAddress], observed: Observed) -> None:
    """Check the addresses that an interface requests against the virtual ones of its subnet.

    Args:
        request: of the interface.
        subnet: its subnet.
        given: addresses of other interfaces of its domain there.
        observed: leases and virtual addresses.

    Raises:
        AlreadyExists: a virtual address is leased, or an address is a virtual one.
        InvalidRequest: a virtual address is no host address of the subnet, or an interface's own.
    """
    for address in request.options.virtual:
        addresses.check(subnet, address)
        if lease := observed.leases.get((subnet.name, address)):
            raise AlreadyExists(
                f"virtual address {address} of subnet {subnet.name} is leased to domain {lease.domain_name}"
                f" ({lease.mac})",
                f"choose another one, or, while that domain is shut off: ovnhook lease release {address}",
            )
        if address in (*given, *request.addresses):
            raise InvalidRequest(f"virtual address {address} is also the address of an interface of this domain")
    for address in request.addresses:
        if virtual := observed.virtual_addresses.get((subnet.name, address)):
            raise AlreadyExists(
                f"address {address} of subnet {subnet.name} is a virtual address of {', '.join(virtual.domains)}",
                f"choose another one: ovnhook subnet show {subnet.name}",
            )


def follow(changes: Iterable[Change], observed: Observed) -> list[Change]:
    """Changes of virtual addresses and their ports that follow from changes of a domain's leases and ports.

    Args:
        changes: of leases and ports.
        observed: current state, with all virtual addresses that its ports and leases name.
    """
    done = list(changes)
    leases_before, leases = _both(LEASE, observed.leases.values(), done)
    ports_before, ports = _both(PORT, observed.ports.values(), done)
    held_before, held = _holders(leases_before), _holders(leases)
    parents_before, parents = _parents(ports_before), _parents(ports)
    found: list[Change] = []
    for place in sorted({*held_before, *held, *parents_before, *parents, *observed.virtual_addresses}):
        address = observed.virtual_addresses.get(place)
        names = {(one.domain, one.mac): one.domain_name for one in address.holders} if address else {}
        wanted = _updated(names, held_before[place], held[place])
        if wanted != names:
            run = address.run if address else next(one.run for one in leases if place in _holders([one]))
            holders = tuple(sorted(Holder(domain, mac, name) for (domain, mac), name in wanted.items()))
            found.append(Put(VIRTUAL_ADDRESS, address, VirtualAddress(*place, holders, run) if holders else None))
        port = observed.virtual_ports.get(place)
        bound = dict.fromkeys(port.parents if port else (), "")
        becomes = tuple(sorted(_updated(bound, parents_before[place], parents[place])))
        new = VirtualPort(*place, becomes) if becomes else None
        if new != port:
            found.append(Put(VIRTUAL_PORT, port, new))
    return found


def _updated(present: Mapping[K, str], before: Mapping[K, str], after: Mapping[K, str]) -> dict[K, str]:
    """Entries of a row, of which those of a domain are replaced."""
    return {**{key: value for key, value in present.items() if key not in before}, **after}


def _both(kind: Kind[T], present: Iterable[T], changes: Iterable[Change]) -> tuple[list[T], list[T]]:
    """Values of a kind before and after changes."""
    before = list(present)
    after = {one.uuid: one for one in before}
    for put in puts(kind, changes):
        if put.old:
            after.pop(put.old.uuid, None)
        if put.new:
            after[put.new.uuid] = put.new
    return before, list(after.values())


def _holders(leases: Iterable[Lease]) -> defaultdict[_Place, dict[tuple[UUID, str], str]]:
    """Interfaces that hold virtual addresses, with the names of their domains."""
    found: defaultdict[_Place, dict[tuple[UUID, str], str]] = defaultdict(dict)
    for lease in leases:
        for address in lease.virtual:
            found[lease.subnet, address][lease.domain, lease.mac] = lease.domain_name
    return found


def _parents(ports: Iterable[Port]) -> defaultdict[_Place, dict[str, str]]:
    """Names of the ports that may have virtual addresses."""
    found: defaultdict[_Place, dict[str, str]] = defaultdict(dict)
    for port in ports:
        for address in port.options.virtual:
            found[port.subnet, address][port.id] = ""
    return found
