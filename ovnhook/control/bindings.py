"""Guard of port bindings: a host that has bound a port in addition, to be sent copies of its packets, is removed."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.control.loop import Loop
from ovnhook.databases import bindings
from ovnhook.databases.bindings import UninvitedBinding
from ovnhook.diagnosis.cloudstate import Eavesdropper
from ovnhook.ovsdb.connection import Database

_log = logging.getLogger(__name__)

_INTERVAL = 1.0  # seconds between two scans
_TIMEOUT = 5.0  # seconds for one scan
_RETENTION = 3600.0  # seconds for which the status reports a removed binding
_MAX_REPORTED = 20


class BindingsGuard:
    """Removes uninvited bindings while its loop runs.

    It removes those that it finds in two scans: when a migration ends, northd and ovn-controller change their columns
    one after the other.

    Args:
        southbound: southbound database.
    """

    def __init__(self, southbound: Database) -> None:
        self._southbound = southbound
        self._suspected: frozenset[UninvitedBinding] = frozenset()
        self._removed: dict[tuple[str, str], Eavesdropper] = {}
        self.loop = Loop("bindings", self._step, _INTERVAL, "cannot check where ports are bound")

    @property
    def eavesdroppers(self) -> tuple[Eavesdropper, ...]:
        """Hosts whose bindings were removed recently."""
        return tuple(self._removed.copy().values())

    def scan(self, deadline: Deadline) -> None:
        """Remove what was there in the previous scan, too."""
        found = bindings.read(self._southbound, deadline)
        removed, self._suspected = found & self._suspected, found
        now = time.time()
        if removed:
            bindings.remove(self._southbound, removed, deadline)
        for one in removed:
            if (one.host, one.port) not in self._removed:
                _log.error(
                    "host %s has bound port %s of domain %s in addition: removed", one.host, one.port, one.domain
                )
            self._removed[one.host, one.port] = Eavesdropper(one.host, one.port, one.domain, now)
        recent = [(key, one) for key, one in self._removed.items() if one.seen > now - _RETENTION]
        self._removed = dict(recent[-_MAX_REPORTED:])

    def _step(self) -> None:
        with suppress(Unavailable):  # the status says so
            self.scan(Deadline.after(_TIMEOUT))
