"""Finds what differs between libvirt, OVN and Open vSwitch on this host, and repairs it.

The hook does the work while all goes well. What libvirt tells no hook (an interface is plugged in or out, a domain is
defined anew) is done here when libvirt says so. What the hook could not do (a database was away), or what nobody was
told of (a host that crashed), is found by a scan of all there is: at the agent's start, when a connection was lost,
when the hook had to let a domain start without its network, and every minute. A difference is acted on when it is seen
in two scans, is read again by key just before that and just after, and concerns rows of this host only
(ovnhook.diagnosis.differences). One that can't be repaired holds up no other one.
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
from ovnhook.resources.subnet.kind import NAMES
from ovnhook.resources.subnet.values import Names

_log = logging.getLogger(__name__)

_PERIOD = 60.0  # seconds between two scans when nothing is wrong
_SOON = 2.0  # seconds, the most until the next scan when something is
_HELPLESS = 10.0  # seconds, the most until the next scan when what is wrong could not be repaired
_TIMEOUT = 10.0  # seconds for reading one thing from a database
_ANEW = 600.0  # seconds, the most until names are looked at that nobody has written
_AGAIN = 0.5  # seconds between the two scans of a check
_CHECK = 30.0  # seconds for a check, and what it repairs
_FAILING = 10.0  # seconds of a scan for repairs that fail
_PROBE = 10.0  # seconds, the most until something that hangs is noticed
_IDLE = 2.0  # seconds, the most that the loop waits without a sign of life
_STUBBORN = 3  # repairs that failed in a row make it known to others


class Reconciler:
    """Compares and repairs until the process ends.

    Args:
        config: where the integration bridge is, and how long an operation may take.
        host: reads and does the work.
        domains: the locks that the hook's requests take too.
        beat: called by the loop as long as it goes on.
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
                described=partial(self._agenda.add, Event.DESCRIBED),
                lost=self._lost,
                answers=self.wake,
                settled=domains.settle,
            )
        )
        self._scanning = threading.Lock()
        self._seen: dict[Difference, float] = {}  # since when
        self._failures = Failures(time.monotonic)
        self._next_probe = 0.0
        self._hanging: frozenset[UUID] | None = frozenset()
        self._said = ""
        self._failed_scans = 0
        self._well: dict[str, ConsistentNames] = {}  # the names of subnets when they were right
        self._claims: set[Claim] = set()  # of this host's ports, when they were right
        self._next_anew = 0.0
        self.problems: tuple[str, ...] = ()
        """What somebody else has to know: what hangs, or can't be repaired."""

    def wake(self) -> None:
        """Scan soon: something is known to be missing, or may have changed unseen."""
        self._agenda.scan_within(_SOON)

    def _lost(self) -> None:
        self._domains.settle()  # whatever libvirt was doing, it won't say how it ended
        self.wake()

    def run(self) -> None:
        """Compare and repair, for ever."""
        while True:
            self._beat()
            try:
                self._step()
            except Exception:  # whatever it is: what comes next is done, too
                _log.exception("unexpected error in the reconcile loop")
                self._agenda.scan_within(_SOON)

    def _step(self) -> None:
        match self._agenda.next(_IDLE):
            case Scan():
                self._agenda.scan_within(self.scan())
            case (event, domain):
                self._follow(event, domain)
            case None:
                self._probe()

    def _probe(self) -> None:
        """See now and then whether something hangs, of which nothing but a scan would tell."""
        if time.monotonic() < self._next_probe:
            return
        self._next_probe = time.monotonic() + random.uniform(0.5, 1.0) * _PROBE
        hanging = self._hypervisor.hanging(self._domains.between())
        if hanging != self._hanging:
            self._agenda.scan_within(_SOON)
        self._hanging = hanging

    def check(self, *, repair: bool) -> list[CheckResult]:
        """What is seen in each of two scans; with `repair` each difference is repaired, or it is said why not.

        Raises:
            Unavailable: libvirt or a database is out of reach, or the agent has no time.
        """
        deadline = Deadline.after(_CHECK)
        found = self._differences(deadline, anew=True)
        if found:
            time.sleep(_AGAIN)
            seen = {*found}
            found = [difference for difference in self._differences(deadline, anew=True) if difference in seen]
        return [self._repaired(one, deadline) if repair else CheckResult(one) for one in found]

    def _follow(self, event: Event, uuid: UUID) -> None:
        """Do what an event asks for; a failure is logged, and a scan follows."""
        try:
            match event:
                case Event.GONE:
                    self._forget_if_gone(uuid)
                case Event.ARRIVED:
                    with self._hold(uuid) as deadline:
                        self._host.arrive(uuid, deadline)
                case Event.CHANGED:
                    self._fit(uuid)
                case Event.DESCRIBED:
                    self._fit(uuid, described=True)
                case _:
                    assert_never(event)
        except OvnhookError as error:
            said = str(error) if str(error).startswith("domain ") else f"domain {uuid}: {error}"
            _log.log(logging.getLevelName(error.log_level), "%s", said)
            self._agenda.scan_within(_SOON)

    def _forget_if_gone(self, uuid: UUID) -> None:
        """Give back the leases of a domain that stopped or was undefined, if it is not there any more."""
        looked = time.monotonic()
        if self._ask(uuid) is None:
            with self._hold(uuid, looked) as deadline:
                self._host.forget(uuid, deadline)

    def _fit(self, uuid: UUID, *, described: bool = False) -> None:
        """Let a domain have what it is like now: interfaces plugged in and out, its definition, its metadata."""
        looked, seen = time.monotonic(), self._ask(uuid)
        if seen is None:
            return
        if seen.live:
            domain = domainstates.running(seen, self._config.integration_bridge)
            with self._hold(uuid, looked) as deadline:
                attached = self._host.attach(domain, deadline, running=True)
            for error in attached.refused:
                _log.error("%s", error)
            if described:
                for words in attached.put_off:
                    _log.warning("%s", words)
        elif seen.definition:
            domain = domainstates.defined(seen, self._config.integration_bridge)
            with self._hold(uuid, looked) as deadline:
                self._host.keep(domain, deadline)

    def scan(self) -> float:
        """Compare, and repair what was already so the last time; the seconds until the next scan."""
        looked = time.monotonic()
        try:
            differences = self._differences(Deadline.after(_CHECK))
        except OvnhookError as error:
            self._failed_scans += 1
            if str(error) != self._said:  # once, not every two seconds: a gateway host may never have libvirt
                _log.log(logging.getLevelName(error.log_level), "could not compare: %s", error)
            self._said = str(error)
            self._seen = {}
            self.problems = (str(error),) if isinstance(error, NoAnswer | NewerFormat) else ()
            return min(_HELPLESS, _SOON * 2.0 ** min(self._failed_scans - 1, 10))
        self._said, self._failed_scans = "", 0
        known = self._seen
        self._seen = {one: known.get(one, looked) for one in differences}
        self._failures.keep(differences)
        ripe = [one for one in differences if one in known and looked - known[one] >= one.grace_period]
        self._repair_all(self._failures.due(ripe))
        self.problems = tuple(
            str(one)
            for one in ripe
            if (
                not one.repair.of_cloud
                if isinstance(one.repair, ManualRepair)
                else self._failures.times(one) >= _STUBBORN
            )
        )
        if self._domains.between() or any(not self._failures.times(one) for one in differences):
            return _SOON
        return min(_PERIOD, max(_SOON, self._failures.wait()))

    def _repair_all(self, differences: Sequence[Difference]) -> None:
        """Repair one difference after the other. Those that fail hold up the others for a limited time only."""
        spent = 0.0
        for difference in differences:
            if spent > _FAILING:
                break
            self._beat()
            began = time.monotonic()
            if not self._failures.times(difference) and not isinstance(difference.repair, ManualRepair):
                _log.warning("repairing: %s: %s", difference, difference.repair)
            try:
                self._repair(difference)
            except OvnhookError as error:
                spent += time.monotonic() - began
                if self._failures.add(difference, str(error)):  # once, not at every try
                    level = logging.getLevelName(error.log_level)
                    _log.log(level, "not repaired: %s: %s", difference, error)

    def _differences(self, deadline: Deadline, *, anew: bool = False) -> list[Difference]:
        """What is not as it should be.

        Names are looked at where something was written since they were right; with `anew`, and every few minutes, all.
        """
        if not self._scanning.acquire(timeout=deadline.remaining):
            raise Unavailable("another scan of this host has not ended", "journalctl -u ovnhook-agent")
        try:
            if anew or time.monotonic() >= self._next_anew:
                self._well, self._claims = {}, set()
                self._next_anew = time.monotonic() + random.uniform(0.5, 1.0) * _ANEW
            northbound, vswitch = self._host.northbound.database, self._host.vswitch
            host = vswitch.chassis(Deadline.after(_TIMEOUT))
            # The databases first: a port that was there before its domain was seen not to run is really left over.
            domain_names = {subnet: named.dns_domain for subnet, named in self._well.items()}
            # A deadline for each: what one takes, libvirt for example, is no reason to blame the next.
            there = inventory.read(northbound, host, Deadline.after(_TIMEOUT), domain_names)
            taps = vswitch.taps(Deadline.after(_TIMEOUT))
            between = self._domains.between()
            seen = self._hypervisor.domains(known_domains(there, taps), outgoing_migrations(host, there), between)
            domains, invalid = domainstates.domains(seen, self._config.integration_bridge)
            for error in invalid:
                _log.error("%s", error)
            claims = required_claims(host, there)
            wanted = (
                subnets_to_check(there, self._well),
                foreign_domains(there),
                interfaces_without_port(there, domains),
                claims - self._claims,
            )
            known = inventory.look_up(northbound, *wanted, subnets_with_mtu(there, domains), Deadline.after(_TIMEOUT))
            self._claims = with_claims(known, claims, self._claims)
            found = list(compare(host, there, known, taps, domains))
            self._well = consistent_names(there, known, found, self._well)
            return found
        finally:
            self._scanning.release()

    def _repaired(self, difference: Difference, deadline: Deadline) -> CheckResult:
        _log.warning("repairing, as asked: %s: %s", difference, difference.repair)
        try:
            deadline.check("this check has lasted long enough: ask again")
            self._repair(difference)
        except OvnhookError as error:
            return CheckResult(difference, error=str(error))
        return CheckResult(difference, repaired=True)

    def _repair(self, difference: Difference) -> None:
        """Do what repairs a difference, if it is still there, and see whether it did.

        Raises:
            Unavailable: a database, or libvirt, is out of reach, or a hook works on the domain.
            OvnhookError: it can't be done, or not by us.
        """
        domain = domain_of(difference.repair)
        looked = time.monotonic()
        # Before the domain is held: libvirt may wait for a hook that waits for the domain.
        domains = self._state(domain, difference) if domain else Domains({}, {})
        with self._hold(domain, looked) if domain else nullcontext(Deadline.after(_TIMEOUT)) as deadline:
            now = self._still(difference, domains, deadline)
            if now is None:
                return
            self._do(now.repair, deadline)
            if self._still(difference, domains, Deadline.after(_TIMEOUT)):
                raise OvnhookError("it is still so after the repair")

    def _state(self, domain: UUID, difference: Difference) -> Domains:
        seen = self._ask(domain, is_moving=isinstance(difference.repair, Stay))
        found = {domain: seen} if seen else {}
        return domainstates.domains(DomainStates(found), self._config.integration_bridge)[0]

    def _ask(self, domain: UUID, *, is_moving: bool = False) -> DomainState | None:
        """What libvirt says of one domain.

        Raises:
            Unavailable: it does not answer, or calls hooks for the domain.
        """
        if domain in self._domains.between():
            raise Unavailable("libvirt is starting or ending it")
        return self._hypervisor.domain(domain, is_moving=is_moving)

    def _still(self, difference: Difference, domains: Domains, deadline: Deadline) -> Difference | None:
        """A difference as it is now, by reading nothing but what it is about; None where it is gone."""
        northbound, vswitch = self._host.northbound.database, self._host.vswitch
        host, repair = vswitch.chassis(deadline), difference.repair
        domain = domain_of(repair)
        if isinstance(repair, Rename):
            there, known = inventory.read_names(northbound, host, repair.subnet, deadline)
        elif domain:
            known_to_libvirt = (*(run.domain for run in domains.running.values()), *domains.defined.values())
            macs = {mac for one in known_to_libvirt for mac in (*one.macs, *one.defined_only_macs)}
            macs |= {difference.interface} - {""}
            places = [(repair.lease.subnet, repair.lease.address)] if isinstance(repair, ReleaseLease) else []
            there, known = inventory.read_domain(northbound, host, domain, macs, places, deadline)
        else:
            return difference  # nothing can be read anew: a person has to do it
        found = compare(host, there, known, vswitch.taps(deadline), domains)
        return next((one for one in found if one == difference), None)

    def _do(self, repair: Repair, deadline: Deadline) -> None:
        match repair:
            case Attach(domain):
                if refused := self._host.attach(domain, deadline, running=True).refused:
                    raise refused[0]  # the others are differences of their own
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
                self._host.attachment.commit([Put(NAMES, Names(subnet, old), Names(subnet, new))], deadline)
            case Unplug(device, tap):
                self._host.vswitch.unplug(device, tap, deadline)
            case ManualRepair(hint):
                raise OvnhookError("it is not for the agent to repair", hint)
            case _:
                assert_never(repair)

    @contextmanager
    def _hold(self, domain: UUID, looked: float = float("inf")) -> Iterator[Deadline]:
        """Have a domain for oneself, until a deadline, as it was seen at a time of the monotonic clock.

        Raises:
            Unavailable: something else is done for it, or the hook has asked for something since.
        """
        deadline = Deadline.after(self._config.deadline)
        with self._domains.hold(domain, deadline):
            if self._domains.asked(domain) >= looked:
                raise Unavailable("libvirt has started or ended it meanwhile")
            yield deadline
