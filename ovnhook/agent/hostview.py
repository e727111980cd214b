"""View of this host's objects in OVN: a copy that follows the stream of the control service.

It costs nothing while nothing changes. It may lag behind the database by the time that a message takes, so nothing is
repaired because of it alone (ovnhook.agent.repair). While the stream is away there is no view.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from ovnhook.api.agentmessages import object_of
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.base.logonce import LogOnce
from ovnhook.domains.inventory import HostNetworks, HostObject, Inventory
from ovnhook.resources.hostvalues import HostName, HostRouter, HostSubnet
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Owner, Port

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.2  # seconds until the stream is opened again
_LAST_PAUSE = 1.0  # seconds, the same after several failures: a migration from here waits for the stream
_STABLE = 5.0  # seconds that a stream lasts whose end is not a failure
_TIMEOUT = 5.0  # seconds for one read of Open vSwitch
_INTERNAL = "internal error while following the control service: see journalctl -u ovnhook-agent"


class HostUpdates(Protocol):
    """The control service, as the source of updates."""

    def watch(self, host: str, revision: str) -> AbstractContextManager[Iterator[api.HostUpdate]]:
        """Open a stream of updates of a host's objects. Opening and reading it raise the service's errors.

        Args:
            host: its chassis.
            revision: the last one that was received, or "".
        """


@dataclass(frozen=True)
class ViewListeners:
    """Callbacks, called by the thread that follows the stream: they must not wait.

    Attributes:
        synced: the view has become current.
        changed: objects of one of libvirt's domains have changed.
        requested: another host requests the migration of a domain from here.
    """

    synced: Callable[[], None]
    changed: Callable[[UUID], None]
    requested: Callable[[LeaseIndex], None]


@dataclass(frozen=True)
class NetworkListeners:
    """Callbacks for parts of the host's own network, called by the same thread: they must not wait.

    Attributes:
        networks_changed: subnets or routers have changed, and with them maybe name scopes; or the view has become
            current, so that anything may have changed.
        names_changed: names of a scope have changed, or ports of this host in it.
    """

    networks_changed: Callable[[], None]
    names_changed: Callable[[str], None]


class HostView:
    """Follows the stream. Safe to share between threads.

    Args:
        updates: the control service.
        chassis: returns the host's chassis.
        listeners: callbacks.
    """

    def __init__(self, updates: HostUpdates, chassis: Callable[[Deadline], str], listeners: ViewListeners) -> None:
        self._updates = updates
        self._chassis = chassis
        self._listeners = listeners
        self._network_listeners: list[NetworkListeners] = []
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._host = self._revision = ""
        self._objects: dict[str, HostObject] = {}
        self._is_known = False
        self._inventory: Inventory | None = None
        self._lost: OvnhookError | None = Unavailable("the control service has not answered yet")
        self._errors = _errors()

    def run(self) -> None:
        """Follow the stream, and open it again whenever it ends."""
        failures, pause = 0, 0.0
        while not self._stop.wait(random.uniform(0.5, 1.0) * pause):
            began = time.monotonic()
            try:
                self._follow()
            except Exception as error:  # the thread must go on
                if self._stop.is_set():
                    return
                if not isinstance(error, OvnhookError):
                    self._revision, self._is_known = "", False  # what was received can't be relied on
                self._lose(error)
            failures = 1 if time.monotonic() - began > _STABLE else failures + 1
            pause = min(_LAST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 10))

    def stop(self) -> None:
        """Do not open the stream again."""
        self._stop.set()

    def listen(self, listeners: NetworkListeners) -> None:
        """Add callbacks, before `run` is called."""
        self._network_listeners.append(listeners)

    def networks(self) -> HostNetworks | None:
        """Subnets and routers, as received last; None while they are not known, which is no reason to remove any."""
        with self._changed:
            found = HostNetworks.of(self._host, self._objects.values())
            # A control service of an earlier version sends nothing of a subnet but its name and MTU.
            return found if self._is_known and all(one.networks for one in found.subnets.values()) else None

    def names(self, scope: str) -> tuple[HostName, ...]:
        """Host names of a scope, if it is one of `HostNetworks.scopes`."""
        with self._changed:
            every = [one for one in self._objects.values() if isinstance(one, HostName)]
            inside = {subnet for subnet in {one.subnet for one in every} if self._scope(subnet) == scope}
            return tuple(one for one in every if one.subnet in inside)

    def inventory(self, host: str, deadline: Deadline) -> Inventory:
        """Objects of the host.

        Args:
            host: its chassis.
            deadline: until when to wait for the stream.

        Raises:
            Unavailable: the stream is away.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._lost is None, deadline.remaining)
            if self._lost:
                raise Unavailable(self._lost.message, self._lost.hint)
            if self._host != host:
                raise Unavailable(f"chassis {self._host} is called {host} now", "systemctl restart ovnhook-agent")
            if self._inventory is None:
                self._inventory = Inventory.of(host, self._objects.values())
            return self._inventory

    def _follow(self) -> None:
        """Follow one stream until it ends, which always raises an error."""
        host = self._chassis(Deadline.after(_TIMEOUT))
        if host != self._host:
            self._host, self._revision = host, ""
        begun: list[api.HostUpdate] = []
        with self._updates.watch(host, self._revision) as updates:
            for update in updates:
                begun.append(update)
                if update.revision:
                    self._apply(begun)
                    self._revision = update.revision
                    begun = []
        raise Unavailable("the control service has ended the stream")

    def _apply(self, updates: Sequence[api.HostUpdate]) -> None:
        """Apply an update, which may have come in several messages."""
        received = {one.id: object_of(one) for update in updates for one in update.objects}
        with self._changed:
            was_lost, self._lost, self._is_known = self._lost is not None, None, True
            affected = {*received, *(self._objects if updates[0].full else ())}
            pairs = [(self._objects.get(uuid), received.get(uuid)) for uuid in affected]
            for uuid in affected:
                self._objects.pop(uuid, None)
            self._objects |= {uuid: one for uuid, one in received.items() if one}
            changed = [(old, new) for old, new in pairs if old != new]
            values = [one for pair in changed for one in pair if one]
            if not all(isinstance(one, HostName | HostRouter) for one in values):  # which it does not contain
                self._inventory = None
            self._changed.notify_all()
        if was_lost:
            self._errors = _errors()
            _log.info("following the control service")
            self._listeners.synced()  # also of what has changed meanwhile
        else:
            for domain in self._domains(values):
                self._listeners.changed(domain)
        networks_changed = was_lost or any(isinstance(one, HostSubnet | HostRouter) for one in values)
        scopes = () if was_lost else self._scopes(changed)
        for listeners in self._network_listeners:
            if networks_changed:
                listeners.networks_changed()
            for scope in scopes:
                listeners.names_changed(scope)
        for _, new in pairs:
            if isinstance(new, LeaseIndex) and new.requested_by and new.host == self._host:
                self._listeners.requested(new)

    def _scope(self, subnet: str) -> str:
        """Name scope of a subnet, or "" if the subnet is not known."""
        found = self._objects.get(str(uuids.switch(subnet)))
        return found.scope if isinstance(found, HostSubnet) else ""

    def _scopes(self, changed: Iterable[tuple[HostObject | None, HostObject | None]]) -> set[str]:
        """Name scopes in which names, or ports of this host, have changed."""
        subnets: set[str] = set()
        for old, new in changed:
            if isinstance(old, Port) and isinstance(new, Port) and old.subnet == new.subnet:
                continue
            subnets.update(one.subnet for one in (old, new) if isinstance(one, Port | HostName))
        return {*filter(None, map(self._scope, subnets))}

    def _domains(self, objects: Iterable[HostObject]) -> set[UUID]:
        """Domains that objects belong to, without those of API clients."""
        owned = [one for one in objects if isinstance(one, Port | LeaseIndex | Lease)]
        domains = {one.domain for one in owned}
        present = (self._objects.get(str(uuids.domain(domain))) for domain in domains)
        owners = (one for one in (*owned, *present) if isinstance(one, Port | LeaseIndex))
        return domains - {one.domain for one in owners if one.kept_by is Owner.CLIENT}

    def _lose(self, error: Exception) -> None:
        """Note that the stream has ended."""
        self._errors.failed(error, str(error))  # each once in an outage: gRPC's words vary
        with self._changed:
            self._lost = error if isinstance(error, OvnhookError) else Unavailable(_INTERNAL)


def _errors() -> LogOnce:
    return LogOnce(_log, "no changes from the control service")
