"""Withdrawal of nodes' access to the northbound database, once all nodes use the API.

Agents of earlier versions use that database themselves. The decision is a sealed entry of the trusted clients, so it is
the same on all control hosts, survives restarts and restores, and is final.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from ovnhook.base.deadline import Deadline
from ovnhook.control.loop import Loop
from ovnhook.control.trust import Trust
from ovnhook.databases.southbound import Southbound
from ovnhook.pki import x509
from ovnhook.pki.members import CLOSING, Members
from ovnhook.resources.chassis import Node

_log = logging.getLogger(__name__)

_INTERVAL = 2.0  # seconds between two checks
_TIMEOUT = 5.0  # seconds for one check


class Withdrawal:
    """Withdraws the access while its loop runs.

    Args:
        trust: trusted clients.
        southbound: southbound database, with the reports of agents.
    """

    def __init__(self, trust: Trust, southbound: Southbound) -> None:
        self._trust = trust
        self._southbound = southbound
        self.loop = Loop("withdrawal", self.check, _INTERVAL, "cannot check which nodes use the API")

    def check(self) -> None:
        """Withdraw the access if no node needs it."""
        if self._trust.members.is_closed:
            return
        deadline = Deadline.after(_TIMEOUT)
        known = self._trust.update(deadline)
        if known.servers and not pending(self._southbound.nodes(deadline), known, time.time()):
            self._trust.change(CLOSING, deadline)
            _log.info("all nodes use the API: their access to the northbound database is withdrawn")


def pending(nodes: Iterable[Node], known: Members, now: float) -> tuple[str, ...]:
    """Names of the nodes that may still use the northbound database; none after the withdrawal.

    These are the ones with a valid certificate whose agent does not report through the API. A node that lies keeps the
    access of all nodes open, and is named by ``ovnhook status``.

    Args:
        nodes: all nodes, with the reports of their agents.
        known: trusted clients.
        now: seconds since 1970.
    """
    if known.is_closed:
        return ()
    moved = {one.name for one in nodes if one.uses_api}
    valid = (one for one in known.all if one.subject.role == x509.NODE and not 0 < one.expires < now)
    return tuple(sorted({one.subject.name for one in valid} - moved))
