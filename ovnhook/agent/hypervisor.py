"""What libvirt says of this host: which domains there are, and when one goes.

libvirt's calls wait without an end while a hook runs for the domain in question, so they have threads of their own and
nothing that answers the hook waits for them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import libvirt

from ovnhook.errors import Unavailable

_log = logging.getLogger(__name__)

_URI = "qemu:///system"
_GONE = (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_STOPPED)
_ARRIVED = (libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY)


@dataclass(frozen=True)
class Domains:
    """The domains of this host.

    Attributes:
        running: the live XML of each that runs, or is about to.
        paused: those of them that do not run at the moment, as while they arrive from another host.
        known: all that run or are defined.
    """

    running: dict[UUID, bytes]
    paused: frozenset[UUID]
    known: frozenset[UUID]


class Hypervisor:
    """A connection to libvirt that comes back by itself.

    Args:
        on_gone: called, from a thread of libvirt's events, with a domain that stopped or was undefined.
        on_arrived: called likewise with a domain that has come from another host and runs.
        on_lost: called likewise when the connection was lost: what happens from then on nobody tells.
    """

    def __init__(
        self, on_gone: Callable[[UUID], None], on_arrived: Callable[[UUID], None], on_lost: Callable[[], None]
    ) -> None:
        self._on_gone = on_gone
        self._on_arrived = on_arrived
        self._on_lost = on_lost
        self._connection: libvirt.virConnect | None = None
        self._listening = 0  # what libvirt calls our listening to its events
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # each error is raised as well
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()

    def domains(self) -> Domains:
        """The domains as they are now.

        Raises:
            Unavailable: libvirt is out of reach.
        """
        try:
            domains = self._connected().listAllDomains()
            running, paused = {}, set()
            for domain in domains:
                uuid, (state, xml) = UUID(bytes=domain.UUID()), _now(domain)
                if xml:
                    running[uuid] = xml
                if state == libvirt.VIR_DOMAIN_PAUSED:
                    paused.add(uuid)
            return Domains(running, frozenset(paused), frozenset(UUID(bytes=domain.UUID()) for domain in domains))
        except libvirt.libvirtError as error:
            raise self._lost(error) from error

    def knows(self, domain: UUID) -> bool:
        """Whether a domain runs or is defined.

        Raises:
            Unavailable: libvirt is out of reach.
        """
        try:
            self._connected().lookupByUUID(domain.bytes)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return False
            raise self._lost(error) from error
        return True

    def _connected(self) -> libvirt.virConnect:
        if self._connection is not None and not self._connection.isAlive():
            self._drop()
        if self._connection is None:
            connection = libvirt.open(_URI)
            connection.setKeepAlive(5, 3)
            connection.registerCloseCallback(self._closed, None)
            self._listening = connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._event, None
            )
            self._connection = connection
            _log.info("connected to libvirt")
        return self._connection

    def _lost(self, error: libvirt.libvirtError) -> Unavailable:
        self._drop()
        return Unavailable(f"libvirt: {error}")

    def _drop(self) -> None:
        """Let go of a connection that is of no use any more. What listens to it would keep its socket open for ever."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(libvirt.libvirtError):  # the daemon can't be told, but here it is taken off the list
            connection.domainEventDeregisterAny(self._listening)
        with contextlib.suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()

    def _closed(self, _connection: libvirt.virConnect, _reason: int, _opaque: None) -> None:
        _log.warning("the connection to libvirt was lost")
        self._on_lost()

    def _event(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, _opaque: None
    ) -> None:
        if event in _GONE:
            self._on_gone(UUID(bytes=domain.UUID()))
        elif event == libvirt.VIR_DOMAIN_EVENT_RESUMED and detail in _ARRIVED:
            self._on_arrived(UUID(bytes=domain.UUID()))


def _now(domain: libvirt.virDomain) -> tuple[int, bytes]:
    """The state of a domain, and its live XML, empty when it does not run, or went meanwhile."""
    try:
        if domain.isActive():
            state, xml = domain.state()[0], domain.XMLDesc()
            return state, xml.encode()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
    return libvirt.VIR_DOMAIN_SHUTOFF, b""


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
