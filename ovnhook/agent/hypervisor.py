"""Domain states and events of this host's libvirt.

A domain for which libvirt does not respond does not delay calls for others (ovnhook.agent.libvirtcalls).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID

import libvirt

from ovnhook.agent.libvirtcalls import LibvirtCalls, NoAnswer
from ovnhook.agent.libvirtevents import Deregister, LibvirtEvents, connect, unavailable
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable

_log = logging.getLogger(__name__)

_ALL = 20.0  # seconds to query all domains
_LONG = 15.0  # seconds after which a start or stop counts as unresponsive; a slow host takes some to start QEMU
_HANGS = 3000  # milliseconds that a QEMU monitor command may take
_GONE = (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_STOPPED)
_ARRIVED = (
    (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED),
    (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY),
    # Started here after its migration source failed.
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED),
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED),
)
_NOT_MIGRATING = (
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_OPERATION_INVALID,  # it is shut off
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,  # it is migrating here
)

T = TypeVar("T")


@dataclass(frozen=True)
class DomainState:
    """State of a domain: its XML and run state.

    Attributes:
        live: live XML while it is active; else empty.
        definition: stored XML; empty for a transient domain.
        saved: XML in its managed save image; else empty.
        paused: whether it is active and paused, as during an incoming migration.
        busy: whether a libvirt job is active on it, such as an outgoing migration; only queried for a migration.
        hangs: whether its QEMU monitor has not responded for some seconds.
    """

    live: bytes = b""
    definition: bytes = b""
    saved: bytes = b""
    paused: bool = False
    busy: bool = False
    hangs: bool = False


@dataclass(frozen=True)
class DomainStates:
    """States of all domains of a host.

    Attributes:
        domains: active and defined domains.
        unresponsive: names of domains for which libvirt does not respond: their state is unknown.
        in_transition: domains that libvirt is starting or stopping, which were not queried.
    """

    domains: Mapping[UUID, DomainState]
    unresponsive: Mapping[UUID, str] = field(default_factory=dict)
    in_transition: frozenset[UUID] = frozenset()


@dataclass(frozen=True)
class Listeners:
    """Callbacks for libvirt's events, called by the event thread.

    Attributes:
        gone: a domain stopped or was undefined.
        arrived: a domain has migrated here and runs.
        changed: a domain may have been redefined, or an interface plugged in or out.
        metadata_changed: a domain's metadata changed.
        connected: events are delivered from now on.
        disconnected: the connection to libvirt was lost.
        responsive: libvirt responds again.
        transition_ended: a domain has started or stopped; libvirt calls no more hooks for it.
    """

    gone: Callable[[UUID], None]
    arrived: Callable[[UUID], None]
    changed: Callable[[UUID], None]
    metadata_changed: Callable[[UUID], None]
    connected: Callable[[], None]
    disconnected: Callable[[], None]
    responsive: Callable[[], None]
    transition_ended: Callable[[UUID], None]


class Hypervisor:
    """Queries libvirt and subscribes to its events. Safe to share between threads.

    Args:
        listeners: callbacks for events.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._events = LibvirtEvents(self._register, self._lost)
        self._calls: LibvirtCalls[libvirt.virConnect] = LibvirtCalls(connect, listeners.responsive)
        self._names: dict[UUID, str] = {}
        self._order: dict[UUID, int] = {}

    def domains(
        self, known: Mapping[UUID, str], moving: Collection[UUID], in_transition: Mapping[UUID, float]
    ) -> DomainStates:
        """Query the state of all domains.

        Args:
            known: names of domains that may exist: libvirt does not list any while it is busy with one.
            moving: domains with an announced migration to another host.
            in_transition: domains that libvirt is starting or stopping, with the seconds since.

        Raises:
            Unavailable: libvirt is unreachable, or does not respond at all.
        """
        self._listen()
        unlisted: NoAnswer | None = None
        asked = {**known, **self._names}
        if not in_transition:
            try:
                self._names = self._ask("list", _names)
                asked = dict(self._names)
            except NoAnswer as error:
                unlisted = error
        late = {uuid: asked.get(uuid, str(uuid)) for uuid, seconds in in_transition.items() if seconds > _LONG}
        asked = {uuid: name for uuid, name in asked.items() if uuid not in in_transition}
        found: dict[UUID, DomainState] = {}
        unresponsive: dict[UUID, str] = {}
        deadline = Deadline.after(_ALL)
        # First the domains that the last query had no time for; last those that did not respond, as the number of
        # pending calls is limited.
        for uuid in sorted(asked, key=lambda uuid: self._order.get(uuid, 0)):
            if not deadline.remaining:
                break
            try:
                found[uuid] = self._ask(uuid, partial(_look_up, uuid, is_moving=uuid in moving))
            except NoAnswer:
                unresponsive[uuid] = asked[uuid]
        skipped = asked.keys() - found.keys() - unresponsive.keys()
        self._order = dict.fromkeys(unresponsive, 1) | dict.fromkeys(skipped, -1)
        unresponsive |= {uuid: name for uuid, name in asked.items() if uuid not in found}
        if unlisted and not found:
            raise unlisted
        there = {uuid: one for uuid, one in found.items() if one.live or one.definition}
        return DomainStates(there, unresponsive | late, frozenset(in_transition) - late.keys())

    def domain(self, uuid: UUID, *, is_moving: bool = False) -> DomainState | None:
        """Query the state of one domain; None if it does not exist.

        Raises:
            Unavailable: libvirt is unreachable, or does not respond for this domain.
        """
        self._listen()
        found = self._ask(uuid, partial(_look_up, uuid, is_moving=is_moving))
        return found if found.live or found.definition else None

    def migrates(self, uuid: UUID) -> bool:
        """Query whether libvirt is migrating a domain from here to another host.

        It is so from before libvirt calls the destination's hook until the migration has ended: the job is kept from
        the begin phase on, also of peer-to-peer, tunnelled and post-copy migrations (src/qemu/MIGRATION.txt).

        Raises:
            Unavailable: libvirt is unreachable, or does not respond for this domain.
        """
        return self._ask(uuid, partial(_migrates, uuid))

    def hanging(self, in_transition: Mapping[UUID, float]) -> frozenset[UUID] | None:
        """Query running domains with a hanging QEMU, or whose start hangs; None if libvirt itself does not respond."""
        if in_transition:
            return frozenset(uuid for uuid, seconds in in_transition.items() if seconds > _LONG)
        try:
            return self._ask("hanging", _hanging)
        except Unavailable:
            return None

    def _ask(self, subject: Hashable, function: Callable[[libvirt.virConnect], T]) -> T:
        try:
            return self._calls.call(subject, function)
        except libvirt.libvirtError as error:
            raise unavailable(error) from error

    def _listen(self) -> None:
        """Subscribe to libvirt's events, if not connected."""
        if not self._events.is_open:
            self._ask("events", lambda _: self._subscribe())

    def _subscribe(self) -> None:
        if self._events.open():
            self._listeners.connected()
            _log.info("connected to libvirt")

    def _register(self, connection: libvirt.virConnect) -> Sequence[Deregister]:
        return [
            partial(connection.domainEventDeregisterAny, connection.domainEventRegisterAny(None, kind, listener, None))
            for kind, listener in (
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
                (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, self._device),
                (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._device),
                (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self._metadata),
            )
        ]

    def _lost(self) -> None:
        _log.warning("connection to libvirt lost")
        self._listeners.disconnected()

    def _lifecycle(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, _opaque: None
    ) -> None:
        uuid = UUID(bytes=domain.UUID())
        if event != libvirt.VIR_DOMAIN_EVENT_DEFINED:
            self._listeners.transition_ended(uuid)
        if event in _GONE:
            self._listeners.gone(uuid)
        elif event == libvirt.VIR_DOMAIN_EVENT_DEFINED:
            self._listeners.changed(uuid)
        elif (event, detail) in _ARRIVED:
            self._listeners.arrived(uuid)

    def _device(self, _connection: libvirt.virConnect, domain: libvirt.virDomain, _alias: str, _opaque: None) -> None:
        self._listeners.changed(UUID(bytes=domain.UUID()))

    def _metadata(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, _type: int, _uri: str, _opaque: None
    ) -> None:
        self._listeners.metadata_changed(UUID(bytes=domain.UUID()))


def _names(connection: libvirt.virConnect) -> dict[UUID, str]:
    return {UUID(bytes=domain.UUID()): domain.name() for domain in connection.listAllDomains()}


def _hanging(connection: libvirt.virConnect) -> frozenset[UUID]:
    found = set()
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with contextlib.suppress(libvirt.libvirtError):  # it has ended
            if _hangs(domain):
                found.add(UUID(bytes=domain.UUID()))
    return frozenset(found)


def _hangs(domain: libvirt.virDomain) -> bool:
    """Return whether a QEMU monitor command has been pending for too long; sends none itself."""
    state, _, since = domain.controlInfo()
    return bool(state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED and since >= _HANGS)


def _look_up(uuid: UUID, connection: libvirt.virConnect, *, is_moving: bool) -> DomainState:
    """Query the state of a domain; empty if it does not exist (any more)."""
    definition = b""
    try:
        domain = connection.lookupByUUID(uuid.bytes)
        definition = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).encode() if domain.isPersistent() else b""
        if not domain.isActive():
            saved = domain.managedSaveGetXMLDesc().encode() if domain.hasManagedSaveImage() else b""
            return DomainState(definition=definition, saved=saved)
        state, live = domain.state()[0], domain.XMLDesc()
        return DomainState(
            live.encode(),
            definition,
            paused=state == libvirt.VIR_DOMAIN_PAUSED,
            # A QEMU monitor command, which may wait 30 s for the one before it.
            busy=is_moving and _is_busy(domain),
            hangs=_hangs(domain),
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return DomainState(definition=definition)
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return DomainState()


def _is_busy(domain: libvirt.virDomain) -> bool:
    try:
        return bool(domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as error:
        # An incoming migration, whose statistics only the source has; or its monitor does not respond.
        if error.get_error_code() in (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_TIMEOUT):
            return True
        raise


def _migrates(uuid: UUID, connection: libvirt.virConnect) -> bool:
    try:
        job = connection.lookupByUUID(uuid.bytes).jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() in _NOT_MIGRATING:
            return False
        raise
    return bool(job.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)
