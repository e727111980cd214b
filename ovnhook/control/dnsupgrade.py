"""Upgrade of subnets whose guests ask OVN for names: they get a resolver.

Several control services may do this concurrently: of two transactions one conflicts. Guests have working names all the
time, since each step waits until the one before has reached everybody (docs/explanation/decisions/0019).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict
from ovnhook.control.agentstates import GRACE
from ovnhook.control.loop import Loop
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis.problems import STALE
from ovnhook.resources.kind import Change
from ovnhook.resources.registry import FORMAT
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import earlier
from ovnhook.resources.subnet.values import Subnet

_log = logging.getLogger(__name__)

_INTERVAL = 2.0  # seconds between two steps
_IDLE_INTERVAL = 60.0  # seconds, the same when there is nothing to upgrade: a backup may be restored
_TIMEOUT = 5.0  # seconds for one step
_SETTLING = 10.0  # seconds until a report of an agent is one of a host that knows of all resolvers


class DnsUpgrade:
    """Upgrades subnets while its loop runs.

    1. All agents know resolvers: the rows get a format that earlier versions do not change; new subnets are as they
       should be.
    2. Subnets that have none get a resolver: addresses and a port.
    3. The resolvers run on all hosts: DHCP names them.
    4. A DHCP lease time later all guests have heard of it: OVN's DNS records leave the switch.

    Args:
        northbound: northbound database.
        southbound: southbound database, with the reports of agents.
        clock: returns the seconds since 1970.
        uptime: returns the monotonic time.
    """

    def __init__(
        self,
        northbound: Northbound,
        southbound: Southbound,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._clock = clock
        self._uptime = uptime
        self._started_at = uptime()
        self._next_step = self._next_search = 0.0
        self._resolvers: frozenset[IPAddress] = frozenset()
        self._resolvers_since = 0.0
        self.loop = Loop("dns upgrade", self._step, _INTERVAL, "cannot upgrade the guests' DNS")

    def _step(self) -> None:
        if self._uptime() >= self._next_step and not self.upgrade(Deadline.after(_TIMEOUT)):
            self._next_step = self._uptime() + _IDLE_INTERVAL

    def upgrade(self, deadline: Deadline) -> bool:
        """Take the next step, if it is due; return False if there is nothing left to upgrade."""
        cloud = self._northbound.cloud(deadline)
        if cloud.registry is None:
            return False
        if cloud.registry.format >= FORMAT and not any(one.has_records for one in cloud.of(Subnet)):
            return False
        what, changes = self._plan(cloud, deadline)
        if changes:
            try:
                self._northbound.commit(changes, deadline)
                _log.info("%s", what)
            except Conflict as error:  # usually another control service was faster
                _log.info("upgrade of the guests' DNS conflicted: %s", error)
        return True

    def _plan(self, cloud: Cloud, deadline: Deadline) -> tuple[str, tuple[Change, ...]]:
        now = self._clock()
        if changes := earlier.remove_records(cloud, int(now)):
            return "OVN's DNS records are removed from switches whose guests know the resolver", changes
        is_settled = self._uptime() - self._started_at >= GRACE
        nodes = [
            one
            for one in self._southbound.nodes(deadline)
            if one.agent and not (is_settled and abs(now - one.agent_seen) >= STALE)
        ]
        if not (nodes or is_settled):
            return "", ()  # no agent has reported yet
        if cloud.registry and cloud.registry.format < FORMAT:
            known = not any(one.serves_dns is None for one in nodes)
            return "all agents know resolvers", earlier.use_resolvers(cloud) if known else ()
        if changes := self._add(cloud, deadline):
            return "subnets get resolvers", changes
        present = frozenset(where for one in cloud.of(Subnet) for where in one.resolvers)
        if present != self._resolvers:
            self._resolvers, self._resolvers_since = present, now
        since = self._resolvers_since + _SETTLING
        serve = all(one.serves_dns and one.agent_seen >= since for one in nodes)
        return "DHCP names the resolvers", earlier.announce_resolvers(cloud, int(now)) if serve else ()

    def _add(self, cloud: Cloud, deadline: Deadline) -> tuple[Change, ...]:
        """Changes that add resolvers. Subnets without a free address are tried again later: the search is slow."""
        if self._uptime() < self._next_search or not any(map(earlier.lacks_resolver, cloud.of(Subnet))):
            return ()
        leased = self._northbound.lease_uuids(deadline)
        changes = earlier.add_resolvers(cloud, lambda subnet: _Leased(subnet.name, leased))
        if not changes:
            self._next_search = self._uptime() + _IDLE_INTERVAL
        return changes


@dataclass(frozen=True)
class _Leased:
    """The leased addresses of a subnet.

    Attributes:
        subnet: its name.
        rows: UUIDs of the rows of all leases.
    """

    subnet: str
    rows: Collection[UUID]

    def __contains__(self, address: object) -> bool:
        return uuids.lease(self.subnet, str(address)) in self.rows
