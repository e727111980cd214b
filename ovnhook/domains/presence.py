"""Location of a domain: its host, and the destination of its migration; what follows for others. Pure.

A host changes only its own rows, whatever domain it names: a plan (ovnhook.domains.plan, ovnhook.domains.migration)
deletes and assigns ports of its host alone, and leases that the domain's index has there. The exceptions are here: a
start takes over the rows of a domain that is shut off, or whose host is dead; a migration needs both hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from ovnhook.base.errors import FailedPrecondition, PermissionDenied
from ovnhook.base.text import quoted
from ovnhook.domains.values import Domain
from ovnhook.resources.port.values import Owner
from ovnhook.resources.state import Observed


class AgentState(Enum):
    """State of a host's agent, which stands for the host."""

    ALIVE = "alive"
    EARLIER = "alive, and of a version that does not use the service Agents"
    DEAD = "not heard of for some time, or unknown"


FindState = Callable[[str], AgentState]
"""Returns the state of a host's agent. It is called only if that matters, since it may read a database."""


def arrives(observed: Observed, host: str) -> bool:
    """Return whether a domain is migrating to a host."""
    return any(port.moving_to == host for port in observed.ports.values())


def is_elsewhere(observed: Observed, host: str) -> bool:
    """Return whether a domain that runs on this host has, or is about to have, ports on another one."""
    moves = observed.lease_index is not None and observed.lease_index.moving_to != ""
    return moves or any(port.host != host or port.moving_to for port in observed.ports.values())


def refuse_elsewhere(domain: Domain, observed: Observed, host: str, find_state: FindState) -> None:
    """Raise PermissionDenied if another host whose agent is alive has a port of a domain, unless it migrates here."""
    found: dict[str, str] = {}  # MAC address of an interface of each other host
    for port in observed.ports.values():
        if host not in (port.host, port.moving_to):
            found |= {other: port.mac for other in (port.moving_to, port.host) if other}
    for other, mac in sorted(found.items()):
        if find_state(other) is not AgentState.DEAD:
            raise PermissionDenied(
                f"domain {domain.name} has interface {mac} on host '{other}', not on {host}", _hint(domain, other)
            )


def refuse_other_owner(domain: Domain, observed: Observed) -> None:
    """Raise FailedPrecondition if a domain has another owner: libvirt's are not for API clients, nor theirs for it."""
    theirs = [port for port in observed.ports.values() if port.kept_by is not domain.kept_by]
    index = observed.lease_index
    if not theirs and (index is None or index.kept_by is domain.kept_by):
        return
    name = theirs[0].domain_name if theirs else index.domain_name if index else ""
    place = f" on {theirs[0].host}" if theirs else ""
    if domain.kept_by is Owner.LIBVIRT:
        raise FailedPrecondition(
            f"domain {name} is managed by a client of the API{place}, not by libvirt",
            f"ovnhook port list --domain {quoted(name)}; ovnhook port delete ID",
        )
    raise FailedPrecondition(
        f"domain {name} is managed by libvirt{place}",
        "virsh destroy, then retry" if theirs else "virsh undefine releases its leases",
    )


def _hint(domain: Domain, other: str) -> str:
    if domain.kept_by is Owner.CLIENT:
        return f"detach it on {other} first, or ask as operator"
    return (
        f"on {other}: virsh shutdown {quoted(domain.name)}; if that host is down, retry 90 s after its last report"
        f" (ovnhook node show {quoted(other)})"
    )
