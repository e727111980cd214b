"""States of the hosts' agents, which decide whether others may take over a host's domains."""

from __future__ import annotations

import time
from collections.abc import Callable

from ovnhook.base.deadline import Deadline
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis.problems import STALE
from ovnhook.domains.presence import AgentState

GRACE = STALE
"""Seconds after the start of this service in which no host that has reported counts as dead.

Nobody reports while no control service runs. After an outage all reports are old until the agents are back, and a node
that is faster could take the others' domains.
"""


class AgentStates:
    """Finds the state of a host's agent.

    Args:
        southbound: southbound database, which has the hosts' reports.
        is_watching: returns whether a host's agent has an open stream at this control service.
        clock: returns the seconds since 1970.
        uptime: returns the monotonic time.
    """

    def __init__(
        self,
        southbound: Southbound,
        is_watching: Callable[[str], bool] = lambda _: False,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._southbound = southbound
        self._is_watching = is_watching
        self._clock = clock
        self._uptime = uptime
        self._started_at = uptime()

    def find(self, host: str, deadline: Deadline) -> AgentState:
        """Find the state of a host's agent; one that was removed, or never reported, is dead.

        Raises:
            Unavailable: the southbound database did not answer.
        """
        if self._is_watching(host):
            return AgentState.ALIVE
        report = self._southbound.report_time(host, deadline)
        is_stale = report is None or abs(self._clock() - report.seen) >= STALE
        if report is None or (is_stale and self._uptime() - self._started_at >= GRACE):
            return AgentState.DEAD
        return AgentState.ALIVE if report.uses_api else AgentState.EARLIER
