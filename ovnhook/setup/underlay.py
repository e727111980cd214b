"""This host's address in the underlay network."""

from __future__ import annotations

import ipaddress
import json

from ovnhook.base.command import run, succeeds
from ovnhook.base.errors import InvalidRequest

LOOPBACK = "127.0.0.1"
_DOCUMENTATION = "192.0.2.1"  # unused (RFC 5737): selects the default route, and nothing is sent


def address(target: str = _DOCUMENTATION) -> str:
    """Source address of this host towards another one, or the loopback address if there is no route."""
    if not succeeds("ip", "route", "get", target):
        return LOOPBACK
    (route,) = json.loads(run("ip", "-json", "route", "get", target))
    return str(route.get("prefsrc", LOOPBACK))


def parse(text: str) -> str:
    """Validate an optional IP address.

    Raises:
        InvalidRequest: not an IP address.
    """
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError as error:
        raise InvalidRequest(f"--address {text}: {error}") from error
