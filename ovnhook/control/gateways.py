"""Scheduling of gateways: the hosts that a router's external gateway port may be on, and their priorities.

Hosts are eligible by ``ovn-cms-options`` and ``ovn-bridge-mappings`` (ovn-controller(8)), unless their agent reports
that the uplink is down, which OVN does not detect. OVN fails over when a host dies. The new active gateway then gets
the highest priority, to avoid a failback before the former host can forward. Control services may do this concurrently,
with the same result.

One failover OVN does not do: a gateway that reaches no other chassis releases its ports, unless it is the only one of
its HA_Chassis_Group (``ha_chassis_group_is_active`` in ovn-controller). The last host of a cloud therefore becomes the
only gateway here, until another one reports again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, OvnhookError, Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.control import upgrade
from ovnhook.control.loop import Loop
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis.problems import STALE
from ovnhook.resources.chassis import Node
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.values import Router

_log = logging.getLogger(__name__)

_SCAN_INTERVAL = 1.0  # seconds between two scans
_POLL_INTERVAL = 0.25  # seconds between two reads of the uplinks' state, which must not wait for the next scan
_TIMEOUT = 5.0  # seconds for one scan
_MAX_CONFLICTS = 3  # consecutive conflicts that are not logged: usually another control service was faster


class Gateways:
    """Schedules gateways while its loop runs.

    Args:
        northbound: northbound database, with routers and priorities.
        southbound: southbound database, with hosts and active gateways.
    """

    def __init__(self, northbound: Northbound, southbound: Southbound) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._errors = LogOnce(_log, "cannot schedule gateways")
        self._conflicts: Counter[str] = Counter()
        self._failed: dict[str, str] = {}
        self._down: dict[str, str] = {}
        self._seen: dict[str, tuple[tuple[str, ...], str]] = {}
        self._next_scan = 0.0
        self.loop = Loop("gateways", self._step, _POLL_INTERVAL)

    @property
    def failures(self) -> Mapping[str, str]:
        """Errors of routers whose gateways could not be set, by router."""
        return dict(self._failed)

    def schedule(self, deadline: Deadline) -> None:
        """Scan now, and log any error.

        Args:
            deadline: when to give up.
        """
        self._log_errors(lambda: self._scan({}, deadline))

    def _step(self) -> None:
        if time.monotonic() >= self._next_scan:
            self._log_errors(lambda: self._scan(self._seen, Deadline.after(_TIMEOUT)))
            self._next_scan = time.monotonic() + _SCAN_INTERVAL
        elif self._has_uplink_changed():
            self.schedule(Deadline.after(_TIMEOUT))

    def _has_uplink_changed(self) -> bool:
        """Poll the uplinks; True if one went down or up."""
        before = self._down
        try:
            self._down = self._southbound.uplinks_down(Deadline.after(_TIMEOUT))
        except OvnhookError:
            return False  # the next scan, within a second, logs the error
        return self._down != before

    def _log_errors(self, scan: Callable[[], None]) -> None:
        """Scan, and log errors once; a few conflicts are not errors."""
        with self._errors.logged():
            try:
                scan()
                del self._conflicts[""]
            except Conflict:
                self._conflicts[""] += 1
                if self._conflicts[""] >= _MAX_CONFLICTS:
                    raise

    def _scan(self, seen: dict[str, tuple[tuple[str, ...], str]], deadline: Deadline) -> None:
        """Scan once.

        Args:
            seen: priorities and active gateway of each router in the previous scan. An active gateway gets the highest
                priority only if it was active in two scans, so that a move to another host is not undone.
            deadline: when to give up.
        """
        cloud = self._northbound.cloud(deadline)
        if routers := [one for one in cloud.of(Router) if one.external]:
            self._prioritize(routers, seen, deadline)
        # Last, so that a conversion that fails does not prevent failover.
        upgrade.convert(self._northbound, cloud, deadline)

    def _prioritize(
        self, routers: Sequence[Router], seen: dict[str, tuple[tuple[str, ...], str]], deadline: Deadline
    ) -> None:
        nodes, active_gateways = self._southbound.nodes(deadline), self._southbound.active_gateways(deadline)
        priorities = self._northbound.gateways(deadline)
        silent = _silent(nodes)
        for one in routers:
            before, active = priorities.get(one.name, ()), active_gateways.get(one.name, "")
            stays = seen.get(one.name) == (before, active)
            seen[one.name] = before, active
            is_alone = len(nodes) - len(silent) == 1 and stays and (not active or active in silent)
            lost = silent if is_alone else silent.difference(before)
            after = router_rules.gateways(one, nodes, before, active if stays else "", lost)
            self._set(one.name, before, after, deadline)
        self._failed = {name: error for name, error in self._failed.items() if name in {one.name for one in routers}}

    def _set(self, name: str, before: tuple[str, ...], after: tuple[str, ...], deadline: Deadline) -> None:
        """Set the gateways of one router; its failure does not affect other routers."""
        try:
            if after != before:
                self._northbound.commit([router_rules.put_gateways(name, before, after)], deadline)
                _log.info("router %s: gateways set to %s", name, ", ".join(after) or "none: no host is eligible")
        except Conflict as error:
            self._conflicts[name] += 1
            if self._conflicts[name] >= _MAX_CONFLICTS:
                self._fail(name, f"{self._conflicts[name]} consecutive conflicts: {error}", str(error))
        except Unavailable:
            raise
        except OvnhookError as error:
            self._fail(name, str(error), str(error))
        else:
            del self._conflicts[name]
            self._failed.pop(name, None)
            self._errors.succeeded(name)

    def _fail(self, name: str, message: str, error: str) -> None:
        if self._errors.is_new(error, name):
            _log.warning("router %s: cannot set its gateways: %s", name, message)
        self._failed[name] = error


def _silent(nodes: Iterable[Node]) -> set[str]:
    """Hosts whose agent no longer reports."""
    now = time.time()
    return {node.name for node in nodes if node.agent and abs(now - node.agent_seen) >= STALE}
