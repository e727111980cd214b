"""Ports in security groups that have arrived by a migration, and the end of what they may more than others.

Several control services may do this concurrently.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.control.loop import Loop
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.security_group.cascade import arrival
from ovnhook.resources.security_group.rows import ARRIVALS_UUID

_INTERVAL = 5.0  # seconds between two looks
_DURATION = 60.0  # seconds: TCP repeats a segment several times meanwhile
_TIMEOUT = 5.0  # seconds for one look


class ArrivedPorts:
    """Removes ports from the group of arrivals a minute after they were first seen in it.

    Args:
        northbound: northbound database.
        clock: returns the monotonic time.
    """

    def __init__(self, northbound: Northbound, clock: Callable[[], float] = time.monotonic) -> None:
        self._northbound = northbound
        self._clock = clock
        self._seen: dict[UUID, float] = {}
        self.loop = Loop("arrivals", self.step, _INTERVAL, "cannot end arrivals")

    def step(self) -> None:
        """Look at the group once."""
        now, deadline = self._clock(), Deadline.after(_TIMEOUT)
        ports, _ = self._northbound.members(ARRIVALS_UUID, deadline)
        self._seen = {port.uuid: self._seen.get(port.uuid, now) for port in ports}
        over = [port for port in ports if now - self._seen[port.uuid] >= _DURATION]
        if over:
            self._northbound.database.transact([arrival(port, "delete") for port in over], deadline)
