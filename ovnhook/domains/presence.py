"""Location of a domain: its host, and the destination of its migration. Pure."""

from __future__ import annotations

from ovnhook.base.errors import PermissionDenied
from ovnhook.domains.values import Domain
from ovnhook.resources.state import Observed


def arrives(observed: Observed, host: str) -> bool:
    """Return whether a domain is migrating to a host."""
    return any(port.moving_to == host for port in observed.ports.values())


def is_elsewhere(observed: Observed, host: str) -> bool:
    """Return whether a domain that runs on this host has, or is about to have, ports on another one."""
    moves = observed.lease_index is not None and observed.lease_index.moving_to != ""
    return moves or any(port.host != host or port.moving_to for port in observed.ports.values())


def refuse_elsewhere(domain: Domain, observed: Observed, host: str) -> None:
    """Raise PermissionDenied if another host has a port of a domain."""
    for port in observed.ports.values():
        if port.host != host:
            raise PermissionDenied(
                f"domain {domain.name} has interface {port.mac} on host '{port.host}', not on {host}",
                f"detach it on {port.host} first, or ask as operator",
            )
