"""Underlay MTU of a cloud: the largest IP packet of a guest that fits into the tunnels of all hosts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases import underlay
from ovnhook.databases.vswitch import Vswitch
from ovnhook.resources.subnet.request import Underlay

_log = logging.getLogger(__name__)

_REPORTS_TIMEOUT = 0.5  # seconds for the MTUs of other hosts, without which a domain can start too


def of_cloud(read_reported: Callable[[Deadline], Mapping[str, int]], vswitch: Vswitch, deadline: Deadline) -> Underlay:
    """Underlay of the host with the smallest MTU, among the hosts that have reported one and this one.

    Agents of earlier versions report none, so this host's may be the only one of those that were not upgraded.

    Args:
        read_reported: reads the MTUs that agents have reported, by host.
        vswitch: Open vSwitch of this host.
        deadline: when to give up.
    """
    try:
        mtus = read_reported(deadline.half(_REPORTS_TIMEOUT))
    except Unavailable as error:
        _log.warning("assuming this host's underlay MTU for all hosts: %s", error)
        mtus = {}
    own = underlay.read(vswitch, deadline)
    if not mtus:
        return own
    host = min(mtus, key=lambda host: (mtus[host], host))
    if own.known and own.mtu < mtus[host]:
        return own
    return Underlay(mtus[host], known=True, host=host)
