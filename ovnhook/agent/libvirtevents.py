"""Connections to this host's libvirt, and the events that they deliver."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence

import libvirt

from ovnhook.base.errors import Unavailable

_log = logging.getLogger(__name__)

_URI = "qemu:///system"
_NOBODY = (errno.ENOENT, errno.ECONNREFUSED)  # errors of connect(2) without a listener
_PAUSE = 1.0  # seconds after an error that may recur at once

Deregister = Callable[[], object]


def connect() -> libvirt.virConnect:
    """Open a connection, which notices within 20 s that libvirt does not answer."""
    connection = libvirt.open(_URI)
    connection.setKeepAlive(5, 3)
    return connection


def unavailable(error: libvirt.libvirtError) -> Unavailable:
    """Convert an error of libvirt, with a hint for hosts without libvirt."""
    if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() in _NOBODY:
        return Unavailable(
            "libvirt is not running on this host: nothing to compare",
            "on a hypervisor: systemctl start libvirtd; on a control or gateway host: ovnhook status",
        )
    return Unavailable(f"libvirt: {error}")


class LibvirtEvents:
    """A connection that delivers events, opened again after it was lost. Safe to share between threads.

    Args:
        register: registers callbacks at a new connection; returns functions that remove them.
        lost: called by the event thread when the connection is lost.
    """

    def __init__(
        self, register: Callable[[libvirt.virConnect], Sequence[Deregister]], lost: Callable[[], None]
    ) -> None:
        self._register = register
        self._lost = lost
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._registered: Sequence[Deregister] = ()
        _start_loop()

    @property
    def is_open(self) -> bool:
        """True while events are delivered."""
        connection = self._connection
        return connection is not None and bool(connection.isAlive())

    def open(self) -> bool:
        """Open the connection and register the callbacks; return False if that is so already."""
        with self._lock:
            if self.is_open:
                return False
            self._drop()
            connection = connect()
            connection.registerCloseCallback(self._closed, None)
            self._registered = self._register(connection)
            self._connection = connection
        return True

    def _drop(self) -> None:
        """Close a dead connection. Event callbacks would keep its socket open forever."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # libvirt is unreachable, but callbacks are removed locally.
        for close in (*self._registered, connection.unregisterCloseCallback, connection.close):
            with contextlib.suppress(libvirt.libvirtError):
                close()

    def _closed(self, _connection: libvirt.virConnect, _reason: int, _opaque: None) -> None:
        self._lost()


@functools.cache
def _start_loop() -> None:
    """Start the event loop of the process. It has to exist before the first connection."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised, too: print none
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run, name="libvirt-events", daemon=True).start()


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            _log.error("libvirt event loop: %s", error)
            time.sleep(_PAUSE)
