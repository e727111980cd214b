"""Changes during a migration, in which both hosts may bind a domain's ports. Pure.

The destination requests it in the domain's lease index, without effect on traffic; the source confirms it while libvirt
migrates the domain. Then both may bind the ports, until one of them has the domain for itself. A request expires, so
that one which a crash has left behind is void.
"""

from __future__ import annotations

from dataclasses import replace

from ovnhook.base.errors import FailedPrecondition, PermissionDenied, Unrepaired
from ovnhook.base.text import quoted
from ovnhook.domains.presence import AgentState, FindState
from ovnhook.domains.values import Domain
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import LeaseIndex
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.state import Observed


def request(
    domain: Domain, observed: Observed, host: str, now: int, until: int, find_state: FindState
) -> tuple[tuple[Change, ...], str]:
    """Announce a migration as the destination, this host, or request one that the source has to confirm first.

    Args:
        domain: the domain.
        observed: its current state.
        host: the destination.
        now: seconds since 1970.
        until: when the request ends, whatever happens.
        find_state: returns the state of a host's agent.

    Returns:
        The changes, and the source that has to confirm them, or "". A domain that is shut off or whose host is dead
        has no source that could; one of an earlier version does not know of requests.

    Raises:
        PermissionDenied: several hosts have the domain's ports, or it is migrating to another one.
        FailedPrecondition: another host requests its migration at the same time.
        Unrepaired: its lease index is missing or wrong.
    """
    lease_index = observed.lease_index
    if lease_index and lease_index.moving_to == host:
        return announce(observed, host), ""
    elsewhere = [port for port in observed.ports.values() if host not in (port.host, port.moving_to)]
    sources = {port.host for port in elsewhere}
    others = {other: find_state(other) for other in sources | {port.moving_to for port in elsewhere} - {""}}
    alive = sorted(other for other, state in others.items() if state is not AgentState.DEAD)
    if len(alive) > 1 or not sources.issuperset(alive):
        raise PermissionDenied(
            f"domain {domain.name} has ports on {' and '.join(alive)}, and can't migrate to {host}",
            f"ovnhook port list --domain {quoted(domain.name)}",
        )
    if not alive or others[alive[0]] is AgentState.EARLIER:
        return announce(observed, host), ""
    (source,) = alive
    if lease_index is None or lease_index.host != source:
        raise Unrepaired(f"domain {domain.name}: its lease index is missing", f"{source} recreates it within a minute")
    if lease_index.requested_by not in ("", host) and lease_index.requested_until >= now:
        raise FailedPrecondition(
            f"domain {domain.name}: {lease_index.requested_by} requests its migration at the same time",
            f"retry in {lease_index.requested_until - now + 1} s",
        )
    return (Put(LEASE_INDEX, lease_index, replace(lease_index, requested_by=host, requested_until=until)),), source


def withdraw(observed: Observed, host: str, until: int) -> tuple[Change, ...]:
    """Withdraw a request that nobody has confirmed."""
    lease_index = observed.lease_index
    if lease_index is None or (lease_index.requested_by, lease_index.requested_until) != (host, until):
        return ()
    return (Put(LEASE_INDEX, lease_index, replace(lease_index, requested_by="", requested_until=0)),)


def with_request(new: LeaseIndex, old: LeaseIndex | None) -> LeaseIndex:
    """A domain's new lease index, with the request in the old one: only request and confirmation change that."""
    if old is None:
        return new
    return replace(new, requested_by=old.requested_by, requested_until=old.requested_until)


def confirm(domain: Domain, observed: Observed, host: str, destination: str, now: int) -> tuple[Change, ...]:
    """Allow the destination that has requested it to bind a domain's ports, as the source, this host.

    Args:
        domain: the domain.
        observed: current state of the domain.
        host: the source.
        destination: the destination.
        now: seconds since 1970.

    Raises:
        FailedPrecondition: the domain is on another host, or the destination does not request it now.
    """
    lease_index = observed.lease_index
    if lease_index is None or {lease_index.host, *(port.host for port in observed.ports.values())} != {host}:
        raise FailedPrecondition(f"domain {domain.name} is not on {host}, which can't confirm its migration")
    if destination == lease_index.moving_to:
        return ()
    if lease_index.moving_to:
        raise FailedPrecondition(f"domain {lease_index.domain_name} is migrating to {lease_index.moving_to}")
    if destination != lease_index.requested_by or lease_index.requested_until < now:
        raise FailedPrecondition(
            f"domain {lease_index.domain_name}: {destination} does not request its migration, or no longer"
        )
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
        announced = replace(lease_index, moving_to=host, requested_by="", requested_until=0)
        changes.append(Put(LEASE_INDEX, lease_index, announced))
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
