"""What libvirt says of this host: which domains there are, and when one goes or changes.

libvirt's calls wait without an end while a hook runs for the domain in question, so they have threads of their own and
nothing that answers the hook waits for them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import libvirt

from ovnhook.errors import Unavailable

_log = logging.getLogger(__name__)

_URI = "qemu:///system"
_NOBODY = (errno.ENOENT, errno.ECONNREFUSED)  # what the system says of a socket that nobody listens to
_PAUSE = 1.0  # seconds after an error that may come again at once
_GONE = (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_STOPPED)
_ARRIVED = (
    (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED),
    (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY),
    # Started here after the host died from which it was to come.
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED),
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED),
)


@dataclass(frozen=True)
class Sight:
    """What is seen of a domain.

    Attributes:
        live: its XML while it runs, or is about to; else empty.
        definition: its XML as it is defined; empty where it is not.
        paused: whether it is there and does not run at the moment, as while it arrives from another host.
        saved: the XML that it comes back with when it was saved by managedsave; else empty.
        busy: whether libvirt is doing something long with it, as moving it to another host.
    """

    live: bytes = b""
    definition: bytes = b""
    saved: bytes = b""
    paused: bool = False
    busy: bool = False


@dataclass(frozen=True)
class Listeners:
    """Who is told what, from a thread of libvirt's events.

    Attributes:
        gone: a domain stopped or was undefined.
        arrived: a domain runs that was not here before: it was started, or has come from another host.
        changed: it was defined anew, or an interface was plugged in or out, maybe.
        described: its metadata changed.
        lost: the connection to libvirt.
    """

    gone: Callable[[UUID], None]
    arrived: Callable[[UUID], None]
    changed: Callable[[UUID], None]
    described: Callable[[UUID], None]
    lost: Callable[[], None]


class Hypervisor:
    """A connection to libvirt that comes back by itself. Safe to share between threads.

    Args:
        listeners: are told of events.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._connection: libvirt.virConnect | None = None
        self._listening: list[int] = []  # what libvirt calls our listening to its events
        self._lock = threading.Lock()
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # each error is raised as well
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()

    def domains(self) -> dict[UUID, Sight]:
        """The domains that run or are defined, as they are now.

        Raises:
            Unavailable: libvirt is out of reach.
        """
        try:
            return {UUID(bytes=domain.UUID()): _see(domain) for domain in self._connected().listAllDomains()}
        except libvirt.libvirtError as error:
            raise _unavailable(error) from error

    def domain(self, uuid: UUID) -> Sight | None:
        """One of them, or None where there is none.

        Raises:
            Unavailable: libvirt is out of reach.
        """
        try:
            return _see(self._connected().lookupByUUID(uuid.bytes))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise _unavailable(error) from error

    def _connected(self) -> libvirt.virConnect:
        with self._lock:
            if self._connection is not None and not self._connection.isAlive():
                self._drop()
            if self._connection is None:
                connection = libvirt.open(_URI)
                connection.setKeepAlive(5, 3)
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
            return self._connection

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


def _see(domain: libvirt.virDomain) -> Sight:
    """A domain as it is; empty when it went meanwhile."""
    definition = b""
    try:
        definition = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).encode() if domain.isPersistent() else b""
        if not domain.isActive():
            saved = domain.managedSaveGetXMLDesc().encode() if domain.hasManagedSaveImage() else b""
            return Sight(definition=definition, saved=saved)
        state, live = domain.state()[0], domain.XMLDesc()
        is_paused = state == libvirt.VIR_DOMAIN_PAUSED
        return Sight(live.encode(), definition, paused=is_paused, busy=_is_busy(domain))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return Sight(definition=definition)
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return Sight()


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
