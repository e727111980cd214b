"""The host that has a domain, and the one that it comes to. Pure."""

from __future__ import annotations

from ovnhook.base.errors import PermissionDenied
from ovnhook.domains.values import Domain
from ovnhook.resources.state import Observed


def arrives(observed: Observed, host: str) -> bool:
    """Tell whether a domain is on its way to a host from another one, which has it still."""
    return any(port.moving_to == host for port in observed.ports.values())


def is_elsewhere(observed: Observed, host: str) -> bool:
    """Tell whether another host has, or is to have, a domain that runs on this one."""
    moves = observed.holding is not None and observed.holding.moving_to != ""
    return moves or any(port.host != host or port.moving_to for port in observed.ports.values())


def refuse_elsewhere(domain: Domain, observed: Observed, host: str) -> None:
    """Raise PermissionDenied if another host has a port of a domain."""
    for port in observed.ports.values():
        if port.host != host:
            raise PermissionDenied(
                f"domain {domain.name} has interface {port.mac} on host '{port.host}', not on {host}",
                f"detach it on {port.host} first, or ask as operator",
            )
