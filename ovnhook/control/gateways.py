"""Keeps each router's leg to the outside on hosts that can have it, and with the one that has it.

A host says itself that it can: ``ovn-cms-options`` and ``ovn-bridge-mappings`` (ovn-controller(8)). OVN moves the leg
by itself when the host dies; here it is made the preferred one where it went, so that it does not go back before the
old host can forward. Several control services may do this at once: all of them come to the same end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ovnhook import router
from ovnhook.deadline import Deadline
from ovnhook.errors import Conflict, OvnhookError
from ovnhook.model import Router
from ovnhook.ovsdb.northbound import Northbound
from ovnhook.ovsdb.southbound import Chassis, Southbound
from ovnhook.plan import SetGateways

_log = logging.getLogger(__name__)

_PERIOD = 1.0  # seconds between two looks
_PATIENCE = 5.0  # seconds for one look


class Gateways:
    """Looks and moves from when it is started until it is stopped.

    Args:
        northbound: where the routers are.
        southbound: tells the hosts, and where the legs are.
    """

    def __init__(self, northbound: Northbound, southbound: Southbound) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._stop = threading.Event()
        self._said = ""
        self._seen: dict[str, tuple[tuple[str, ...], str]] = {}
        self._thread = threading.Thread(target=self._run, name="gateways", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(2 * _PATIENCE)

    def look(self, deadline: Deadline) -> None:
        """Put in the hosts that can, and out those that can't any more, as far as the databases can be reached.

        Args:
            deadline: when to give up.
        """
        self._survive(lambda: self._look({}, deadline))

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD):
            self._survive(lambda: self._look(self._seen, Deadline.after(_PATIENCE)))

    def _survive(self, look: Callable[[], None]) -> None:
        try:
            look()
            self._said = ""
        except Conflict:
            return  # somebody else was faster, with the same end in mind
        except OvnhookError as error:
            if str(error) != self._said:  # once, not every second of an outage
                _log.log(logging.getLevelName(error.log_level), "gateways are left as they are: %s", error)
            self._said = str(error)
        except Exception:  # whatever it is, the next look may go well, and nobody else looks
            _log.exception("gateways are left as they are, for a reason that was not foreseen")

    def _look(self, seen: dict[str, tuple[tuple[str, ...], str]], deadline: Deadline) -> None:
        """Look once. `seen` is what the look before saw, by router: the order, and the host that has the leg.

        A host that has the leg is preferred when it is seen with it twice: one that is being moved away from is not.
        """
        routers = [one for one in self._northbound.cloud(deadline).routers if one.external]
        if not routers:
            return
        hosts, legs = self._southbound.chassis(deadline), self._southbound.active(deadline)
        orders = self._northbound.gateways(deadline)
        for one in routers:
            before, active = orders.get(one.name, ()), legs.get(one.name, "")
            stays = seen.get(one.name) == (before, active)
            seen[one.name] = before, active
            after = router.gateways(one.name, _able(one, hosts), before, active if stays else "")
            if after != before:
                self._northbound.commit([SetGateways(one.name, before, after)], deadline)
                _log.info("router %s: its gateways are %s", one.name, ", ".join(after) or "none: no host can be one")


def _able(one: Router, hosts: list[Chassis]) -> list[str]:
    """The hosts that can have a router's leg."""
    return [
        host.name
        for host in hosts
        if host.is_gateway and one.external and one.external.physical_network in host.physical_networks
    ]
