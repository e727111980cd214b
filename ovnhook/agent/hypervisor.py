"""What libvirt says of this host: which domains there are, and when one goes.

libvirt's calls wait without an end while a hook runs for the domain in question, so they have threads of their own and
nothing that answers the hook waits for them.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Domains:
    """The domains of this host.

    Attributes:
        running: the live XML of each that runs.
        known: all that run or are defined.
    """

    running: dict[UUID, bytes]
    known: frozenset[UUID]


class Hypervisor:
    """A connection to libvirt that comes back by itself.

    Args:
        on_gone: called, from a thread of libvirt's events, with a domain that stopped or was undefined.
    """

    def __init__(self, on_gone: Callable[[UUID], None]) -> None:
        self._on_gone = on_gone
        self._connection: libvirt.virConnect | None = None
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
            running = {}
            for domain in domains:
                xml = _running_xml(domain)
                if xml is not None:
                    running[UUID(bytes=domain.UUID())] = xml
            return Domains(running, frozenset(UUID(bytes=domain.UUID()) for domain in domains))
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
        if self._connection is None or not self._connection.isAlive():
            connection = libvirt.open(_URI)
            connection.setKeepAlive(5, 3)
            connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._event, None)
            self._connection = connection
            _log.info("connected to libvirt")
        return self._connection

    def _lost(self, error: libvirt.libvirtError) -> Unavailable:
        self._connection = None
        return Unavailable(f"libvirt: {error}")

    def _event(
        self, _connection: libvirt.virConnect, domain: libvirt.virDomain, event: int, _detail: int, _opaque: None
    ) -> None:
        if event in _GONE:
            self._on_gone(UUID(bytes=domain.UUID()))


def _running_xml(domain: libvirt.virDomain) -> bytes | None:
    """The live XML of a domain, or None when it does not run, or went meanwhile."""
    try:
        if domain.isActive():
            xml: str = domain.XMLDesc()
            return xml.encode()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
    return None


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
