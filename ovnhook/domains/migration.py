"""Changes during a migration, in which both hosts may bind a domain's ports. Pure."""

from __future__ import annotations

from dataclasses import replace

from ovnhook.base.errors import FailedPrecondition
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import LeaseIndex
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.state import Observed


def confirm(observed: Observed, host: str, destination: str) -> tuple[Change, ...]:
    """Allow the destination that has requested it to bind a domain's ports, as the source, this host.

    Raises:
        FailedPrecondition: the domain is on another host, or the destination does not request it.
    """
    lease_index = observed.lease_index
    if lease_index is None or lease_index.host != host:
        raise FailedPrecondition(f"the domain is not on {host}, which cannot confirm its migration")
    if destination == lease_index.moving_to:
        return ()
    if destination != lease_index.requested_by:
        raise FailedPrecondition(f"{destination} does not request a migration of domain {lease_index.domain_name}")
    return announce(observed, destination)


def announce(observed: Observed, host: str) -> tuple[Change, ...]:
    """Allow the destination, this host, to bind a domain's ports, too."""
    changes: list[Change] = [
        Put(PORT, port, replace(port, moving_to=host))
        for port in observed.ports.values()
        if host not in (port.host, port.moving_to)
    ]
    lease_index = observed.lease_index
    if lease_index and host not in (lease_index.host, lease_index.moving_to):
        changes.append(Put(LEASE_INDEX, lease_index, replace(lease_index, moving_to=host, requested_by="")))
    return tuple(changes)


def finish(observed: Observed, host: str) -> tuple[Change, ...]:
    """Assign a domain's ports and leases to the destination, this host, where the domain runs now."""
    changes: list[Change] = [
        Put(PORT, port, replace(port, host=host, moving_to=""))
        for port in observed.ports.values()
        if port.moving_to == host
    ]
    lease_index = observed.lease_index
    if lease_index and lease_index.moving_to == host:
        changes += _assign(observed, lease_index, host)
    return tuple(changes)


def cancel(observed: Observed, host: str) -> tuple[Change, ...]:
    """Assign a domain's ports to the source, this host, alone, after a cancelled migration."""
    changes: list[Change] = [
        Put(PORT, port, replace(port, moving_to=""))
        for port in observed.ports.values()
        if port.host == host and port.moving_to
    ]
    lease_index = observed.lease_index
    if lease_index and lease_index.host == host and lease_index.moving_to:
        changes += _assign(observed, lease_index, host)
    return tuple(changes)


def hand_over(observed: Observed, host: str) -> list[Change]:
    """Assign a domain's leases to the other host of a migration, on which the domain stays."""
    lease_index = observed.lease_index
    if lease_index and lease_index.moving_to and host in (lease_index.host, lease_index.moving_to):
        return _assign(observed, lease_index, lease_index.moving_to if lease_index.host == host else lease_index.host)
    return []


def _assign(observed: Observed, lease_index: LeaseIndex, host: str) -> list[Change]:
    """Assign a domain's leases to a host."""
    changes: list[Change] = [Put(LEASE_INDEX, lease_index, replace(lease_index, host=host, moving_to=""))]
    for mac, subnet, address in lease_index.leases:
        lease = observed.leases.get((subnet, address))
        if lease and lease.belongs_to(lease_index.domain, mac) and lease.host != host:
            changes.append(Put(LEASE, lease, replace(lease, host=host)))
    return changes
