"""Reconciliation of libvirt, OVN and Open vSwitch on this host.

Starts and stops are handled by the hook. libvirt calls no hook for hotplug or a changed definition: the reconciler
follows its events. Anything missed (an outage, a host crash) is found by a scan of all domains: at the agent's start,
after a lost connection, after a start without network, after a change in OVN that no operation here explains, and every
minute. A scan compares libvirt and Open vSwitch with the view of this host in OVN (ovnhook.agent.hostview). A
difference is repaired if two scans in a row find it, and is read again by key before and after the repair. Only objects
of this host are repaired (ovnhook.diagnosis.differences). A failed repair does not block others.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never
from uuid import UUID

from ovnhook.agent import domainstates
from ovnhook.agent.agenda import Agenda, Event, Failures, Scan
from ovnhook.agent.consent import MigrationConsent
from ovnhook.agent.hookoperation import HookOperation
from ovnhook.agent.host import Host
from ovnhook.agent.hostview import HostUpdates, HostView, ViewListeners
from ovnhook.agent.hypervisor import Hypervisor, Listeners
from ovnhook.agent.libvirtcalls import NoAnswer
from ovnhook.agent.lifecycle import time_limit
from ovnhook.agent.locks import DomainLocks
from ovnhook.agent.repair import Repairer
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.diagnosis.differences import compare, domains_without_port, known_domains, outgoing_migrations
from ovnhook.diagnosis.values import CheckResult, Difference, ManualRepair

_log = logging.getLogger(__name__)

_SCAN_INTERVAL = 60.0  # seconds between scans without differences
_RESCAN_DELAY = 2.0  # seconds, maximum until the next scan with differences
_UNREPAIRABLE_INTERVAL = 10.0  # seconds, maximum until the next scan while scans fail
_TIMEOUT = 10.0  # seconds for one read
_VIEW_TIMEOUT = 1.0  # seconds that a scan waits for the view, for example while the agent starts
_CHECK_PAUSE = 0.5  # seconds between the two scans of a check
_CHECK_TIMEOUT = 30.0  # seconds for a check with its repairs
_FAILURE_BUDGET = 10.0  # seconds that failing repairs of one scan may take
_PROBE_INTERVAL = 10.0  # seconds, maximum until a hanging domain is noticed
_IDLE_TIMEOUT = 2.0  # seconds, maximum between two heartbeats of the loop
_REPORT_AFTER = 3  # failed repairs in a row, after which the difference is reported


class Reconciler:
    """Compares and repairs until the process ends.

    Args:
        config: integration bridge and deadline of operations.
        host: repairs.
        updates: of this host's objects in OVN.
        domains: locks shared with hook calls.
        beat: heartbeat of the loop.
    """

    def __init__(
        self, config: Config, host: Host, updates: HostUpdates, domains: DomainLocks, beat: Callable[[], None]
    ) -> None:
        self._config = config
        self._host = host
        self._domains = domains
        self._beat = beat
        self._agenda = Agenda(time.monotonic)
        self._hypervisor = Hypervisor(
            Listeners(
                gone=partial(self._agenda.add, Event.GONE),
                arrived=partial(self._agenda.add, Event.ARRIVED),
                changed=partial(self._agenda.add, Event.CHANGED),
                metadata_changed=partial(self._agenda.add, Event.METADATA_CHANGED),
                connected=domains.end_transition,  # the events of calls before are lost
                disconnected=self._lost,
                responsive=self.wake,
                transition_ended=domains.end_transition,
            )
        )
        self._repairer = Repairer(config, host, domains, self._hypervisor)
        self._consent = MigrationConsent(
            self._migrates, host.confirm_migration, time_limit(HookOperation.MIGRATE, config)
        )
        self.view = HostView(
            updates,
            host.vswitch.chassis,
            ViewListeners(synced=self.wake, changed=self._changed, requested=self._consent.consider),
        )
        """View of this host in OVN. A thread has to call its `run`."""
        self._scanning = threading.Lock()
        self._first_seen: dict[Difference, float] = {}  # time on the monotonic clock
        self._failures: Failures[Difference] = Failures(time.monotonic)
        self._next_probe = 0.0
        self._hanging: frozenset[UUID] | None = frozenset()
        self._errors = LogOnce(_log, "scan failed")
        self._failed_scans = 0
        self.problems: tuple[str, ...] = ()
        """Problems to report: hanging domains, and differences that can't be repaired."""

    def wake(self) -> None:
        """Scan soon: a difference is known, or events may have been missed."""
        self._agenda.scan_within(_RESCAN_DELAY)

    def _lost(self) -> None:
        self._domains.end_transition()  # their events are lost
        self.wake()

    def _changed(self, domain: UUID) -> None:
        """Scan soon if somebody else has changed objects of a domain."""
        if not self._domains.explain_changes(domain):
            self._agenda.scan_after_change()

    def _migrates(self, domain: UUID) -> bool:
        """Return whether libvirt is migrating a domain to another host."""
        return domain not in self._domains.in_transition() and self._hypervisor.migrates(domain)

    def run(self) -> None:
        """Run the reconcile loop."""
        while True:
            self._beat()
            try:
                self._step()
            except Exception:  # the loop must go on
                _log.exception("unexpected error in the reconcile loop")
                self._agenda.scan_within(_RESCAN_DELAY)

    def _step(self) -> None:
        match self._agenda.next(_IDLE_TIMEOUT):
            case Scan():
                self._agenda.scan_within(self.scan())
            case (event, domain):
                self._handle(event, domain)
            case None:
                self._probe()

    def _probe(self) -> None:
        """Look for hanging domains now and then: there are no events for them."""
        if time.monotonic() < self._next_probe:
            return
        self._next_probe = time.monotonic() + random.uniform(0.5, 1.0) * _PROBE_INTERVAL
        hanging = self._hypervisor.hanging(self._domains.in_transition())
        if hanging != self._hanging:
            self._agenda.scan_within(_RESCAN_DELAY)
        self._hanging = hanging

    def check(self, *, repair: bool) -> list[CheckResult]:
        """Return the differences that two scans find; with `repair` repair each, or record why that failed.

        Raises:
            Unavailable: libvirt, Open vSwitch or the control service is unreachable, or the agent is busy.
        """
        deadline = Deadline.after(_CHECK_TIMEOUT)
        found = self._differences(deadline)
        if found:
            time.sleep(_CHECK_PAUSE)
            seen = {*found}
            found = [difference for difference in self._differences(deadline) if difference in seen]
        return [self._repaired(one, deadline) if repair else CheckResult(one) for one in found]

    def _handle(self, event: Event, uuid: UUID) -> None:
        """Handle an event; after a failure, which is logged, a scan follows."""
        try:
            match event:
                case Event.GONE:
                    self._forget_if_gone(uuid)
                case Event.ARRIVED:
                    with self._repairer.hold(uuid) as deadline:
                        self._host.finish_migration(uuid, deadline)
                case Event.CHANGED:
                    self._sync(uuid)
                case Event.METADATA_CHANGED:
                    self._sync(uuid, metadata_changed=True)
                case _:
                    assert_never(event)
        except OvnhookError as error:
            said = str(error) if str(error).startswith("domain ") else f"domain {uuid}: {error}"
            _log.log(logging.getLevelName(error.log_level), "%s", said)
            self._agenda.scan_within(_RESCAN_DELAY)

    def _forget_if_gone(self, uuid: UUID) -> None:
        """Release the leases of a domain that stopped or was undefined, if it does not exist any more."""
        read_at = time.monotonic()
        if self._repairer.ask(uuid) is None:
            with self._repairer.hold(uuid, read_at) as deadline:
                self._host.release_leases(uuid, deadline)

    def _sync(self, uuid: UUID, *, metadata_changed: bool = False) -> None:
        """Update ports and leases to a domain's current interfaces, definition and metadata."""
        read_at, seen = time.monotonic(), self._repairer.ask(uuid)
        if seen is None:
            return
        if seen.live:
            domain = domainstates.running(seen, self._config.integration_bridge)
            with self._repairer.hold(uuid, read_at) as deadline:
                attached = self._host.attach(domain, deadline, running=True)
            for error in attached.refused:
                _log.error("%s", error)
            if metadata_changed:
                for words in attached.pending_until_restart:
                    _log.warning("%s", words)
        elif seen.definition:
            domain = domainstates.defined(seen, self._config.integration_bridge)
            with self._repairer.hold(uuid, read_at) as deadline:
                self._host.update_leases(domain, deadline)

    def scan(self) -> float:
        """Compare, and repair what the previous scan found, too; return the seconds until the next scan."""
        read_at = time.monotonic()
        try:
            differences = self._differences(Deadline.after(_CHECK_TIMEOUT))
        except OvnhookError as error:
            self._failed_scans += 1
            self._errors.failed(error)  # a gateway host may have no libvirt
            self._first_seen = {}
            self.problems = (str(error),) if isinstance(error, NoAnswer) else ()
            return min(_UNREPAIRABLE_INTERVAL, _RESCAN_DELAY * 2.0 ** min(self._failed_scans - 1, 10))
        self._errors.succeeded()
        self._failed_scans = 0
        known = self._first_seen
        self._first_seen = {one: known.get(one, read_at) for one in differences}
        self._failures.keep(differences)
        ripe = [one for one in differences if one in known and read_at - known[one] >= one.grace_period]
        self._repair_all(self._failures.due(ripe))
        self.problems = tuple(
            str(one)
            for one in ripe
            if isinstance(one.repair, ManualRepair) or self._failures.times(one) >= _REPORT_AFTER
        )
        if self._domains.in_transition() or any(not self._failures.times(one) for one in differences):
            return _RESCAN_DELAY
        return min(_SCAN_INTERVAL, max(_RESCAN_DELAY, self._failures.wait()))

    def _repair_all(self, differences: Sequence[Difference]) -> None:
        """Repair differences in order. Failing repairs delay the others for a limited time only."""
        spent = 0.0
        for difference in differences:
            if spent > _FAILURE_BUDGET:
                break
            self._beat()
            began = time.monotonic()
            if not self._failures.times(difference) and not isinstance(difference.repair, ManualRepair):
                _log.warning("repairing: %s: %s", difference, difference.repair)
            try:
                self._repairer.repair(difference)
            except OvnhookError as error:
                spent += time.monotonic() - began
                if self._failures.add(difference, str(error)):  # once, not at every retry
                    level = logging.getLevelName(error.log_level)
                    _log.log(level, "not repaired: %s: %s", difference, error)

    def _differences(self, deadline: Deadline) -> list[Difference]:
        """Scan for differences."""
        if not self._scanning.acquire(timeout=deadline.remaining):
            raise Unavailable("another scan of this host is in progress", "journalctl -u ovnhook-agent")
        try:
            vswitch = self._host.vswitch
            # A deadline for each read: a slow one, of libvirt for example, must not fail the next.
            host = vswitch.chassis(Deadline.after(_TIMEOUT))
            # OVN first: then a port without a running domain is really left over.
            inventory = self.view.inventory(host, Deadline.after(_VIEW_TIMEOUT))
            taps = vswitch.taps(Deadline.after(_TIMEOUT))
            in_transition = self._domains.in_transition()
            known, moving = known_domains(inventory, taps), outgoing_migrations(host, inventory)
            seen = self._hypervisor.domains(known, moving, in_transition)
            domains, invalid = domainstates.domains(seen, self._config.integration_bridge)
            for error in invalid:
                _log.error("%s", error)
            reading = Deadline.after(_TIMEOUT)
            for domain in domains_without_port(inventory, domains):
                inventory = inventory.updated(self._host.control.inventory(domain, host, reading))
            return list(compare(host, inventory, taps, domains))
        finally:
            self._scanning.release()

    def _repaired(self, difference: Difference, deadline: Deadline) -> CheckResult:
        _log.warning("repairing on request: %s: %s", difference, difference.repair)
        try:
            deadline.check("timeout of this check: try again")
            self._repairer.repair(difference)
        except OvnhookError as error:
            return CheckResult(difference, error=str(error))
        return CheckResult(difference, repaired=True)
