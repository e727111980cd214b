"""The queue of one stream of messages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Exhausted, OvnhookError, Unavailable

_GRACE = 10.0  # seconds for a slow watcher to receive its error

T = TypeVar("T")


class Backlog(Generic[T]):
    """Queue of messages for one watcher. All methods but `messages` are called by other threads than its own.

    Args:
        cancel: cancels its RPC if it does not read the error.
        most: number of messages that may be queued.
        hint: hint of the error of a slow watcher.
    """

    def __init__(self, cancel: Callable[[], object], most: int, hint: str) -> None:
        self._most = most
        self._hint = hint
        self._ready = threading.Condition()
        self._first: Iterable[T] | None = None
        self._queue: deque[T] = deque()
        self._error: OvnhookError | None = None
        self._cancelled = False
        self._cancel = threading.Timer(_GRACE, cancel)
        self._cancel.daemon = True

    def begin(self, first: Iterable[T]) -> None:
        """Start the stream with some messages, which do not count; others are queued from now on."""
        with self._ready:
            self._first = first
            self._ready.notify()

    def put(self, messages: Iterable[T]) -> None:
        """Queue messages; end a slow watcher whose queue is full."""
        with self._ready:
            if self._error:
                return
            self._queue += messages
            self._ready.notify()
            if len(self._queue) <= self._most:
                return
        # Its thread may be blocked in sending; the timer ends that.
        self.end(Exhausted(f"slow watcher: more than {self._most} changes behind", self._hint))
        self._cancel.start()

    def end(self, error: OvnhookError) -> None:
        """End the stream with an error."""
        with self._ready:
            self._queue.clear()
            self._error = self._error or error
            self._ready.notify()

    def cancelled(self) -> None:
        """End the stream because the client has ended its RPC."""
        with self._ready:
            self._cancelled = True
            self._ready.notify()

    def messages(self, deadline: Deadline, database: str) -> Iterator[T]:
        """Messages until the stream ends.

        Args:
            deadline: when to give up waiting for the first answer of the database.
            database: name of the database in errors.

        Raises:
            OvnhookError: the error with which the stream was ended.
        """
        try:
            with self._ready:
                self._ready.wait_for(lambda: self._first is not None or self._over, deadline.remaining)
                if self._first is None and not self._over:
                    raise Unavailable(f"{database}: no answer in time")
            taken: Iterable[T] = self._first or ()
            self._first = ()
            while not self._over:
                for message in taken:
                    if self._over:
                        break
                    yield message
                with self._ready:
                    self._ready.wait_for(lambda: self._queue or self._over)
                    taken = list(self._queue)
                    self._queue.clear()
            if self._error and not self._cancelled:
                raise self._error
        finally:
            self._cancel.cancel()

    @property
    def _over(self) -> bool:
        return self._cancelled or self._error is not None
