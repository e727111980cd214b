"""Turns of RPCs: each client has some processed at once, and further ones wait, so that a busy client delays itself."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import QuotaExceeded


class Turns:
    """Lets each client have some RPCs processed at once. Thread-safe.

    Args:
        at_once: number of RPCs of one client, or None for any number.
    """

    def __init__(self, at_once: int | None) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[threading.Event]] = {}

    @contextmanager
    def turn(self, client: str, deadline: Deadline) -> Iterator[None]:
        """Wait for a turn, in the order of arrival, and have it for the duration of the block.

        Args:
            client: client, as quotas count it.
            deadline: when to give up.

        Raises:
            QuotaExceeded: earlier RPCs of the client took all the time.
        """
        if self._at_once is None:
            yield
            return
        turn = self._ask(client, self._at_once)
        try:
            with deadline.waiting(f"earlier calls of {client}"):
                came = turn.wait(deadline.remaining)
            if not came:
                raise QuotaExceeded(f"{client} has {self._at_once} RPCs that take long", "retry when one has ended")
            yield
        finally:
            self._leave(client, turn)

    def _ask(self, client: str, at_once: int) -> threading.Event:
        turn = threading.Event()
        with self._lock:
            if self._busy[client] < at_once:
                self._busy[client] += 1
                turn.set()
            else:
                self._waiting.setdefault(client, deque()).append(turn)
        return turn

    def _leave(self, client: str, turn: threading.Event) -> None:
        """Give a turn back, or no longer wait for it."""
        with self._lock:
            waiting = self._waiting.get(client)
            if not turn.is_set() and waiting:
                waiting.remove(turn)
            elif waiting:
                waiting.popleft().set()
            else:
                self._busy[client] -= 1
                if not self._busy[client]:
                    del self._busy[client]
            if not waiting:
                self._waiting.pop(client, None)
