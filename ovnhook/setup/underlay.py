"""Which address other hosts reach this one at."""

from __future__ import annotations

import ipaddress
import json

from ovnhook.base.errors import InvalidRequest
from ovnhook.setup.command import holds, run

ALONE = "127.0.0.1"
_ELSEWHERE = "192.0.2.1"  # no machine has it (RFC 5737): which address leads that way is told, and nothing sent


def address(towards: str = _ELSEWHERE) -> str:
    """The address of this host that leads to another one, or one of its own where none does."""
    if not holds("ip", "route", "get", towards):
        return ALONE
    (route,) = json.loads(run("ip", "-json", "route", "get", towards))
    return str(route.get("prefsrc", ALONE))


def checked(text: str) -> str:
    """An address as somebody wrote it, or nothing.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError as error:
        raise InvalidRequest(f"--address {text}: {error}") from error
