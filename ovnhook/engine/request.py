"""A requested migration: how long it is valid, and the wait for its confirmation by the source."""

from __future__ import annotations

import time
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.base.text import quoted
from ovnhook.databases import queries
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain
from ovnhook.resources.lease.values import LeaseIndex
from ovnhook.resources.state import Observed

_SKEW = 15  # seconds by which the clocks of control hosts may differ
_SHORTEST, _LONGEST = 0.01, 0.1  # seconds between two reads
_WITHDRAWAL = 0.2  # seconds before the deadline at which a request is withdrawn


def now() -> int:
    """Seconds since 1970, which all control hosts share."""
    return int(time.time())


class Request:
    """A request of a destination.

    Args:
        northbound: northbound database.
        domain: UUID of the domain.
        host: the destination.
        deadline: when to give up.

    Attributes:
        until: time at which the request ends, in seconds since 1970.
        source: the host that has to confirm it, or "".
    """

    def __init__(self, northbound: Northbound, domain: UUID, host: str, deadline: Deadline) -> None:
        self._northbound = northbound
        self._domain = domain
        self._host = host
        self._deadline = deadline
        self._started_at = time.monotonic()
        self.until = now() + int(deadline.remaining) + _SKEW
        self.source = ""

    def wait(self) -> bool:
        """Wait until the request is confirmed or withdrawn, or time is up; return whether it is confirmed."""
        pause = _SHORTEST
        while self._deadline.remaining > pause + _WITHDRAWAL:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
            lease_index = self._read()
            if lease_index is None or lease_index.requested_by != self._host:
                break
        return self._is_confirmed()

    def check(self, domain: Domain) -> None:
        """Raise Unavailable unless the request was confirmed at the last moment."""
        if not self._is_confirmed():
            raise Unavailable(
                f"domain {domain.name}: host {self.source} has not confirmed within"
                f" {time.monotonic() - self._started_at:.1f} s that it migrates to {self._host}",
                f"on {self.source}: systemctl status ovnhook-agent; virsh domjobinfo {quoted(domain.name)}",
            )

    def _is_confirmed(self) -> bool:
        lease_index = self._read()
        return lease_index is not None and self._host in (lease_index.host, lease_index.moving_to)

    def _read(self) -> LeaseIndex | None:
        query = queries.lease_index(self._domain)
        return self._northbound.query(Observed(), [query], self._deadline).lease_index
