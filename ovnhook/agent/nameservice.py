"""DNS for the guests of this host: servers for its name scopes, as the view of OVN says (ovnhook.hostnetwork).

Nothing waits for it, neither a start of a domain nor another loop of the agent. The servers answer without the agent.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Protocol

from ovnhook.agent.agenda import Failures
from ovnhook.agent.hostview import NetworkListeners
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Exhausted
from ovnhook.base.logonce import LogOnce
from ovnhook.diagnosis.values import CheckResult
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork.namescope import NameScope, host_files
from ovnhook.hostnetwork.resolvers import Resolvers
from ovnhook.resources.hostvalues import HostName, HostSubnet

_log = logging.getLogger(__name__)

_LOOK_INTERVAL = 2.0  # seconds, maximum until a server that ended is started again
_BATCH = 0.25  # seconds in which changes are collected: many guests may start at once
_FULL_LOOK_INTERVAL = 60.0  # seconds, maximum until any other damage is repaired
_TIMEOUT = 20.0  # seconds for one scope
_FIRST_RETRY = 1.0  # seconds
_LAST_RETRY = 60.0  # seconds
_REPORT_AFTER = 3  # failures in a row, after which a problem is reported
_HINT = "journalctl -u ovnhook-agent -t dnsmasq"
_MAX_SCOPES = 256  # a server takes 3 MB
_MAX_NAMES = 100_000  # of one scope


class NetworkView(Protocol):
    """The view of this host's objects in OVN, as a source of subnets and names: see HostView."""

    def listen(self, listeners: NetworkListeners) -> None:
        """Add callbacks."""

    def networks(self) -> HostNetworks | None:
        """Subnets and scopes; None while they are not known."""

    def names(self, scope: str) -> tuple[HostName, ...]:
        """Host names of a scope."""


class NameService:
    """Keeps the servers until it is stopped.

    Args:
        view: of this host's objects in OVN.
        resolvers: the servers.
        beat: heartbeat of the loop.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        view: NetworkView,
        resolvers: Resolvers,
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._resolvers = resolvers
        self._beat = beat
        self._clock = clock
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._networks_changed = True
        self._renamed: set[str] = set()
        self._subnets: Mapping[str, HostSubnet] = {}
        self._scopes: dict[str, NameScope] = {}
        self._served: dict[str, NameScope] = {}
        self._failures: Failures[str] = Failures(clock, _FIRST_RETRY, _LAST_RETRY)  # by name of the scope
        self._excess: tuple[str, ...] = ()
        self._is_known = self._is_tidy = False
        self._next_full_look = 0.0
        self.serves = False
        """All servers run."""
        self._errors = LogOnce(_log, "cannot serve host names")
        view.listen(NetworkListeners(self._note_networks, self._note_names))

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems to report."""
        failed = (
            f"guests of {scope} can't resolve names: {self._failures.error(scope)}"
            for scope in tuple(self._scopes)
            if self._failures.times(scope) >= _REPORT_AFTER
        )
        return tuple(sorted((*failed, *self._excess)))

    def check(self) -> list[CheckResult]:
        """Problems as of the last look. They are repaired without a check, as soon as possible."""
        return [CheckResult.manual(one, _HINT) for one in self.problems]

    def run(self) -> None:
        """Run the loop."""
        while not self._stop.is_set():
            if self._wake.wait(random.uniform(0.5, 1.0) * _LOOK_INTERVAL):
                self._stop.wait(_BATCH)
            self._wake.clear()
            self._beat()
            with self._errors.logged():
                self.look()

    def stop(self) -> None:
        """Stop the loop. The servers go on."""
        self._stop.set()
        self._wake.set()

    def _note_networks(self) -> None:
        with self._lock:
            self._networks_changed = True
        self._wake.set()

    def _note_names(self, scope: str) -> None:
        with self._lock:
            self._networks_changed = True  # perhaps the first or the last port of this host in it
            self._renamed.add(scope)
        self._wake.set()

    def look(self) -> None:
        """Compare all scopes with their servers, and repair these."""
        with self._lock:
            networks_changed, self._networks_changed = self._networks_changed, False
            renamed, self._renamed = self._renamed, set()
        if networks_changed:
            self._read()
        is_full = self._clock() >= self._next_full_look
        has_relay = False
        for scope in self._scopes.values():
            self._beat()
            has_relay = has_relay or self._resolvers.has_relay()  # any scope repairs it
            self._try(scope, is_damaged=is_full or not has_relay, is_renamed=scope.name in renamed)
        self.serves = self._is_known and not self._failures and not self._excess
        if self._is_known and (is_full or not self._is_tidy):
            self._beat()
            self._resolvers.tidy(self._scopes.values(), Deadline.after(_TIMEOUT))
            self._is_tidy = True
        if is_full:
            self._next_full_look = self._clock() + random.uniform(0.5, 1.0) * _FULL_LOOK_INTERVAL

    def _read(self) -> None:
        """Read the wanted scopes from the view; keep those that are known while there is none."""
        networks = self._view.networks()
        if networks is None:
            return
        inside: dict[str, list[HostSubnet]] = {}
        for subnet in networks.subnets.values():
            inside.setdefault(subnet.scope, []).append(subnet)
        scopes = {name: NameScope.of(name, inside.get(name, ())) for name in sorted(networks.scopes)}
        wanted = {name: scope for name, scope in scopes.items() if scope.interfaces}
        served = dict(islice(wanted.items(), _MAX_SCOPES))
        self._is_tidy = self._is_known and self._is_tidy and served == self._scopes
        self._scopes = served
        self._excess = tuple(
            f"guests of {name} can't resolve names: this host serves no more than {_MAX_SCOPES} name scopes"
            for name in wanted.keys() - self._scopes.keys()
        )
        self._subnets = networks.subnets
        self._served = {name: scope for name, scope in self._served.items() if name in self._scopes}
        self._failures.keep(self._scopes)
        self._is_known = True

    def _try(self, scope: NameScope, *, is_damaged: bool, is_renamed: bool) -> None:
        """Keep the server of a scope, which may be damaged; note a failure, which blocks no other scope."""
        if not self._failures.due([scope.name]):
            return
        is_damaged = is_damaged or self._failures.times(scope.name) > 0 or self._served.get(scope.name) != scope
        deadline = Deadline.after(_TIMEOUT)
        try:
            if is_damaged or not self._resolvers.is_intact(scope):
                self._resolvers.converge(scope, self._files(scope), deadline)
            elif is_renamed:
                self._resolvers.write_names(scope, self._files(scope), deadline)
        except Exception as error:  # the loop must go on
            self._errors.failed(error, scope.name)
            self._failures.add(scope.name, str(error))
            return
        if self._served.get(scope.name) != scope:
            _log.info("serving host names of %s", scope.name)
        self._served[scope.name] = scope
        self._failures.forget(scope.name)
        self._errors.succeeded(scope.name)

    def _files(self, scope: NameScope) -> dict[str, str]:
        names = self._view.names(scope.name)
        if len(names) > _MAX_NAMES:
            raise Exhausted(f"more than {_MAX_NAMES} host names")
        return host_files(names, self._subnets)
