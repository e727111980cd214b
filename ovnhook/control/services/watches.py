"""The service ``ovnhook.v1.Changes``."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import changes_pb2 as api
from ovnhook.api.v1 import changes_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Exhausted, InvalidRequest, OvnhookError, Unavailable
from ovnhook.control.calls import timeout
from ovnhook.control.roles import READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.view import FIELDS, Show, View, tables
from ovnhook.ovsdb.replica import Replica

_log = logging.getLogger(__name__)

_BACKLOG = 10_000  # changes that a watcher may be behind
_GRACE = 10.0  # seconds that one who is too slow has to hear of it

_FIELDS = {
    number: name.lower().removesuffix("s")
    for name, number in api.WatchChangesRequest.Kind.items()
    if name.lower().removesuffix("s") in FIELDS
}
"""The field of a Change, by the kind in a request: ``SUBNETS`` are in ``subnet``."""


class Changes(Service):
    """Tells watchers what changes. The database is followed while there are any, once for all of them.

    Args:
        remotes: of the northbound database.
        shows: makes the messages, by the field of a Change.
    """

    NAME = "ovnhook.v1.Changes"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "WatchChanges": READS,
    }

    def __init__(self, remotes: str, shows: Mapping[str, Show]) -> None:
        self._remotes = remotes
        self._shows = shows
        self._lock = threading.Lock()
        self._feed: _Feed | None = None
        self._stopped = False

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.config.northbound, found.shows)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        changes_pb2_grpc.add_ChangesServicer_to_server(self, server)

    def WatchChanges(self, request: api.WatchChangesRequest, context: grpc.ServicerContext) -> Iterator[api.Change]:
        """Tell changes until the client, or the service, ends."""
        for kind in request.kinds:
            if kind not in _FIELDS:
                raise InvalidRequest(f"{kind} is no kind of object", f"those are {', '.join(map(str, _FIELDS))}")
        kinds = frozenset(_FIELDS[kind] for kind in request.kinds or _FIELDS)
        watcher = _Watcher(kinds, context.cancel, existing=request.existing)
        if not context.add_callback(watcher.leave):
            return
        feed = self._join(watcher)
        try:
            yield from watcher.changes(Deadline.after(timeout(context)), f"OVN_Northbound at {self._remotes}")
        finally:
            self._part(feed, watcher)

    def stop(self) -> None:
        """End all watches, and let nobody begin one."""
        with self._lock:
            self._stopped = True
            feed = self._feed
        if feed is not None:
            feed.end(Unavailable("the control service ends", "watch again"))
            feed.thread.join()

    def _join(self, watcher: _Watcher) -> _Feed:
        with self._lock:
            if self._stopped:
                raise Unavailable("the control service ends", "watch again")
            if self._feed is None or not self._feed.join(watcher):
                self._feed = _Feed(Replica(self._remotes, "OVN_Northbound", tables()), View(self._shows), watcher)
            return self._feed

    def _part(self, feed: _Feed, watcher: _Watcher) -> None:
        with self._lock:
            if feed.part(watcher) and self._feed is feed:
                self._feed = None


class _Feed:
    """A replica that is followed, on a thread, and those who watch it.

    Args:
        replica: what is followed.
        view: the objects, without any yet.
        watcher: the first one; without any it ends.
    """

    def __init__(self, replica: Replica, view: View, watcher: _Watcher) -> None:
        self._replica = replica
        self._view = view
        self._is_synced = False
        self._lock = threading.Lock()
        self._watchers = [watcher]
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="changes", daemon=True)
        self.thread.start()

    def join(self, watcher: _Watcher) -> bool:
        """Tell a watcher too; whether that can still be."""
        with self._lock:
            if self._stop.is_set():
                return False
            self._watchers.append(watcher)
            if self._is_synced:
                watcher.begin(self._view)
            return True

    def part(self, watcher: _Watcher) -> bool:
        """Tell a watcher no more; whether it was the last one."""
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
            if not self._watchers:
                self._stop.set()
            return self._stop.is_set()

    def end(self, error: OvnhookError) -> None:
        """End, and tell all watchers why."""
        with self._lock:
            self._stop.set()
            for watcher in self._watchers:
                watcher.end(error)

    def _run(self) -> None:
        try:
            for differences in self._replica.follow(self._stop):
                with self._lock:
                    changes = self._view.apply(differences)
                    for watcher in self._watchers:
                        if self._is_synced:
                            watcher.tell(changes)
                        else:
                            watcher.begin(self._view)
                    self._is_synced = True
        except OvnhookError as error:
            self.end(error)
        except Exception:  # whatever it is, watchers must not wait for ever
            _log.exception("changes can't be told for a reason that was not foreseen")
            self.end(OvnhookError("the control service failed for a reason that its log tells"))


class _Watcher:
    """What one watcher is still to be told. All but `changes` is called by other threads than its own.

    Args:
        kinds: the fields of Change that it wants.
        cancel: ends its call where nothing gets through to it any more.
        existing: whether it wants to be told what exists.
    """

    def __init__(self, kinds: frozenset[str], cancel: Callable[[], object], *, existing: bool) -> None:
        self._kinds = kinds
        self._existing = existing
        self._ready = threading.Condition()
        self._begin: Iterable[api.Change] | None = None
        self._left: deque[api.Change] = deque()
        self._error: OvnhookError | None = None
        self._gone = False
        self._cancel = threading.Timer(_GRACE, cancel)
        self._cancel.daemon = True

    def begin(self, view: View) -> None:
        """From now on it is told what changes."""
        with self._ready:
            self._begin = view.existing() if self._existing else ()
            self._ready.notify()

    def tell(self, changes: Iterable[api.Change]) -> None:
        """It is to be told these changes, of which it may want some."""
        with self._ready:
            if self._error:
                return
            self._left += [change for change in changes if change.WhichOneof("object") in self._kinds]
            self._ready.notify()
            if len(self._left) <= _BACKLOG:
                return
        # Its thread may be stuck in sending; the timer ends that.
        self.end(Exhausted(f"the watcher is more than {_BACKLOG} changes behind", "watch again, with what exists"))
        self._cancel.start()

    def end(self, error: OvnhookError) -> None:
        """It is told no more, and why."""
        with self._ready:
            self._left.clear()
            self._error = self._error or error
            self._ready.notify()

    def leave(self) -> None:
        """It wants to be told no more."""
        with self._ready:
            self._gone = True
            self._ready.notify()

    def changes(self, deadline: Deadline, database: str) -> Iterator[api.Change]:
        """Everything it is to be told, as long as it wants to.

        Args:
            deadline: when to give up waiting for the first answer of the database.
            database: what it is called.

        Raises:
            OvnhookError: why it is told no more.
        """
        try:
            with self._ready:
                self._ready.wait_for(lambda: self._begin is not None or self._over, deadline.remaining)
                if self._begin is None and not self._over:
                    raise Unavailable(f"{database}: no answer in time")
            for change in self._begin or ():
                if self._over:
                    break
                if change.WhichOneof("object") in self._kinds:
                    yield change
            if not self._over:
                yield api.Change(type=api.Change.SYNCED)
            while not self._over:
                with self._ready:
                    self._ready.wait_for(lambda: self._left or self._over)
                    told = list(self._left)
                    self._left.clear()
                for change in told:
                    if self._over:
                        break
                    yield change
            if self._error and not self._gone:
                raise self._error
        finally:
            self._cancel.cancel()

    @property
    def _over(self) -> bool:
        return self._gone or self._error is not None
