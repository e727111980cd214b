"""Which calls are let in: so many at a time for each caller, none half-open for long, none for ever.

gRPC for Python has a thread for each call from its headers on. A caller that sends headers and never a message, or
never reads an answer, would keep that thread: here the call is cancelled, which frees the thread.
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

from ovnhook.base.errors import Exhausted

_log = logging.getLogger(__name__)

MESSAGE = 10.0
"""Seconds that a caller has to send a message, which usually comes together with the headers."""

SEND = 60.0
"""Seconds that a caller has to read an answer."""

HALF_OPEN = 64
"""How many calls of a server may wait for their message; of more than that, some are cancelled.

A message is waited for until its thread has a turn, also where it is there already: many calls at once all look
half-open for a moment.
"""

SETTLED = 1.0
"""Seconds after which a call is half-open for its caller's sake, and not because its thread has had no turn yet."""

_SILENCE = 60.0  # seconds between two lines of the log about callers that have too many calls


class CallKind(Enum):
    """The kinds of calls that are counted by themselves."""

    SHORT = "calls"
    LONG = "calls that may take long"
    STREAM = "streams"


@dataclass(frozen=True)
class Limit:
    """How many calls of a kind there may be at a time.

    Attributes:
        each: of one caller, or None for any number.
        total: of all callers together, or None for any number.
    """

    each: int | None = None
    total: int | None = None


class Call:
    """A call that was let in.

    Args:
        caller: who makes it.
        kind: what it counts as.
        cancel: ends it.
        clock: the monotonic time.
    """

    def __init__(self, caller: str, kind: CallKind, cancel: Callable[[], object], clock: Callable[[], float]) -> None:
        self.caller = caller
        self.kind = kind
        self.cancel = cancel
        self.ends: float | None = None
        self.waits_since = 0.0
        self.holders = 2  # gRPC, and the thread that answers: a client that cancels does not free the thread
        self._clock = clock

    def expect(self, seconds: float | None) -> None:
        """Give the step that begins so many seconds, or None for as long as it wants."""
        self.ends = None if seconds is None else self._clock() + seconds


class Admission:
    """Lets calls in, and cancels those that are overdue.

    Args:
        limits: of each kind.
        half_open: how many calls may wait for their message, or None for any number.
        clock: the monotonic time.
    """

    def __init__(
        self,
        limits: Mapping[CallKind, Limit],
        half_open: int | None = HALF_OPEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._most_half_open = half_open
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._half_open: dict[int, Call] = {}
        self._each: Counter[tuple[str, CallKind]] = Counter()
        self._total: Counter[CallKind] = Counter()
        self._said = -_SILENCE

    def admit(self, caller: str, kind: CallKind, context: grpc.ServicerContext) -> Call:
        """Let a call in; it is counted until gRPC has ended it and `leave` was called.

        Args:
            caller: who makes it.
            kind: what it counts as.
            context: of the call.

        Raises:
            Exhausted: there are too many.
        """
        call, limit = Call(caller, kind, context.cancel, self._clock), self._limits.get(kind, Limit())
        with self._lock:
            spare = self._make_room(caller, kind, limit)
            self._calls[id(call)] = call
            self._each[caller, kind] += 1
            self._total[kind] += 1
        _cancel(spare)
        if not context.add_callback(lambda: self.leave(call)):
            self.leave(call)
        return call

    def wait(self, call: Call) -> None:
        """Note that a call waits for its first message."""
        with self._lock:
            call.expect(MESSAGE)
            call.waits_since = self._clock()
            self._half_open[id(call)] = call
            excess = self._excess()
        _cancel(excess)

    def proceed(self, call: Call, seconds: float | None) -> None:
        """Note that a call has its message, and what follows may take so many seconds, or None for any number."""
        with self._lock:
            self._half_open.pop(id(call), None)
            call.expect(seconds)

    def sweep(self) -> None:
        """Cancel the calls that are overdue; called every second or so."""
        now = self._clock()
        with self._lock:
            overdue = [one for one in self._calls.values() if one.ends is not None and one.ends <= now]
            for one in overdue:
                one.ends = None
        _cancel(overdue)

    @property
    def open(self) -> int:
        """How many calls are open."""
        return len(self._calls)

    def leave(self, call: Call) -> None:
        """Note that gRPC, or the thread that answered, has ended a call."""
        with self._lock:
            call.holders -= 1
            if call.holders:
                return
            del self._calls[id(call)]
            self._half_open.pop(id(call), None)
            self._total[call.kind] -= 1
            self._each[call.caller, call.kind] -= 1
            if not self._each[call.caller, call.kind]:
                del self._each[call.caller, call.kind]

    def _make_room(self, caller: str, kind: CallKind, limit: Limit) -> list[Call]:
        """Refuse one call more than there may be, or return one that has to go for it: half-open, and for a while."""
        if limit.each is not None and self._each[caller, kind] >= limit.each:
            rivals = [one for one in self._half_open.values() if (one.caller, one.kind) == (caller, kind)]
            words = f"{caller} has {limit.each} {kind.value} open already"
        elif limit.total is not None and self._total[kind] >= limit.total:
            rivals = [one for one in self._half_open.values() if one.kind is kind]
            words = f"{limit.total} {kind.value} are open already, of all clients together"
        else:
            return []
        settled = self._clock() - SETTLED
        for one in rivals:
            if one.waits_since <= settled:
                del self._half_open[id(one)]
                return [one]
        self._tell(words)
        raise Exhausted(words, "wait until one has ended")

    def _excess(self) -> list[Call]:
        """The half-open call that is one too many: the oldest of the callers that have the most."""
        if self._most_half_open is None or len(self._half_open) <= self._most_half_open:
            return []
        callers = Counter(one.caller for one in self._half_open.values())
        most = max(callers.values())
        found = next(one for one in self._half_open.values() if callers[one.caller] == most)
        del self._half_open[id(found)]
        return [found]

    def _tell(self, words: str) -> None:
        """Log it, though not every time: whoever floods the service would fill the log."""
        now = self._clock()
        if now - self._said >= _SILENCE:
            self._said = now
            _log.warning("%s", words)


def _cancel(calls: list[Call]) -> None:
    for call in calls:
        with suppress(ValueError):  # it has ended at this moment
            call.cancel()
