"""Finds what differs between libvirt, OVN and Open vSwitch on this host, and mends it.

The hook does the work while all goes well. What libvirt tells no hook (an interface is plugged in or out, a domain is
defined anew) is done here when libvirt says so. What the hook could not do (a database was away), or what nobody was
told of (a host that crashed), is found by looking at all there is: at the agent's start, when a connection was lost,
when the hook had to let a domain start without its network, and every minute. A difference is acted on when it is seen
twice, and only on rows of this host (ovnhook.differences).
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from uuid import UUID

from ovnhook.agent import sight
from ovnhook.agent.hypervisor import Hypervisor, Listeners
from ovnhook.agent.server import DomainLocks
from ovnhook.changes import DropLease, SetNames
from ovnhook.config import Config
from ovnhook.deadline import Deadline
from ovnhook.differences import (
    Arrive,
    Attach,
    Detach,
    Difference,
    Forget,
    Found,
    GiveBack,
    Keep,
    Leave,
    Mend,
    Named,
    Rename,
    Stay,
    Unplug,
    compare,
    elsewhere,
    strangers,
    subnets,
    well_named,
    whose,
)
from ovnhook.errors import OvnhookError, Unavailable
from ovnhook.host import Host
from ovnhook.ovsdb import inventory

_log = logging.getLogger(__name__)

_PERIOD = 60.0  # seconds between two looks when nothing is wrong
_FRESH = 2.0  # seconds for which what was seen is acted on
_SOON = 2.0  # seconds, the most until the next look when something is
_HELPLESS = 10.0  # seconds, the most until the next look when what is wrong is not ours to change
_PATIENCE = 10.0  # seconds for reading what there is
_ANEW = 600.0  # seconds, the most until names are looked at that nobody has written
_AGAIN = 0.5  # seconds between the two looks of a check


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
            Listeners(
                gone=self._later(self._forget_if_gone),
                arrived=self._later(self._arrive),
                changed=self._later(self._fit),
                described=self._later(partial(self._fit, described=True)),
                lost=self.wake,
            )
        )
        self._looking = threading.Lock()
        self._seen: dict[Difference, float] = {}  # since when
        self._failed: dict[Difference, str] = {}
        self._said = ""
        self._well: dict[str, Named] = {}  # the names of subnets when they were right
        self._next_anew = 0.0

    def wake(self) -> None:
        """Look soon: something is known to be missing, or may have changed unseen."""
        self._events.put(lambda: False)

    def run(self) -> None:
        """Look and mend, for ever."""
        next_look = time.monotonic()
        while True:
            wait = _SOON
            try:
                wait = self._step(next_look)
            except Exception:  # whatever it is: what comes next is looked at, too
                _log.exception("could not go on")
            next_look = min(next_look, time.monotonic()) + random.uniform(0.5, 1.0) * wait

    def _step(self, next_look: float) -> float:
        """Wait for an event, or for the time to look; the seconds until the next look."""
        try:
            event = self._events.get(timeout=max(0.0, next_look - time.monotonic()))
        except queue.Empty:
            return self._look()
        return next_look - time.monotonic() if event() else _SOON

    def check(self, *, repair: bool) -> list[Found]:
        """What is seen in each of two looks; with `repair` each difference is mended, or it is said why not.

        Raises:
            Unavailable: libvirt or a database is out of reach.
        """
        looked, found = time.monotonic(), self._differences(anew=True)
        if found:
            time.sleep(_AGAIN)
            seen, looked = {*found}, time.monotonic()
            found = [difference for difference in self._differences(anew=True) if difference in seen]
        return [self._repaired(one, looked) if repair else Found(one) for one in found]

    def _later(self, work: Callable[[UUID], None]) -> Callable[[UUID], None]:
        """What lets something be done for a domain by the thread that looks; a failure is told, and a look follows."""

        def do(domain: UUID) -> bool:
            try:
                work(domain)
            except OvnhookError as error:
                said = str(error) if str(error).startswith("domain ") else f"domain {domain}: {error}"
                _log.log(logging.getLevelName(error.log_level), "%s", said)
                return False
            return True

        return lambda domain: self._events.put(partial(do, domain))

    def _forget_if_gone(self, uuid: UUID) -> None:
        """Give back the leases of a domain that stopped or was undefined, if it is not there any more."""
        if self._hypervisor.domain(uuid) is None:
            with self._hold(uuid) as deadline:
                self._host.forget(uuid, deadline)

    def _arrive(self, uuid: UUID) -> None:
        """Take over the ports of a domain that has migrated here."""
        with self._hold(uuid) as deadline:
            self._host.arrive(uuid, deadline)

    def _fit(self, uuid: UUID, *, described: bool = False) -> None:
        """Let a domain have what it is like now: interfaces plugged in and out, its definition, its metadata."""
        seen = self._hypervisor.domain(uuid)
        if seen is None:
            return
        if seen.live:
            domain = sight.running(seen, self._config.integration_bridge)
            with self._hold(uuid) as deadline:
                attached = self._host.attach(domain, deadline, running=True)
            for error in attached.refused:
                _log.error("%s", error)
            if described:
                for words in attached.put_off:
                    _log.warning("%s", words)
        elif seen.definition:
            domain = sight.defined(seen)
            with self._hold(uuid) as deadline:
                self._host.keep(domain, deadline)

    def _look(self) -> float:
        """Compare, and mend what was already so the last time; the seconds until the next look."""
        looked = time.monotonic()
        try:
            differences = self._differences()
        except OvnhookError as error:
            if str(error) != self._said:  # once, not every two seconds: a gateway host may never have libvirt
                _log.log(logging.getLevelName(error.log_level), "could not compare: %s", error)
            self._said = str(error)
            self._seen = {}
            return _SOON
        self._said = ""
        known, self._seen = self._seen, {}
        for difference in differences:
            self._seen[difference] = known.get(difference, looked)
        before, self._failed = self._failed, {}
        left = set(differences)
        for difference in differences:
            if difference not in known or looked - known[difference] < difference.patience:
                continue
            if time.monotonic() - looked > _FRESH:
                break  # what was seen may not be so any more
            if difference not in before:
                _log.warning("mending: %s: %s", difference, difference.mend)
            try:
                self._mend(difference, looked)
            except Unavailable as error:
                _log.warning("could not mend: %s: %s", difference, error)
                break
            except OvnhookError as error:
                if str(error) != before.get(difference):  # once, not at every look
                    _log.error("could not mend: %s: %s", difference, error)
                self._failed[difference] = str(error)
                left.discard(difference)  # somebody has to change what is wrong: a person, or another host's agent
        if left:
            return _SOON
        return _HELPLESS if self._failed else _PERIOD

    def _differences(self, *, anew: bool = False) -> list[Difference]:
        """What is not as it should be.

        Names are looked at where something was written since they were right; with `anew`, and every few minutes, all.
        """
        with self._looking:
            deadline = Deadline.after(_PATIENCE)
            if anew or time.monotonic() >= self._next_anew:
                self._well = {}
                self._next_anew = time.monotonic() + random.uniform(0.5, 1.0) * _ANEW
            northbound, vswitch = self._host.northbound.database, self._host.vswitch
            host = vswitch.chassis(deadline)
            # The databases first: a port that was there before its domain was seen not to run is really left over.
            domain_names = {subnet: named.domain for subnet, named in self._well.items()}
            there = inventory.read(northbound, host, deadline, domain_names)
            taps = vswitch.taps(deadline)
            domains, senseless = sight.domains(self._hypervisor.domains(), self._config.integration_bridge)
            for error in senseless:
                _log.error("%s", error)
            wanted = subnets(there, self._well), strangers(there), elsewhere(there, domains)
            known = inventory.look_up(northbound, *wanted, deadline)
            found = list(compare(host, there, known, taps, domains))
            self._well = well_named(there, known, found, self._well)
            return found

    def _repaired(self, difference: Difference, looked: float) -> Found:
        _log.warning("mending, as asked: %s: %s", difference, difference.mend)
        try:
            self._mend(difference, looked)
        except OvnhookError as error:
            return Found(difference, error=str(error))
        return Found(difference, mended=True)

    def _mend(self, difference: Difference, looked: float) -> None:
        """Do what mends a difference that was seen at a time of the monotonic clock.

        Raises:
            Unavailable: it may not be so any more, or a database is out of reach.
            OvnhookError: it can't be done, or not by us.
        """
        domain = whose(difference.mend)
        alone = self._hold(domain) if domain else nullcontext(Deadline.after(self._config.deadline))
        with alone as deadline:
            if domain and self._domains.asked(domain) >= looked:
                raise Unavailable("libvirt has started or ended it meanwhile")
            self._do(difference.mend, deadline)

    def _do(self, mend: Mend, deadline: Deadline) -> None:
        match mend:
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
            case GiveBack(lease):
                self._host.attachment.commit([DropLease(lease)], deadline)
            case Rename(subnet, old, new):
                self._host.attachment.commit([SetNames(subnet, old, new)], deadline)
            case Unplug(device, tap):
                self._host.vswitch.unplug(device, tap, deadline)
            case Leave(hint):
                raise OvnhookError("it is not for the agent to mend", hint)

    @contextmanager
    def _hold(self, domain: UUID) -> Iterator[Deadline]:
        """Have a domain for oneself, until a deadline."""
        deadline = Deadline.after(self._config.deadline)
        with self._domains.hold(domain, deadline):
            yield deadline
