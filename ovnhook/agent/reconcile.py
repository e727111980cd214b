"""Finds what differs between libvirt, OVN and Open vSwitch on this host, and mends it.

The hook does the work while all goes well. What it could not do (a database was away), or what nobody was told of (a
host that crashed), is found here: at the agent's start, when a domain goes, when libvirt was lost, when the hook had to
let a domain start without its network, and every minute. A difference is acted on when it is seen twice, and only on
rows of this host.
"""

from __future__ import annotations

import logging
import queue
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from ovnhook import domainxml, plan
from ovnhook.agent.hypervisor import Hypervisor
from ovnhook.agent.server import DomainLocks
from ovnhook.config import Config
from ovnhook.deadline import Deadline
from ovnhook.errors import OvnhookError, Unavailable
from ovnhook.host import Host
from ovnhook.model import Domain, Keeper, Port

_log = logging.getLogger(__name__)

_PERIOD = 60.0  # seconds between two looks when nothing is wrong
_SOON = 2.0  # seconds, the most until the next look when something is
_PATIENCE = 10.0  # seconds for reading what there is


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be.

    Attributes:
        domain: whose.
        what: in words, for the log; with `domain`, what makes it the same one when it is seen again.
    """

    domain: UUID
    what: str


class Reconciler:
    """Looks and mends until the process ends.

    Args:
        config: where the integration bridge is, and how long an operation may take.
        host: reads and does the work.
        domains: the locks that the hook's requests take too.
    """

    def __init__(self, config: Config, host: Host, domains: DomainLocks) -> None:
        self._config = config
        self._host = host
        self._domains = domains
        self._events: queue.SimpleQueue[Callable[[], bool]] = queue.SimpleQueue()
        self._hypervisor = Hypervisor(
            on_gone=lambda domain: self._events.put(partial(self._forget_if_gone, domain)),
            on_arrived=lambda domain: self._events.put(partial(self._arrived, domain)),
            on_lost=self.wake,
        )
        self._seen: frozenset[Difference] = frozenset()
        self._said = ""

    def wake(self) -> None:
        """Look soon: something is known to be missing."""
        self._events.put(lambda: False)

    def run(self) -> None:
        """Look and mend, for ever."""
        next_look = time.monotonic()
        while True:
            try:
                event = self._events.get(timeout=max(0.0, next_look - time.monotonic()))
                wait = next_look - time.monotonic() if event() else _SOON
            except queue.Empty:
                wait = _PERIOD if self._look() else _SOON
            next_look = min(next_look, time.monotonic()) + random.uniform(0.5, 1.0) * wait

    def _forget_if_gone(self, domain: UUID) -> bool:
        """Give back the leases of a domain that stopped or was undefined, if it is not there any more."""
        try:
            if not self._hypervisor.knows(domain):
                self._forget(domain)
        except OvnhookError as error:
            _log.log(logging.getLevelName(error.log_level), "domain %s may have gone: %s", domain, error)
            return False
        return True

    def _arrived(self, domain: UUID) -> bool:
        """Take over the ports of a domain that has migrated here."""
        try:
            self._arrive(domain)
        except OvnhookError as error:
            _log.log(logging.getLevelName(error.log_level), "domain %s has arrived: %s", domain, error)
            return False
        return True

    def _look(self) -> bool:
        """Compare, and mend what was already so the last time; whether nothing is left to mend."""
        try:
            mends = self._differences()
        except OvnhookError as error:
            if str(error) != self._said:  # once, not every two seconds: a gateway host may never have libvirt
                _log.log(logging.getLevelName(error.log_level), "could not compare: %s", error)
            self._said = str(error)
            return False
        self._said = ""
        known, self._seen = self._seen, frozenset(mends)
        for difference in known & self._seen:
            _log.warning("mending: domain %s: %s", difference.domain, difference.what)
            try:
                mends[difference]()
            except Unavailable as error:
                _log.warning("could not mend domain %s: %s", difference.domain, error)
            except OvnhookError as error:
                _log.error("could not mend domain %s: %s", difference.domain, error)
                mends.pop(difference)  # not before somebody changes what is wrong, or a minute has passed
        return not mends

    def _differences(self) -> dict[Difference, Callable[[], None]]:
        """What is not as it should be, and what mends it."""
        deadline = Deadline.after(_PATIENCE)
        northbound, vswitch = self._host.northbound, self._host.vswitch
        host = vswitch.chassis(deadline)
        # The databases first: a port that was there before its domain was seen not to run is really left over.
        ports = northbound.ports(deadline, host=host)
        holdings = northbound.holdings(deadline, host=host)
        arriving = northbound.holdings(deadline, moving_to=host)
        bound = vswitch.ports(deadline)
        domains = self._hypervisor.domains()
        mends: dict[Difference, Callable[[], None]] = {}
        for port in ports:
            if port.kept_by is Keeper.LIBVIRT and port.domain not in domains.running:
                left_over = Difference(port.domain, f"port {port.id} ({port.mac}) is there, the domain does not run")
                mends[left_over] = partial(self._detach, Domain(port.domain, port.domain_name, macs=(port.mac,)))
        for holding in holdings:
            if holding.kept_by is Keeper.LIBVIRT and holding.domain not in domains.known:
                forgotten = Difference(holding.domain, f"it has leases as {holding.domain_name}, and does not exist")
                mends[forgotten] = partial(self._forget, holding.domain)
        for holding in arriving:
            name = holding.domain_name
            if holding.domain in domains.running.keys() - domains.paused:
                arrived = Difference(holding.domain, f"{name} has come from {holding.host}, its ports have not")
                mends[arrived] = partial(self._arrive, holding.domain)
            elif holding.domain not in domains.running:
                awaited = Difference(holding.domain, f"{name} was to come from {holding.host} and has not")
                mends[awaited] = partial(self._detach, Domain(holding.domain, name))
        there = {(port.domain, port.mac): port for port in ports}
        for uuid in domains.running.keys() - {holding.domain for holding in arriving}:
            mends |= self._missing(domains.running[uuid], there, bound)
        return mends

    def _missing(
        self, xml: bytes, there: Mapping[tuple[UUID, str], Port], bound: Mapping[str, Mapping[str, str]]
    ) -> dict[Difference, Callable[[], None]]:
        """What a running domain lacks."""
        try:
            domain = domainxml.parse(xml, self._config.integration_bridge)
        except OvnhookError as error:
            _log.error("%s", error)
            return {}
        for interface in domain.interfaces:
            port = there.get((domain.uuid, interface.mac))
            iface_id = bound.get(interface.device, {}).get("iface-id")
            wanted = plan.port_id(domain, interface)
            if port is None or port.id != wanted or iface_id != wanted:
                what = f"interface {interface.mac} ({interface.device}) of {domain.name} is not bound to port {wanted}"
                return {Difference(domain.uuid, what): partial(self._attach, domain)}
        return {}

    def _attach(self, domain: Domain) -> None:
        with self._domains.hold(domain.uuid, deadline := Deadline.after(self._config.deadline)):
            self._host.attach(domain, deadline, take_over=False)

    def _arrive(self, domain: UUID) -> None:
        with self._domains.hold(domain, deadline := Deadline.after(self._config.deadline)):
            self._host.arrive(domain, deadline)

    def _detach(self, domain: Domain) -> None:
        with self._domains.hold(domain.uuid, deadline := Deadline.after(self._config.deadline)):
            self._host.detach(domain, deadline)

    def _forget(self, domain: UUID) -> None:
        with self._domains.hold(domain, deadline := Deadline.after(self._config.deadline)):
            self._host.forget(domain, deadline)
