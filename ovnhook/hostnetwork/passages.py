"""Packets that this host's packet filter has to let pass, as far as it serves guests."""

from __future__ import annotations

import json
import socket

from ovnhook.base.command import run
from ovnhook.base.deadline import Deadline
from ovnhook.diagnosis import firewalls
from ovnhook.diagnosis.firewalls import Passage
from ovnhook.resources.router.hostlink import BRIDGE


def wanted(deadline: Deadline) -> list[Passage]:
    """Packets that have to pass now; none on a host that does not serve guests.

    Raises:
        OvnhookError: the host's routes can't be read.
    """
    if BRIDGE not in {name for _, name in socket.if_nameindex()}:
        return []
    return list(firewalls.forwarded(BRIDGE, _uplinks(deadline)))


def _uplinks(deadline: Deadline) -> dict[int, str]:
    """Interface of the default route, by version of IP."""
    found = {}
    for version in (4, 6):
        rows = json.loads(run("ip", "-json", f"-{version}", "route", "show", "default", timeout=deadline.remaining))
        if devices := [row["dev"] for row in rows if "dev" in row]:
            found[version] = str(devices[0])
    return found
