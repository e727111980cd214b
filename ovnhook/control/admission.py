"""Admission control: quotas of concurrent RPCs, and timeouts of half-open ones.

gRPC for Python occupies a thread for each RPC as soon as its headers arrive. A client that never sends the message, or
never reads the response, would occupy the thread for ever. Such RPCs are cancelled, which frees the thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import grpc

from ovnhook.base.errors import QuotaExceeded

_log = logging.getLogger(__name__)

MESSAGE_TIMEOUT = 10.0
"""Seconds that a client has to send a request, which usually comes together with the headers."""

SEND_TIMEOUT = 60.0
"""Seconds that a client has to read a response."""

HALF_OPEN = 128
"""Maximum number of half-open RPCs of a server, which wait for their request; beyond that, some are cancelled.

An RPC also counts as half-open while its request has arrived but its thread has not run yet, so that many concurrent
RPCs are all half-open for a moment.
"""

HALF_OPEN_AGE = 1.0
"""Seconds after which the client is considered the reason for a half-open RPC, and not a thread that has not run."""

_LOG_INTERVAL = 60.0  # seconds between two log lines about exceeded quotas


class CallKind(Enum):
    """Kinds of RPCs with a quota of their own."""

    SHORT = "RPCs"
    WAITING = "waiting RPCs"
    STREAM = "streams"
    AGENT = "streams of agents"
    MIGRATION = "announced migrations"


@dataclass(frozen=True)
class Limit:
    """Quota of concurrent RPCs of a kind.

    Attributes:
        per_client: RPCs of one client, or None for any number.
        total: RPCs of all clients together, or None for any number.
    """

    per_client: int | None = None
    total: int | None = None


class Call:
    """An admitted RPC.

    Args:
        caller: client, as quotas count it.
        kind: kind of the RPC.
        cancel: cancels the RPC.
        clock: returns the monotonic time.
    """

    def __init__(self, caller: str, kind: CallKind, cancel: Callable[[], object], clock: Callable[[], float]) -> None:
        self.caller = caller
        self.kind = kind
        self.cancel = cancel
        self.expires: float | None = None
        self.half_open_since = 0.0
        self.holders = 2  # gRPC and the thread that serves it: cancelling does not free the thread at once
        self._clock = clock

    def set_timeout(self, seconds: float | None) -> None:
        """Set the timeout of the step that begins; None for no timeout."""
        self.expires = None if seconds is None else self._clock() + seconds


class Admission:
    """Admits RPCs within quotas, and cancels those that exceed a timeout. Thread-safe.

    Args:
        limits: quota of each kind.
        half_open: maximum number of half-open RPCs, or None for any number.
        clock: returns the monotonic time.
    """

    def __init__(
        self,
        limits: Mapping[CallKind, Limit],
        half_open: int | None = HALF_OPEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._max_half_open = half_open
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._half_open: dict[int, Call] = {}
        self._per_client: Counter[tuple[str, CallKind]] = Counter()
        self._total: Counter[CallKind] = Counter()
        self._logged_at = -_LOG_INTERVAL

    def admit(self, caller: str, kind: CallKind, context: grpc.ServicerContext) -> Call:
        """Admit an RPC. It counts until gRPC has ended it and `leave` was called.

        Args:
            caller: client, as quotas count it.
            kind: kind of the RPC.
            context: context of the RPC.

        Raises:
            QuotaExceeded: a quota is exceeded.
        """
        call, limit = Call(caller, kind, context.cancel, self._clock), self._limits.get(kind, Limit())
        with self._lock:
            victims = self._make_room(caller, kind, limit)
            self._calls[id(call)] = call
            self._per_client[caller, kind] += 1
            self._total[kind] += 1
        _cancel(victims)
        if not context.add_callback(lambda: self.leave(call)):
            self.leave(call)
        return call

    def wait(self, call: Call) -> None:
        """Mark an RPC as half-open: it waits for its request."""
        with self._lock:
            call.set_timeout(MESSAGE_TIMEOUT)
            call.half_open_since = self._clock()
            self._half_open[id(call)] = call
            excess = self._excess()
        _cancel(excess)

    def proceed(self, call: Call, seconds: float | None) -> None:
        """Mark an RPC as no longer half-open, and set the timeout of its next step; None for no timeout."""
        with self._lock:
            self._half_open.pop(id(call), None)
            call.set_timeout(seconds)

    def sweep(self) -> None:
        """Cancel RPCs that have exceeded their timeout; called periodically."""
        now = self._clock()
        with self._lock:
            expired = [one for one in self._calls.values() if one.expires is not None and one.expires <= now]
            for one in expired:
                one.expires = None
        _cancel(expired)

    @property
    def open(self) -> int:
        """Number of open RPCs."""
        return len(self._calls)

    def leave(self, call: Call) -> None:
        """Release an RPC by one of its two holders: gRPC, or the thread that has served it."""
        with self._lock:
            call.holders -= 1
            if call.holders:
                return
            del self._calls[id(call)]
            self._half_open.pop(id(call), None)
            self._total[call.kind] -= 1
            self._per_client[call.caller, call.kind] -= 1
            if not self._per_client[call.caller, call.kind]:
                del self._per_client[call.caller, call.kind]

    def _make_room(self, caller: str, kind: CallKind, limit: Limit) -> list[Call]:
        """Return the half-open RPC that is cancelled for a new one, if the quota is exceeded; else none.

        Raises:
            QuotaExceeded: the quota is exceeded, and none can be cancelled.
        """
        if limit.per_client is not None and self._per_client[caller, kind] >= limit.per_client:
            rivals = [one for one in self._half_open.values() if (one.caller, one.kind) == (caller, kind)]
            message = f"quota exceeded: {caller} has {limit.per_client} {kind.value} open"
        elif limit.total is not None and self._total[kind] >= limit.total:
            rivals = [one for one in self._half_open.values() if one.kind is kind]
            message = f"quota exceeded: all clients together have {limit.total} {kind.value} open"
        else:
            return []
        newest = self._clock() - HALF_OPEN_AGE
        for one in rivals:
            if one.half_open_since <= newest:
                del self._half_open[id(one)]
                return [one]
        self._log_rarely(message)
        raise QuotaExceeded(message, "retry when one has ended")

    def _excess(self) -> list[Call]:
        """Half-open RPC beyond the maximum, if any: the oldest one of the clients that have the most."""
        if self._max_half_open is None or len(self._half_open) <= self._max_half_open:
            return []
        callers = Counter(one.caller for one in self._half_open.values())
        most = max(callers.values())
        found = next(one for one in self._half_open.values() if callers[one.caller] == most)
        del self._half_open[id(found)]
        return [found]

    def _log_rarely(self, message: str) -> None:
        """Log a message unless one was logged recently, so that a flood of RPCs does not fill the log."""
        now = self._clock()
        if now - self._logged_at >= _LOG_INTERVAL:
            self._logged_at = now
            _log.warning("%s", message)


def _cancel(calls: list[Call]) -> None:
    for call in calls:
        with suppress(ValueError):  # it has ended in the meantime
            call.cancel()
