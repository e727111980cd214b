"""Packets that this host's packet filter has to let pass, as far as it serves guests."""

from __future__ import annotations

import socket

from ovnhook.base.deadline import Deadline
from ovnhook.diagnosis import firewalls
from ovnhook.diagnosis.firewalls import Passage
from ovnhook.hostnetwork import gatewaylink
from ovnhook.hostnetwork.dnsconfig import RELAY_PORT
from ovnhook.hostnetwork.namescope import UPSTREAM_PREFIX
from ovnhook.resources.router.hostlink import BRIDGE

_QUERIES = f"queries of guests for external names, to port {RELAY_PORT} of this host"


def wanted(deadline: Deadline) -> list[Passage]:
    """Packets that have to pass now; none on a host that does not serve guests.

    Raises:
        OvnhookError: the host's routes can't be read.
    """
    names = sorted(name for _, name in socket.if_nameindex())
    found: list[Passage] = []
    if BRIDGE in names:
        found += firewalls.forwarded(BRIDGE, gatewaylink.uplinks(deadline))
    if resolvers := [name for name in names if name.startswith(UPSTREAM_PREFIX)]:
        ports = {"udp": RELAY_PORT, "tcp": RELAY_PORT}
        found += firewalls.received(resolvers[0], f"{UPSTREAM_PREFIX}+", ports, _QUERIES)
    return found
