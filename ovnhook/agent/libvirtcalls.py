"""Calls of libvirt with a timeout.

libvirt itself has none: a call for a domain blocks while a hook runs for that domain, a listing while any hook runs,
and a job for 30 s if QEMU does not respond. So each call is made by a thread with a connection of its own. A thread
whose call has timed out is left blocked, and replaced by another one, up to a limit.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

from ovnhook.base.errors import Unavailable

TIMEOUT = 1.0
"""Timeout of a call, in seconds; a call that does not block takes some milliseconds."""

_MOST_LATE = 5  # blocked calls: libvirtd has 20 workers for all its clients (libvirtd.conf, max_workers)
_MOST_IDLE = 1
_OPEN = "open"

T = TypeVar("T")


class LibvirtConnection(Protocol):
    """The methods of libvirt.virConnect that are used here."""

    def isAlive(self) -> bool:  # noqa: N802
        """Return whether the connection is usable."""

    def close(self) -> object:
        """Close the connection."""


C = TypeVar("C", bound=LibvirtConnection)


class NoAnswer(Unavailable):
    """Timeout of a libvirt call. Calls for other domains may succeed."""


class LibvirtCalls(Generic[C]):
    """Makes calls with a timeout. Safe to share between threads.

    Args:
        connect: opens a connection.
        on_answer: called when a call ends after its timeout.
        timeout: in seconds.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        on_answer: Callable[[], None],
        timeout: float = TIMEOUT,
    ) -> None:
        self._connect = connect
        self._on_answer = on_answer
        self.timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[_Caller[C]] = []
        self._late: dict[_Call[C], Hashable] = {}

    def call(self, subject: Hashable, function: Callable[[C], T]) -> T:
        """Call a function with a connection, and return what it returns.

        Args:
            subject: of the call. While a call for it is blocked, no other one is made.
            function: makes the call.

        Raises:
            NoAnswer: timeout, or an earlier call for the subject, or too many others, are blocked.
            Exception: any exception of the function.
        """
        with self._lock:
            if {subject, _OPEN} & {*self._late.values()}:
                raise NoAnswer("libvirt does not answer")
            if len(self._late) >= _MOST_LATE:
                raise NoAnswer(f"libvirt was not called: {_MOST_LATE} other calls are blocked")
            caller = self._idle.pop() if self._idle else _Caller(self._connect, self._release)
        call = _Call(function)
        caller.calls.put(call)
        if not call.ended.wait(self.timeout):
            with self._lock:
                if not call.ended.is_set():
                    self._late[call] = _OPEN if caller.is_opening else subject
                    raise NoAnswer("libvirt does not answer")
        if call.error:
            raise call.error
        result: T = call.result
        return result

    def _release(self, caller: _Caller[C], call: _Call[C]) -> bool:
        """End a call; return whether its thread is kept for the next one."""
        with self._lock:
            call.ended.set()
            was_late = self._late.pop(call, None) is not None
            is_kept = len(self._idle) < _MOST_IDLE
            if is_kept:
                self._idle.append(caller)
        if was_late:
            self._on_answer()
        return is_kept


class _Call(Generic[C]):
    def __init__(self, function: Callable[[C], Any]) -> None:
        self.function = function
        self.ended = threading.Event()
        self.result: Any = None
        self.error: Exception | None = None


class _Caller(threading.Thread, Generic[C]):
    """A thread with a connection of its own."""

    def __init__(self, connect: Callable[[], C], release: Callable[[_Caller[C], _Call[C]], bool]) -> None:
        super().__init__(name="libvirt call", daemon=True)
        self.calls: queue.SimpleQueue[_Call[C]] = queue.SimpleQueue()
        self.is_opening = False
        self._connect = connect
        self._release = release
        self._connection: C | None = None
        self.start()

    def run(self) -> None:
        """Make calls until this thread is no longer needed."""
        is_needed = True
        while is_needed:
            call = self.calls.get()
            try:
                call.result = call.function(self._connected())
            except Exception as error:
                call.error = error
            is_needed = self._release(self, call)
        self._close()

    def _connected(self) -> C:
        if self._connection is not None and not self._connection.isAlive():
            self._close()
        if self._connection is None:
            self.is_opening = True
            try:
                self._connection = self._connect()
            finally:
                self.is_opening = False
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it was dead already
                connection.close()
