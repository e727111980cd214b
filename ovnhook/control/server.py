"""The control service: its API on a unix socket and over TCP, and its loops."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TextIO

from netaddr import IPNetwork

from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.base.liveness import Liveness
from ovnhook.control import listener, roles
from ovnhook.control.agentstates import AgentStates
from ovnhook.control.arrivals import ArrivedPorts
from ovnhook.control.bindings import BindingsGuard
from ovnhook.control.consistency import ConsistencyRepairs
from ovnhook.control.dnsupgrade import DnsUpgrade
from ovnhook.control.gateways import Gateways
from ovnhook.control.guard import RemotesGuard
from ovnhook.control.hostfeed import HostFeed
from ovnhook.control.loop import Loop
from ovnhook.control.repairs import Repairs
from ovnhook.control.service import Dependencies, shows
from ovnhook.control.services import JOINING, SERVICES
from ovnhook.control.trust import Trust
from ovnhook.control.withdrawal import Withdrawal
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.databases.trust import TrustRow
from ovnhook.databases.vswitch import Vswitch
from ovnhook.engine import underlay
from ovnhook.engine.attach import Attachment
from ovnhook.ovsdb import tls
from ovnhook.pki.members import Members

_PROBE_INTERVAL = 5.0  # seconds between two probes of the listeners
_SWEEP_INTERVAL = 1.0  # seconds between two checks for RPCs that exceed their timeout
_STEP_TIMEOUT = 0.5  # seconds for the steps of loops to end when the service stops


class ControlServer:
    """The control service, between `start` and `stop`.

    Args:
        path: unix socket of the API; a stale one is replaced.
        config: configuration.
        clock: returns the monotonic time, for the liveness of loops.

    Attributes:
        hosts: streams what concerns each host.
        liveness: heartbeats of the loops, and of the listeners, which are probed.

    Raises:
        InvalidConfig: invalid certificates or certificate authority.
    """

    def __init__(self, path: Path, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._config = config
        tls.configure(config)
        self._northbound = Northbound(config.northbound)
        self._southbound = Southbound(config.southbound)
        self._vswitch = Vswitch(config.vswitch, config.integration_bridge)
        self._gateways = Gateways(self._northbound, self._southbound)
        self._repairs = Repairs(self._northbound)
        self.hosts = HostFeed(config.northbound)
        self._consistency = ConsistencyRepairs(self._northbound, self.hosts)
        row = TrustRow(self._northbound.database)
        self._trust = Trust(row, Path(config.authority)) if config.authority else None
        is_own = (config.northbound, config.southbound) == (Config.northbound, Config.southbound)
        databases = self._northbound.database, self._southbound.database
        folder = Path(config.authority)
        self._remotes = RemotesGuard(*databases, self._trust, folder) if self._trust and is_own else None
        self._bindings = BindingsGuard(self._southbound.database)
        self._withdrawal = Withdrawal(self._trust, self._southbound) if self._trust else None
        found = self._dependencies()
        self._services = [one.of(found) for one in SERVICES]
        self._listeners = [listener.of_root(path, self._services, roles.caller_of)]
        if config.listen:
            identify = partial(roles.trusted_caller_of, found.members) if self._trust else roles.caller_of
            self._listeners.append(listener.of_clients(config, self._services, identify))
        if self._trust and config.enrolment:
            self._listeners.append(listener.of_joining_hosts(config, [JOINING.of(found)], roles.anybody))
        self._loops = [
            *(self._gateways.loop, self._repairs.loop, *self.hosts.loops, self._bindings.loop, self._consistency.loop),
            DnsUpgrade(self._northbound, self._southbound).loop,
            ArrivedPorts(self._northbound).loop,
            Loop("sweeper", self._sweep, _SWEEP_INTERVAL),
        ]
        self._loops += [one.loop for one in (self._trust, self._remotes, self._withdrawal) if one]
        self._loops += [self._trust.prober] if self._trust else []
        names = [HostFeed.NAME, *(one.name for one in self._loops), *(one.address for one in self._listeners)]
        self.liveness = Liveness(names, clock)
        self.hosts.beat = self.liveness.beat(HostFeed.NAME)
        for loop in self._loops:
            loop.beat = self.liveness.beat(loop.name)
        self._prober = Loop("prober", self._probe, _PROBE_INTERVAL)
        self._trusted: Members | None = None
        self._started = ExitStack()

    def _dependencies(self) -> Dependencies:
        measure_underlay = partial(underlay.of_cloud, self._southbound.mtus, self._vswitch)
        return Dependencies(
            config=self._config,
            northbound=self._northbound,
            southbound=self._southbound,
            measure_underlay=measure_underlay,
            attachment=Attachment(self._northbound, IPNetwork(self._config.isolated_pool), measure_underlay),
            states=AgentStates(self._southbound, lambda host: host in self.hosts.hosts()),
            gateways=self._gateways,
            repairs=self._repairs,
            consistency=self._consistency,
            hosts=self.hosts,
            trust=self._trust,
            remotes=self._remotes,
            bindings=self._bindings,
            names=tuple(one.NAME for one in SERVICES),
            shows=shows(SERVICES),
        )

    def start(self) -> None:
        """Start the loops and serve. If that fails, whatever was started is stopped.

        Raises:
            OvnhookError: another control service runs, or an address cannot be bound.
        """
        with ExitStack() as started:
            for side in (self._northbound, self._southbound, self._vswitch):
                started.callback(side.database.close)
            started.callback(_lock(self._path).close)
            started.callback(self._path.unlink, missing_ok=True)
            if self._trust:
                self._trust.begin()
            if self._withdrawal:  # before hosts can join, so that a new cloud never opens its northbound database
                self._withdrawal.loop.take_step()
            started.callback(self._stop_loops)
            for loop in self._loops:
                loop.start()
            started.callback(self.hosts.stop)
            started.callback(self._stop_listeners)
            for one in self._listeners:
                one.start()
            started.callback(self.hosts.end)
            self.hosts.start()
            for service in self._services:
                started.callback(service.stop)
            self._prober.start()
            started.callback(self._end_loops)
            self._started = started.pop_all()

    def keep_alive(self) -> None:
        """Answer the databases' inactivity probes; called every few seconds."""
        self._northbound.database.keep_alive()
        self._southbound.database.keep_alive()
        self._vswitch.database.keep_alive()

    def stop(self) -> None:
        """Stop gracefully."""
        self._started.close()

    def _stop_listeners(self) -> None:
        """Stop all listeners at the same time."""
        for one in self._listeners:
            one.stop()
        for one in self._listeners:
            one.wait()

    def _end_loops(self) -> None:
        for loop in (self._prober, *self._loops):
            loop.end()

    def _stop_loops(self) -> None:
        """Stop the loops. Their steps, which may wait for a database, have a moment to end."""
        deadline = Deadline.after(_STEP_TIMEOUT)
        for loop in (self._prober, *self._loops):
            loop.stop(deadline)

    def _sweep(self) -> None:
        trusted, self._trusted = self._trusted, self._trust.members if self._trust else None
        for one in self._listeners:
            one.admission.sweep()
            if self._trusted is not trusted:
                one.end_revoked()

    def _probe(self) -> None:
        for one in self._listeners:
            if one.answers():
                self.liveness.beat(one.address)()


def _lock(path: Path) -> TextIO:
    """Lock a socket against a second service; the lock is held until the returned file is closed."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise OvnhookError(f"can't serve on {path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise OvnhookError(f"another control service serves on {path}") from error
    return file
