"""A libvirt network for each subnet, so that virt-install, virt-manager, Cockpit and Terraform offer it by its name.

The networks of all subnets are compared after each change of the subnets, after each event of a libvirt network, and
every minute. None of it is on the path of a start: the calls have a thread, connections and timeouts of their own.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from typing import TypeVar

import libvirt

from ovnhook.agent.agenda import Failures
from ovnhook.agent.libvirtcalls import LibvirtCalls
from ovnhook.agent.libvirtevents import Deregister, LibvirtEvents, connect, unavailable
from ovnhook.base.config import Config
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.base.labels import SUBNET_NAME
from ovnhook.base.logonce import LogOnce
from ovnhook.diagnosis.values import CheckResult
from ovnhook.domains import networkxml
from ovnhook.domains.inventory import HostNetworks
from ovnhook.domains.subnetnetworks import NetworkChange, PresentNetwork, plan
from ovnhook.resources.subnet.values import is_isolated_subnet

_log = logging.getLogger(__name__)

_SCAN_INTERVAL = 60.0  # seconds, maximum between scans without a change
_RETRY_INTERVAL = 10.0  # seconds, maximum until the next scan after one that failed
_BATCH = 0.2  # seconds in which events are collected before a scan: each change of a network is an event, too
_IDLE_TIMEOUT = 5.0  # seconds, maximum between two heartbeats
_TIMEOUT = 5.0  # seconds for one call: a list of a hundred networks, or one change
_MOST_FOREIGN = 100  # networks that are reported
_REPORT_AFTER = 3  # failed changes in a row, after which the error is reported
_FOREIGN = "libvirt network '{0}' is not subnet {0}"

T = TypeVar("T")


class LibvirtNetworks:
    """Keeps the networks until it is stopped.

    Args:
        config: name of the integration bridge, and whether there are to be networks.
        known: returns the subnets of the cloud, or None while they are unknown.
        beat: heartbeat of the loop.
    """

    def __init__(self, config: Config, known: Callable[[], HostNetworks | None], beat: Callable[[], None]) -> None:
        self._config = config
        self._known = known
        self._after_scan: list[Callable[[], None]] = []
        self._beat = beat
        self._woken = threading.Event()
        self._is_stopped = False
        self._events = LibvirtEvents(self._register, self.wake)
        self._calls: LibvirtCalls[libvirt.virConnect] = LibvirtCalls(connect, self.wake, _TIMEOUT)
        self._applied: frozenset[NetworkChange] = frozenset()
        self._failures: Failures[NetworkChange] = Failures()
        self._errors = LogOnce(_log, "libvirt networks are not maintained")
        self._found: tuple[tuple[str, str], ...] = ()  # what, and a hint
        self.foreign: tuple[str, ...] = ()
        """Networks that lead elsewhere, as far as a subnet can have their name."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems to report: foreign networks with the name of a subnet, and changes that fail."""
        return tuple(f"{what}: {hint}" for what, hint in self._found)

    def check(self) -> list[CheckResult]:
        """Return the same, as of the last scan."""
        return [CheckResult.manual(what, hint) for what, hint in self._found]

    def on_scan(self, callback: Callable[[], None]) -> None:
        """Add a callback after a scan: problems may have changed, and networks may have been removed."""
        self._after_scan.append(callback)

    def wake(self) -> None:
        """Scan soon: subnets or networks have changed."""
        self._woken.set()

    def stop(self) -> None:
        """Stop the loop."""
        self._is_stopped = True
        self._woken.set()

    def run(self) -> None:
        """Run the loop."""
        next_scan = 0.0
        while not self._is_stopped:
            self._beat()
            if self._woken.wait(max(0.0, min(_IDLE_TIMEOUT, next_scan - time.monotonic()))):
                time.sleep(_BATCH)
            elif time.monotonic() < next_scan:
                continue
            self._woken.clear()
            wait = _RETRY_INTERVAL
            with self._errors.logged():
                wait = self.scan()
            next_scan = time.monotonic() + random.uniform(0.5, 1.0) * wait

    def scan(self) -> float:
        """Compare and change what differs; return the seconds until the next scan at the latest.

        Raises:
            Unavailable: libvirt is unreachable, or has no network driver.
        """
        subnets = self._subnets()
        if subnets is None:  # no reason to remove any
            return _SCAN_INTERVAL
        if not self._events.is_open:
            self._ask("events", lambda _: self._events.open())
        planned = plan(subnets, self._ask("list", _present), self._config.integration_bridge)
        for change in self._applied.intersection(planned.changes):
            self._fail(change, "the change had no effect")
        self._failures.keep(planned.changes)
        due = self._failures.due(planned.changes)
        self._applied = frozenset(change for change in due if self._change(change))
        failing = [one for one in planned.changes if self._failures.times(one) >= _REPORT_AFTER]
        self._found = (
            *((_FOREIGN.format(name), f"rename it, or 'virsh net-undefine {name}'") for name in planned.clashes),
            *((f"libvirt network '{one.name}' can't be changed", self._failures.error(one)) for one in failing),
        )
        self.foreign = tuple(name for name in planned.foreign if SUBNET_NAME.fullmatch(name))[:_MOST_FOREIGN]
        for callback in self._after_scan:
            callback()
        return min(_SCAN_INTERVAL, self._failures.wait())

    def _subnets(self) -> Collection[str] | None:
        """Names of the subnets that are to be networks; None while they are unknown."""
        if not self._config.libvirt_networks:
            return ()
        known = self._known()
        return None if known is None else [name for name in known.subnets if not is_isolated_subnet(name)]

    def _change(self, change: NetworkChange) -> bool:
        """Change a network; return whether that succeeded."""
        self._beat()
        try:
            self._ask(change.name, partial(_apply, change))
        except OvnhookError as error:
            self._fail(change, error.message)
            return False
        _log.info("libvirt network %s: %s", change.name, ", ".join(_steps(change)))
        return True

    def _fail(self, change: NetworkChange, error: str) -> None:
        if self._failures.add(change, error):  # once, not at every retry
            _log.warning("libvirt network %s: %s", change.name, error)

    def _ask(self, subject: Hashable, function: Callable[[libvirt.virConnect], T]) -> T:
        try:
            return self._calls.call(subject, function)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_CONNECT):
                hint = "apt install libvirt-daemon-driver-network"
                raise Unavailable("libvirt has no network driver", hint) from error
            raise unavailable(error) from error

    def _register(self, connection: libvirt.virConnect) -> Sequence[Deregister]:
        listening = connection.networkEventRegisterAny(
            None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, lambda *_: self.wake(), None
        )
        return [partial(connection.networkEventDeregisterAny, listening)]


def _steps(change: NetworkChange) -> list[str]:
    steps = {
        "stopped": change.stop,
        "undefined": change.undefine,
        "defined": change.define,
        "autostarted": change.autostart,
        "started": change.start,
    }
    return [name for name, is_made in steps.items() if is_made]


def _present(connection: libvirt.virConnect) -> list[PresentNetwork]:
    found = []
    for network in connection.listAllNetworks():
        try:
            found.append(_seen(network))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:  # removed meanwhile
                raise
    return found


def _seen(network: libvirt.virNetwork) -> PresentNetwork:
    is_persistent = bool(network.isPersistent())
    return PresentNetwork(
        networkxml.parse(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE).encode()),
        networkxml.parse(network.XMLDesc().encode()) if network.isActive() else None,
        is_persistent,
        is_persistent and bool(network.autostart()),
    )


def _apply(change: NetworkChange, connection: libvirt.virConnect) -> None:
    """Change a network. Idempotent: a step may have been done meanwhile, by an earlier call that ended late."""
    if change.stop or change.undefine:
        _remove(change, connection)
    if not (change.define or change.autostart or change.start):
        return
    network = connection.networkDefineXML(change.define) if change.define else _found(change, connection)
    if change.autostart:
        network.setAutostart(1)
    if change.start and not network.isActive():
        network.create()


def _remove(change: NetworkChange, connection: libvirt.virConnect) -> None:
    try:
        network = _found(change, connection)
        if change.stop and network.isActive():
            network.destroy()
        if change.undefine and network.isPersistent():
            network.undefine()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise


def _found(change: NetworkChange, connection: libvirt.virConnect) -> libvirt.virNetwork:
    return connection.networkLookupByUUID(change.uuid.bytes)
