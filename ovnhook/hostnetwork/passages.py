"""Packets that this host's packet filter has to let pass, as far as it serves guests."""

from __future__ import annotations

from ovnhook.base.deadline import Deadline
from ovnhook.diagnosis import firewalls
from ovnhook.diagnosis.firewalls import Passage
from ovnhook.hostnetwork import gatewaylink
from ovnhook.resources.router.hostlink import BRIDGE


def wanted(deadline: Deadline) -> list[Passage]:
    """Packets that have to pass now; none on a host that does not serve guests.

    Raises:
        OvnhookError: the host's routes can't be read.
    """
    if not gatewaylink.has_bridge():
        return []
    return list(firewalls.forwarded(BRIDGE, gatewaylink.uplinks(deadline)))
