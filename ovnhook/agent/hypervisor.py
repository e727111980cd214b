"""What libvirt says of this host: which domains there are, and when one goes or changes.

A domain about which libvirt does not answer delays nothing that is asked about the others (ovnhook.agent.libvirtcalls).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID

import libvirt

from ovnhook.agent.libvirtcalls import LibvirtCalls, NoAnswer
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable

_log = logging.getLogger(__name__)

_URI = "qemu:///system"
_NOBODY = (errno.ENOENT, errno.ECONNREFUSED)  # what the system says of a socket that nobody listens to
_PAUSE = 1.0  # seconds after an error that may come again at once
_ALL = 20.0  # seconds for all domains
_LONG = 15.0  # seconds between a hook and what it was called for: a slow host takes some to start a QEMU
_HANGS = 3000  # milliseconds that a question to QEMU may take
_GONE = (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_STOPPED)
_ARRIVED = (
    (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED),
    (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY),
    # Started here after the host died from which it was to come.
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED),
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED),
)


T = TypeVar("T")


@dataclass(frozen=True)
class DomainState:
    """What is seen of a domain.

    Attributes:
        live: its XML while it runs, or is about to; else empty.
        definition: its XML as it is defined; empty where it is not.
        paused: whether it is there and does not run at the moment, as while it arrives from another host.
        saved: the XML that it comes back with when it was saved by managedsave; else empty.
        busy: whether libvirt is doing something long with it, as moving it to another host; asked only for a migration.
        hangs: whether its QEMU has not answered a question of libvirt's for some seconds.
    """

    live: bytes = b""
    definition: bytes = b""
    saved: bytes = b""
    paused: bool = False
    busy: bool = False
    hangs: bool = False


@dataclass(frozen=True)
class DomainStates:
    """What is seen of a host.

    Attributes:
        domains: those that run or are defined.
        silent: the names of those about which libvirt does not answer: nothing is known of them.
        between: those that it is starting or ending: it was not asked about them.
    """

    domains: Mapping[UUID, DomainState]
    silent: Mapping[UUID, str] = field(default_factory=dict)
    between: frozenset[UUID] = frozenset()


@dataclass(frozen=True)
class Listeners:
    """Who is told what, from a thread of libvirt's events.

    Attributes:
        gone: a domain stopped or was undefined.
        arrived: a domain runs that was not here before: it was started, or has come from another host.
        changed: it was defined anew, or an interface was plugged in or out, maybe.
        described: its metadata changed.
        lost: the connection to libvirt.
        answers: libvirt answers again.
        settled: a domain was started or has ended: libvirt calls no hook for it any more.
    """

    gone: Callable[[UUID], None]
    arrived: Callable[[UUID], None]
    changed: Callable[[UUID], None]
    described: Callable[[UUID], None]
    lost: Callable[[], None]
    answers: Callable[[], None]
    settled: Callable[[UUID], None]


class Hypervisor:
    """Asks libvirt, and listens to its events. Safe to share between threads.

    Args:
        listeners: are told of events.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._connection: libvirt.virConnect | None = None
        self._listening: list[int] = []  # what libvirt calls our listening to its events
        self._lock = threading.Lock()
        self._calls: LibvirtCalls[libvirt.virConnect] = LibvirtCalls(_connect, listeners.answers)
        self._names: dict[UUID, str] = {}
        self._order: dict[UUID, int] = {}
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # each error is raised as well
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()

    def domains(
        self, known: Mapping[UUID, str], moving: Collection[UUID], between: Mapping[UUID, float]
    ) -> DomainStates:
        """All domains as they are now.

        Args:
            known: names of domains that there may be: libvirt lists none while it is busy with one of them.
            moving: those that migrate to another host, or were to.
            between: those that it is busy with, and for how many seconds.

        Raises:
            Unavailable: libvirt is out of reach, or answers nothing at all.
        """
        self._listen()
        unlisted: NoAnswer | None = None
        asked = {**known, **self._names}
        if not between:
            try:
                self._names = self._ask("list", _names)
                asked = dict(self._names)
            except NoAnswer as error:
                unlisted = error
        late = {uuid: asked.get(uuid, str(uuid)) for uuid, seconds in between.items() if seconds > _LONG}
        asked = {uuid: name for uuid, name in asked.items() if uuid not in between}
        found: dict[UUID, DomainState] = {}
        silent: dict[UUID, str] = {}
        deadline = Deadline.after(_ALL)
        # Last those that did not answer the last time, for only so many calls may wait for an answer at once; first
        # those for which there was no time.
        for uuid in sorted(asked, key=lambda uuid: self._order.get(uuid, 0)):
            if not deadline.remaining:
                break
            try:
                found[uuid] = self._ask(uuid, partial(_look_up, uuid, is_moving=uuid in moving))
            except NoAnswer:
                silent[uuid] = asked[uuid]
        self._order = dict.fromkeys(silent, 1) | dict.fromkeys(asked.keys() - found.keys() - silent.keys(), -1)
        silent |= {uuid: name for uuid, name in asked.items() if uuid not in found}
        if unlisted and not found:
            raise unlisted
        there = {uuid: one for uuid, one in found.items() if one.live or one.definition}
        return DomainStates(there, silent | late, frozenset(between) - late.keys())

    def domain(self, uuid: UUID, *, is_moving: bool = False) -> DomainState | None:
        """One of them, or None where there is none.

        Raises:
            Unavailable: libvirt is out of reach, or does not answer for this domain.
        """
        self._listen()
        found = self._ask(uuid, partial(_look_up, uuid, is_moving=is_moving))
        return found if found.live or found.definition else None

    def hanging(self, between: Mapping[UUID, float]) -> frozenset[UUID] | None:
        """The domains that run and whose QEMU does not answer, or that are started for long; None: libvirt does not."""
        if between:
            return frozenset(uuid for uuid, seconds in between.items() if seconds > _LONG)
        try:
            return self._ask("hanging", _hanging)
        except Unavailable:
            return None

    def _ask(self, subject: Hashable, function: Callable[[libvirt.virConnect], T]) -> T:
        try:
            return self._calls.call(subject, function)
        except libvirt.libvirtError as error:
            raise _unavailable(error) from error

    def _listen(self) -> None:
        """Have libvirt's events."""
        connection = self._connection
        if connection is None or not connection.isAlive():
            self._ask("events", lambda _: self._subscribe())

    def _subscribe(self) -> None:
        with self._lock:
            if self._connection is not None and self._connection.isAlive():
                return
            self._drop()
            connection = _connect()
            connection.registerCloseCallback(self._closed, None)
            self._listening = [
                connection.domainEventRegisterAny(None, kind, listener, None)
                for kind, listener in (
                    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
                    (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, self._device),
                    (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._device),
                    (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self._metadata),
                )
            ]
            self._connection = connection
        _log.info("connected to libvirt")

    def _drop(self) -> None:
        """Let go of a connection that is of no use any more. What listens to it would keep its socket open for ever."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        for listening in self._listening:
            with contextlib.suppress(libvirt.libvirtError):  # it can't be told, but here it is off the list
                connection.domainEventDeregisterAny(listening)
        with contextlib.suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()

    def _closed(self, _connection: libvirt.virConnect, _reason: int, _opaque: None) -> None:
        _log.warning("the connection to libvirt was lost")
        self._listeners.lost()

    def _lifecycle(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, _opaque: None
    ) -> None:
        uuid = UUID(bytes=domain.UUID())
        if event != libvirt.VIR_DOMAIN_EVENT_DEFINED:
            self._listeners.settled(uuid)
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
        self._listeners.described(UUID(bytes=domain.UUID()))


def _unavailable(error: libvirt.libvirtError) -> Unavailable:
    """An error of libvirt's as a person on a host without it is to read it."""
    if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() in _NOBODY:
        return Unavailable(
            "libvirt does not run on this host: there is nothing to compare",
            "on a hypervisor: systemctl start libvirtd; on a control or gateway host: ovnhook status",
        )
    return Unavailable(f"libvirt: {error}")


def _connect() -> libvirt.virConnect:
    connection = libvirt.open(_URI)
    connection.setKeepAlive(5, 3)
    return connection


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
    """Whether a question to a QEMU has had no answer for too long; this asks it nothing."""
    state, _, since = domain.controlInfo()
    return bool(state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED and since >= _HANGS)


def _look_up(uuid: UUID, connection: libvirt.virConnect, *, is_moving: bool) -> DomainState:
    """A domain as it is; empty where there is none, or it went meanwhile."""
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
            # A question to QEMU, which may wait 30 s for the one before it.
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
        # It arrives from another host, which alone has the figures; or its monitor does not answer.
        if error.get_error_code() in (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_TIMEOUT):
            return True
        raise


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            _log.error("libvirt's events: %s", error)
            time.sleep(_PAUSE)
