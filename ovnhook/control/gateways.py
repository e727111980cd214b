"""Keeps each router's leg to the outside on hosts that can have it, and with the one that has it.

A host says itself that it can: ``ovn-cms-options`` and ``ovn-bridge-mappings`` (ovn-controller(8)), and its agent says
when the link outside is down, of which OVN knows nothing. OVN moves the leg by itself when the host dies; here it is
made the preferred one where it went, so that it does not go back before the old host can forward. Several control
services may do this at once: all of them come to the same end.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, OvnhookError, Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.control import upgrade
from ovnhook.control.loop import Loop
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.values import Router

_log = logging.getLogger(__name__)

_PERIOD = 1.0  # seconds between two looks
_GLANCE = 0.25  # seconds between two glances at what must not wait for the next look
_PATIENCE = 5.0  # seconds for one look
_CONFLICTS = 3  # in a row, from which on it is not only that another control service was faster


class Gateways:
    """Looks and moves while its loop runs.

    Args:
        northbound: where the routers are.
        southbound: tells the hosts, and where the legs are.
    """

    def __init__(self, northbound: Northbound, southbound: Southbound) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._errors = LogOnce(_log, "gateways are left as they are")
        self._conflicts: Counter[str] = Counter()
        self._failed: dict[str, str] = {}
        self._down: dict[str, str] = {}
        self._seen: dict[str, tuple[tuple[str, ...], str]] = {}
        self._next_look = 0.0
        self.loop = Loop("gateways", self._step, _GLANCE)

    @property
    def failures(self) -> Mapping[str, str]:
        """Why gateways of routers could not be set, by router; of those that are set now there is none."""
        return dict(self._failed)

    def look(self, deadline: Deadline) -> None:
        """Put in the hosts that can, and out those that can't any more, as far as the databases can be reached.

        Args:
            deadline: when to give up.
        """
        self._survive(lambda: self._look({}, deadline))

    def _step(self) -> None:
        if time.monotonic() >= self._next_look:
            self._survive(lambda: self._look(self._seen, Deadline.after(_PATIENCE)))
            self._next_look = time.monotonic() + _PERIOD
        elif self._is_news():
            self.look(Deadline.after(_PATIENCE))

    def _is_news(self) -> bool:
        """Whether another uplink is down than before, or one is up again."""
        before = self._down
        try:
            self._down = self._southbound.uplinks_down(Deadline.after(_PATIENCE))
        except OvnhookError:
            return False  # the next look, within a second, tells it
        return self._down != before

    def _survive(self, look: Callable[[], None]) -> None:
        """Look; what goes wrong is logged, for the next look may go well, and nobody else looks."""
        with self._errors.survived():
            try:
                look()
                del self._conflicts[""]
            except Conflict:
                self._conflicts[""] += 1
                if self._conflicts[""] >= _CONFLICTS:
                    raise  # else, most often, another control service was faster

    def _look(self, seen: dict[str, tuple[tuple[str, ...], str]], deadline: Deadline) -> None:
        """Look once. `seen` is what the look before saw, by router: the order, and the host that has the leg.

        A host that has the leg is preferred when it is seen with it twice: one that is being moved away from is not.
        """
        cloud = self._northbound.cloud(deadline)
        if routers := [one for one in cloud.of(Router) if one.external]:
            self._order(routers, seen, deadline)
        # Last, for whatever keeps rows from being moved over must not keep gateways from being moved.
        upgrade.carry_out(self._northbound, cloud, deadline)

    def _order(
        self, routers: Sequence[Router], seen: dict[str, tuple[tuple[str, ...], str]], deadline: Deadline
    ) -> None:
        nodes, legs = self._southbound.nodes(deadline), self._southbound.active_gateways(deadline)
        orders = self._northbound.gateways(deadline)
        for one in routers:
            before, active = orders.get(one.name, ()), legs.get(one.name, "")
            stays = seen.get(one.name) == (before, active)
            seen[one.name] = before, active
            after = router_rules.gateways(one, nodes, before, active if stays else "")
            self._set(one.name, before, after, deadline)
        self._failed = {name: said for name, said in self._failed.items() if name in {one.name for one in routers}}

    def _set(self, name: str, before: tuple[str, ...], after: tuple[str, ...], deadline: Deadline) -> None:
        """Set the gateways of one router; a failure is kept to it, for the other routers need theirs too."""
        try:
            if after != before:
                self._northbound.commit([router_rules.put_gateways(name, before, after)], deadline)
                _log.info("router %s: its gateways are %s", name, ", ".join(after) or "none: no host can be one")
        except Conflict as error:  # most often another control service was faster, with the same end in mind
            self._conflicts[name] += 1
            if self._conflicts[name] >= _CONFLICTS:
                self._fail(name, f"{self._conflicts[name]} conflicts in a row: {error}", str(error))
        except Unavailable:
            raise
        except OvnhookError as error:
            self._fail(name, str(error), str(error))
        else:
            del self._conflicts[name]
            self._failed.pop(name, None)
            self._errors.succeeded(name)

    def _fail(self, name: str, words: str, error: str) -> None:
        if self._errors.is_new(error, name):
            _log.warning("router %s: its gateways are left as they are: %s", name, words)
        self._failed[name] = error
