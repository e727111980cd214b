"""Reconciliation of libvirt, OVN and Open vSwitch on this host.

Starts and stops are handled by the hook. libvirt calls no hook for hotplug or a changed definition: the reconciler
follows its events. Anything missed (a database outage, a host crash) is found by a scan of all domains: at the agent's
start, after a lost connection, after a start without network, and every minute. A difference is repaired if two scans
in a row find it, and is read again by key before and after the repair. Only rows of this host are repaired
(ovnhook.diagnosis.differences). A failed repair does not block others.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import assert_never
from uuid import UUID

from ovnhook.agent import domainstates
from ovnhook.agent.agenda import Agenda, Event, Failures, Scan
from ovnhook.agent.host import Host
from ovnhook.agent.hypervisor import DomainState, DomainStates, Hypervisor, Listeners
from ovnhook.agent.libvirtcalls import NoAnswer
from ovnhook.agent.locks import DomainLocks
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NewerFormat, OvnhookError, Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.databases import inventory
from ovnhook.diagnosis.differences import (
    compare,
    consistent_names,
    foreign_domains,
    interfaces_without_port,
    known_domains,
    outgoing_migrations,
    required_claims,
    subnets_to_check,
    subnets_with_mtu,
    with_claims,
)
from ovnhook.diagnosis.values import (
    Arrive,
    Attach,
    CheckResult,
    Detach,
    Difference,
    Domains,
    Forget,
    Keep,
    ManualRepair,
    ReleaseLease,
    Rename,
    Repair,
    Stay,
    Unplug,
    domain_of,
)
from ovnhook.domains.inventory import ConsistentNames
from ovnhook.resources.kind import Put
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.port.values import Claim
from ovnhook.resources.subnet.kind import DNS_RECORDS
from ovnhook.resources.subnet.values import DnsRecords

_log = logging.getLogger(__name__)

_SCAN_INTERVAL = 60.0  # seconds between scans without differences
_RESCAN_DELAY = 2.0  # seconds, maximum until the next scan with differences
_UNREPAIRABLE_INTERVAL = 10.0  # seconds, maximum until the next scan while scans fail
_TIMEOUT = 10.0  # seconds for one read of a database
_FULL_RESYNC_INTERVAL = 600.0  # seconds, maximum until unchanged DNS records and claims are read again
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
        host: reads and repairs.
        domains: locks shared with hook calls.
        beat: heartbeat of the loop.
    """

    def __init__(self, config: Config, host: Host, domains: DomainLocks, beat: Callable[[], None]) -> None:
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
                disconnected=self._lost,
                responsive=self.wake,
                transition_ended=domains.end_transition,
            )
        )
        self._scanning = threading.Lock()
        self._first_seen: dict[Difference, float] = {}  # time on the monotonic clock
        self._failures = Failures(time.monotonic)
        self._next_probe = 0.0
        self._hanging: frozenset[UUID] | None = frozenset()
        self._errors = LogOnce(_log, "scan failed")
        self._failed_scans = 0
        self._consistent: dict[str, ConsistentNames] = {}  # DNS records by subnet
        self._claims: set[Claim] = set()  # of this host's ports, as required
        self._next_full_resync = 0.0
        self.problems: tuple[str, ...] = ()
        """Problems to report: hanging domains, and differences that can't be repaired."""

    def wake(self) -> None:
        """Scan soon: a difference is known, or events may have been missed."""
        self._agenda.scan_within(_RESCAN_DELAY)

    def _lost(self) -> None:
        self._domains.end_transition()  # their events are lost
        self.wake()

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
            Unavailable: libvirt or a database is unreachable, or the agent is busy.
        """
        deadline = Deadline.after(_CHECK_TIMEOUT)
        found = self._differences(deadline, full=True)
        if found:
            time.sleep(_CHECK_PAUSE)
            seen = {*found}
            found = [difference for difference in self._differences(deadline, full=True) if difference in seen]
        return [self._repaired(one, deadline) if repair else CheckResult(one) for one in found]

    def _handle(self, event: Event, uuid: UUID) -> None:
        """Handle an event; after a failure, which is logged, a scan follows."""
        try:
            match event:
                case Event.GONE:
                    self._forget_if_gone(uuid)
                case Event.ARRIVED:
                    with self._hold(uuid) as deadline:
                        self._host.arrive(uuid, deadline)
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
        if self._ask(uuid) is None:
            with self._hold(uuid, read_at) as deadline:
                self._host.forget(uuid, deadline)

    def _sync(self, uuid: UUID, *, metadata_changed: bool = False) -> None:
        """Update ports and leases to a domain's current interfaces, definition and metadata."""
        read_at, seen = time.monotonic(), self._ask(uuid)
        if seen is None:
            return
        if seen.live:
            domain = domainstates.running(seen, self._config.integration_bridge)
            with self._hold(uuid, read_at) as deadline:
                attached = self._host.attach(domain, deadline, running=True)
            for error in attached.refused:
                _log.error("%s", error)
            if metadata_changed:
                for words in attached.pending_until_restart:
                    _log.warning("%s", words)
        elif seen.definition:
            domain = domainstates.defined(seen, self._config.integration_bridge)
            with self._hold(uuid, read_at) as deadline:
                self._host.keep(domain, deadline)

    def scan(self) -> float:
        """Compare, and repair what the previous scan found, too; return the seconds until the next scan."""
        read_at = time.monotonic()
        try:
            differences = self._differences(Deadline.after(_CHECK_TIMEOUT))
        except OvnhookError as error:
            self._failed_scans += 1
            self._errors.failed(error)  # a gateway host may have no libvirt
            self._first_seen = {}
            self.problems = (str(error),) if isinstance(error, NoAnswer | NewerFormat) else ()
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
            if (
                not one.repair.of_cloud
                if isinstance(one.repair, ManualRepair)
                else self._failures.times(one) >= _REPORT_AFTER
            )
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
                self._repair(difference)
            except OvnhookError as error:
                spent += time.monotonic() - began
                if self._failures.add(difference, str(error)):  # once, not at every retry
                    level = logging.getLevelName(error.log_level)
                    _log.log(level, "not repaired: %s: %s", difference, error)

    def _differences(self, deadline: Deadline, *, full: bool = False) -> list[Difference]:
        """Scan for differences.

        DNS records and claims are read if they changed since they were last consistent; with `full`, and every few
        minutes, all of them.
        """
        if not self._scanning.acquire(timeout=deadline.remaining):
            raise Unavailable("another scan of this host is in progress", "journalctl -u ovnhook-agent")
        try:
            if full or time.monotonic() >= self._next_full_resync:
                self._consistent, self._claims = {}, set()
                self._next_full_resync = time.monotonic() + random.uniform(0.5, 1.0) * _FULL_RESYNC_INTERVAL
            northbound, vswitch = self._host.northbound.database, self._host.vswitch
            host = vswitch.chassis(Deadline.after(_TIMEOUT))
            # The databases first: then a port without a running domain is really left over.
            domain_names = {subnet: named.dns_domain for subnet, named in self._consistent.items()}
            # A deadline for each read: a slow one, of libvirt for example, must not fail the next.
            there = inventory.read(northbound, host, Deadline.after(_TIMEOUT), domain_names)
            taps = vswitch.taps(Deadline.after(_TIMEOUT))
            in_transition = self._domains.in_transition()
            seen = self._hypervisor.domains(known_domains(there, taps), outgoing_migrations(host, there), in_transition)
            domains, invalid = domainstates.domains(seen, self._config.integration_bridge)
            for error in invalid:
                _log.error("%s", error)
            claims = required_claims(host, there)
            wanted = (
                subnets_to_check(there, self._consistent),
                foreign_domains(there),
                interfaces_without_port(there, domains),
                claims - self._claims,
            )
            known = inventory.look_up(northbound, *wanted, subnets_with_mtu(there, domains), Deadline.after(_TIMEOUT))
            self._claims = with_claims(known, claims, self._claims)
            found = list(compare(host, there, known, taps, domains))
            self._consistent = consistent_names(there, known, found, self._consistent)
            return found
        finally:
            self._scanning.release()

    def _repaired(self, difference: Difference, deadline: Deadline) -> CheckResult:
        _log.warning("repairing on request: %s: %s", difference, difference.repair)
        try:
            deadline.check("timeout of this check: try again")
            self._repair(difference)
        except OvnhookError as error:
            return CheckResult(difference, error=str(error))
        return CheckResult(difference, repaired=True)

    def _repair(self, difference: Difference) -> None:
        """Repair a difference if it still exists, and verify the repair.

        Raises:
            Unavailable: a database or libvirt is unreachable, or a hook call for the domain is in progress.
            OvnhookError: the repair failed, or has to be done by the administrator.
        """
        domain = domain_of(difference.repair)
        read_at = time.monotonic()
        # Before the domain is locked: libvirt may wait for a hook that waits for the lock.
        domains = self._domains_of(domain, difference) if domain else Domains({}, {})
        with self._hold(domain, read_at) if domain else nullcontext(Deadline.after(_TIMEOUT)) as deadline:
            now = self._recheck(difference, domains, deadline)
            if now is None:
                return
            self._apply(now.repair, deadline)
            if self._recheck(difference, domains, Deadline.after(_TIMEOUT)):
                raise OvnhookError("the difference persists after the repair")

    def _domains_of(self, domain: UUID, difference: Difference) -> Domains:
        seen = self._ask(domain, is_moving=isinstance(difference.repair, Stay))
        found = {domain: seen} if seen else {}
        return domainstates.domains(DomainStates(found), self._config.integration_bridge)[0]

    def _ask(self, domain: UUID, *, is_moving: bool = False) -> DomainState | None:
        """Query libvirt for one domain.

        Raises:
            Unavailable: libvirt does not respond, or is starting or stopping the domain.
        """
        if domain in self._domains.in_transition():
            raise Unavailable("libvirt is starting or stopping it")
        return self._hypervisor.domain(domain, is_moving=is_moving)

    def _recheck(self, difference: Difference, domains: Domains, deadline: Deadline) -> Difference | None:
        """Read a difference again, by key; None if it is gone."""
        northbound, vswitch = self._host.northbound.database, self._host.vswitch
        host, repair = vswitch.chassis(deadline), difference.repair
        domain = domain_of(repair)
        if isinstance(repair, Rename):
            there, known = inventory.read_dns_records(northbound, host, repair.subnet, deadline)
        elif domain:
            known_to_libvirt = (*(run.domain for run in domains.running.values()), *domains.defined.values())
            macs = {mac for one in known_to_libvirt for mac in (*one.macs, *one.defined_only_macs)}
            macs |= {difference.interface} - {""}
            places = [(repair.lease.subnet, repair.lease.address)] if isinstance(repair, ReleaseLease) else []
            there, known = inventory.read_domain(northbound, host, domain, macs, places, deadline)
        else:
            return difference  # not readable by key; left to the administrator
        found = compare(host, there, known, vswitch.taps(deadline), domains)
        return next((one for one in found if one == difference), None)

    def _apply(self, repair: Repair, deadline: Deadline) -> None:
        match repair:
            case Attach(domain):
                if refused := self._host.attach(domain, deadline, running=True).refused:
                    raise refused[0]  # the other interfaces are separate differences
            case Detach(domain):
                self._host.detach(domain, deadline)
            case Arrive(uuid):
                self._host.arrive(uuid, deadline)
            case Stay(uuid):
                self._host.stay(uuid, deadline)
            case Forget(uuid):
                self._host.forget(uuid, deadline)
            case Keep(domain):
                self._host.keep(domain, deadline)
            case ReleaseLease(lease):
                self._host.attachment.commit([Put(LEASE, lease, None)], deadline)
            case Rename(subnet, old, new):
                self._host.attachment.commit(
                    [Put(DNS_RECORDS, DnsRecords(subnet, old), DnsRecords(subnet, new))], deadline
                )
            case Unplug(device, tap):
                self._host.vswitch.unplug(device, tap, deadline)
            case ManualRepair(hint):
                raise OvnhookError("manual repair needed", hint)
            case _:
                assert_never(repair)

    @contextmanager
    def _hold(self, domain: UUID, read_at: float = float("inf")) -> Iterator[Deadline]:
        """Lock a domain whose state was read at a time of the monotonic clock; yields the deadline.

        Raises:
            Unavailable: another operation on it is in progress, or there was a hook call since.
        """
        deadline = Deadline.after(self._config.deadline)
        with self._domains.hold(domain, deadline):
            if self._domains.last_request(domain) >= read_at:
                raise Unavailable("libvirt has started or stopped it meanwhile")
            yield deadline
