"""The service ``ovnhook.v1.Changes``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import changes_pb2 as api
from ovnhook.api.v1 import changes_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, OvnhookError, Unavailable
from ovnhook.control.backlog import Backlog
from ovnhook.control.calls import INTERNAL_ERROR, timeout
from ovnhook.control.roles import READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.view import FIELDS, Show, View, selected
from ovnhook.ovsdb.replica import Replica

_log = logging.getLogger(__name__)

_MAX_BACKLOG = 10_000  # changes that may be queued for a watcher

_FIELDS = {
    number: name.lower().removesuffix("s")
    for name, number in api.WatchChangesRequest.Kind.items()
    if name.lower().removesuffix("s") in FIELDS
}
"""Fields of a Change by the kind in a request: ``SUBNETS`` are in ``subnet``."""


class Changes(Service):
    """Streams changes to watchers. All watchers share one monitor of the database, which exists while there are any.

    Args:
        remotes: remotes of the northbound database.
        shows: functions that make the messages, by the field of a Change.
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
        """Stream changes until the client or the service ends."""
        for kind in request.kinds:
            if kind not in _FIELDS:
                raise InvalidRequest(f"unknown kind {kind}", f"kinds are {', '.join(map(str, _FIELDS))}")
        kinds = frozenset(_FIELDS[kind] for kind in request.kinds or _FIELDS)
        watcher = _Watcher(kinds, context.cancel, existing=request.existing)
        if not context.add_callback(watcher.backlog.cancelled):
            return
        feed = self._subscribe(watcher)
        try:
            yield from watcher.backlog.messages(Deadline.after(timeout(context)), f"OVN_Northbound at {self._remotes}")
        finally:
            self._unsubscribe(feed, watcher)

    def stop(self) -> None:
        """End all watches, and refuse new ones."""
        with self._lock:
            self._stopped = True
            feed = self._feed
        if feed is not None:
            feed.end(Unavailable("the control service is stopping", "watch again"))
            feed.thread.join()

    def _subscribe(self, watcher: _Watcher) -> _Feed:
        with self._lock:
            if self._stopped:
                raise Unavailable("the control service is stopping", "watch again")
            if self._feed is None or not self._feed.add(watcher):
                # The replica of the hosts' streams logs outages.
                replica = Replica(self._remotes, "OVN_Northbound", selected(), is_silent=True)
                self._feed = _Feed(replica, View(self._shows), watcher)
            return self._feed

    def _unsubscribe(self, feed: _Feed, watcher: _Watcher) -> None:
        with self._lock:
            if feed.remove(watcher) and self._feed is feed:
                self._feed = None


class _Feed:
    """A monitored replica, on a thread of its own, and its watchers.

    Args:
        replica: replica of the northbound database.
        view: objects, initially empty.
        watcher: first watcher; without any the feed ends.
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

    def add(self, watcher: _Watcher) -> bool:
        """Add a watcher; False if the feed has ended."""
        with self._lock:
            if self._stop.is_set():
                return False
            self._watchers.append(watcher)
            if self._is_synced:
                watcher.begin(self._view)
            return True

    def remove(self, watcher: _Watcher) -> bool:
        """Remove a watcher; True if the feed has ended, as it does without watchers."""
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
            if not self._watchers:
                self._stop.set()
            return self._stop.is_set()

    def end(self, error: OvnhookError) -> None:
        """End the feed, and all watches with an error."""
        with self._lock:
            self._stop.set()
            for watcher in self._watchers:
                watcher.backlog.end(error)

    def _run(self) -> None:
        try:
            for differences in self._replica.follow(self._stop):
                with self._lock:
                    changes = self._view.apply(differences)
                    for watcher in self._watchers:
                        if self._is_synced:
                            watcher.put(changes)
                        else:
                            watcher.begin(self._view)
                    self._is_synced = True
        except OvnhookError as error:
            self.end(error)
        except Exception:  # whatever it is, watchers must not wait for ever
            _log.exception("watch: internal error")
            self.end(OvnhookError(INTERNAL_ERROR))


class _Watcher:
    """A watcher of some kinds of objects.

    Args:
        kinds: fields of Change that it watches.
        cancel: cancels its RPC if it does not read the error.
        existing: start with the existing objects.
    """

    def __init__(self, kinds: frozenset[str], cancel: Callable[[], object], *, existing: bool) -> None:
        self._kinds = kinds
        self._existing = existing
        self.backlog = Backlog[api.Change](cancel, _MAX_BACKLOG, "watch again, with existing=true")

    def begin(self, view: View) -> None:
        """Start the stream: changes are queued from now on."""
        existing = self._watched(view.existing()) if self._existing else ()
        self.backlog.begin(chain(existing, [api.Change(type=api.Change.SYNCED)]))

    def put(self, changes: Iterable[api.Change]) -> None:
        """Queue those changes that it watches."""
        self.backlog.put(self._watched(changes))

    def _watched(self, changes: Iterable[api.Change]) -> Iterator[api.Change]:
        return (change for change in changes if change.WhichOneof("object") in self._kinds)
