"""What has to change while a domain goes from one host to another: its ports are both hosts' for a while. Pure."""

from __future__ import annotations

from dataclasses import replace

from ovnhook.resources.kind import Change, Put
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import LeaseIndex
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.state import Observed


def announce(observed: Observed, host: str) -> tuple[Change, ...]:
    """The changes that let this host bind a domain's ports beside the one where it runs, because it is coming here."""
    changes: list[Change] = [
        Put(PORT, port, replace(port, moving_to=host))
        for port in observed.ports.values()
        if host not in (port.host, port.moving_to)
    ]
    lease_index = observed.lease_index
    if lease_index and host not in (lease_index.host, lease_index.moving_to):
        changes.append(Put(LEASE_INDEX, lease_index, replace(lease_index, moving_to=host)))
    return tuple(changes)


def finish(observed: Observed, host: str) -> tuple[Change, ...]:
    """The changes that make this host the only one of a domain's ports, because it has come here."""
    changes: list[Change] = [
        Put(PORT, port, replace(port, host=host, moving_to=""))
        for port in observed.ports.values()
        if port.moving_to == host
    ]
    lease_index = observed.lease_index
    if lease_index and lease_index.moving_to == host:
        changes += _hold(observed, lease_index, host)
    return tuple(changes)


def cancel(observed: Observed, host: str) -> tuple[Change, ...]:
    """The changes that make a domain's ports this host's alone again, because it is not leaving after all."""
    changes: list[Change] = [
        Put(PORT, port, replace(port, moving_to=""))
        for port in observed.ports.values()
        if port.host == host and port.moving_to
    ]
    lease_index = observed.lease_index
    if lease_index and lease_index.host == host and lease_index.moving_to:
        changes += _hold(observed, lease_index, host)
    return tuple(changes)


def hand_over(observed: Observed, host: str) -> list[Change]:
    """Make what a domain holds the other host's of a migration, which this one has nothing to do with any more."""
    lease_index = observed.lease_index
    if lease_index and lease_index.moving_to and host in (lease_index.host, lease_index.moving_to):
        return _hold(observed, lease_index, lease_index.moving_to if lease_index.host == host else lease_index.host)
    return []


def _hold(observed: Observed, lease_index: LeaseIndex, host: str) -> list[Change]:
    """Make what a domain holds a host's."""
    changes: list[Change] = [Put(LEASE_INDEX, lease_index, replace(lease_index, host=host, moving_to=""))]
    for mac, subnet, address in lease_index.leases:
        lease = observed.leases.get((subnet, address))
        if lease and lease.belongs_to(lease_index.domain, mac) and lease.host != host:
            changes.append(Put(LEASE, lease, replace(lease, host=host)))
    return changes
