"""Streams of what concerns a host, from one replica of the northbound database."""

from __future__ import annotations

import logging
import random
import secrets
import threading
from collections.abc import Callable, Iterator

import grpc

from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.control.backlog import Backlog
from ovnhook.control.calls import INTERNAL_ERROR, timeout
from ovnhook.control.hostindex import EVERYWHERE, HostIndex
from ovnhook.control.loop import Loop
from ovnhook.control.rowvalues import RowValues, selections
from ovnhook.ovsdb.replica import Replica, RowDifference
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.subnet.kind import SUBNET

_log = logging.getLogger(__name__)

_COLUMNS = (
    (PORT, (*PORT.columns, "port_security", "dhcpv4_options", "dhcpv6_options", "options")),
    *((kind, kind.columns) for kind in (LEASE_INDEX, LEASE, SUBNET, REGISTRY)),
)
"""Kinds of rows in the replica, with the columns that are compared with their value."""

MAX_ROWS = 4000
"""Ports, leases and lease indexes of one host: 500 domains of two interfaces with two addresses each have 3,500.

A node can't fill the databases, which are tested with 10,000 ports of all hosts (docs/evidence/scale.md).
"""

_MAX_BACKLOG = 1000  # updates that may be queued for an agent
_LOST_AFTER = 10.0  # seconds without the database, after which agents try another control service
_CHECK_INTERVAL = 1.0  # seconds
_RESTART_DELAY = 2.0  # seconds, maximum

_AGAIN = "watch again"

Stream = Backlog[api.HostUpdate]


class HostFeed:
    """Streams the objects of hosts to their agents, between `start` and `stop`.

    Args:
        remotes: remotes of the northbound database.

    Attributes:
        loop: ends the streams while the database is unreachable.
        beat: called several times a second while the replica is followed, as heartbeat.
    """

    NAME = "hosts"

    def __init__(self, remotes: str) -> None:
        self.loop = Loop("lost database", self._check, _CHECK_INTERVAL)
        self.beat: Callable[[], None] = lambda: None
        self._remotes = remotes
        self._where = f"OVN_Northbound at {remotes}"
        self._lock = threading.Lock()
        self._streams: dict[str, dict[Stream, str]] = {}
        self._state = _State(remotes)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.NAME, daemon=True)

    def start(self) -> None:
        """Start to follow the database."""
        self._thread.start()

    def stop(self) -> None:
        """End all streams, and refuse new ones."""
        self._stop.set()
        self._end(_stopping())
        if self._thread.is_alive():
            self._thread.join()

    def hosts(self) -> frozenset[str]:
        """Hosts with an open stream."""
        with self._lock:
            return frozenset(self._streams)

    def rows_left(self, host: str) -> int:
        """Number of ports, leases and lease indexes that may be created for a host."""
        with self._lock:
            return MAX_ROWS - self._state.index.count(host)

    def watch(self, host: str, revision: str, context: grpc.ServicerContext) -> Iterator[api.HostUpdate]:
        """Stream what concerns a host until the client, the database or the service ends.

        Args:
            host: its chassis.
            revision: last revision that the client has received, or "".
            context: context of the RPC.

        Raises:
            Unavailable: the database is unreachable, or the service stops.
            Exhausted: the client is too slow.
            NewerFormat: this version does not support the format of the rows.
        """
        stream = Stream(context.cancel, _MAX_BACKLOG, _AGAIN)
        if not context.add_callback(stream.cancelled):
            return
        self._subscribe(host, revision, stream)
        try:
            yield from stream.messages(Deadline.after(timeout(context)), self._where)
        finally:
            self._unsubscribe(host, stream)

    def _subscribe(self, host: str, revision: str, stream: Stream) -> None:
        with self._lock:
            if self._stop.is_set():
                raise _stopping()
            if self._state.is_lost:
                raise self._unreachable()
            if self._state.values.newer:
                raise self._state.values.newer
            self._streams.setdefault(host, {})[stream] = revision
            if self._state.is_synced:
                stream.begin(self._state.index.updates(host, revision))

    def _unsubscribe(self, host: str, stream: Stream) -> None:
        with self._lock:
            del self._streams[host][stream]
            if not self._streams[host]:
                del self._streams[host]

    def _check(self) -> None:
        if self._state.is_lost:
            self._end(self._unreachable())

    def _unreachable(self) -> Unavailable:
        return Unavailable(f"{self._where} is unreachable", "try another control host")

    def _end(self, error: OvnhookError) -> None:
        """End all streams with an error."""
        with self._lock:
            for streams in self._streams.values():
                for stream in streams:
                    stream.end(error)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for differences in self._state.replica.follow(self._stop, self.beat):
                    self._apply(differences)
            except Exception:  # whatever it is, agents must not wait for ever
                _log.exception("%s: unexpected error", self.NAME)
                self._end(Unavailable(INTERNAL_ERROR, _AGAIN))
                with self._lock:
                    self._state = _State(self._remotes)
                self._stop.wait(random.uniform(0.5, 1.0) * _RESTART_DELAY)

    def _apply(self, differences: list[RowDifference]) -> None:
        """Apply the changes of a transaction, and pass them to the streams that they concern."""
        state, streams = self._state, self._streams
        changes = state.values.apply(differences)
        with self._lock:
            if not state.is_synced:
                state.index.load(changes)
                state.is_synced = True
                for host, some in streams.items():
                    for stream, revision in some.items():
                        stream.begin(state.index.updates(host, revision))
            else:
                told = state.index.apply(changes)
                everywhere = told.get(EVERYWHERE, ())
                for host in streams if everywhere else told.keys() & streams.keys():
                    objects = (*told.get(host, ()), *everywhere)
                    update = api.HostUpdate(objects=objects, revision=state.index.revision)
                    for stream in streams[host]:
                        stream.put([update])
        if state.values.newer:
            self._end(state.values.newer)


class _State:
    """State of the database, as far as it is known.

    Args:
        remotes: remotes of the northbound database.

    Attributes:
        replica: its replica.
        values: values of the rows.
        index: objects of each host.
        is_synced: whether all rows have been read once.
    """

    def __init__(self, remotes: str) -> None:
        self.replica = Replica(remotes, "OVN_Northbound", selections(_COLUMNS))
        self.values = RowValues(_COLUMNS)
        self.index = HostIndex(secrets.token_hex(8))
        self.is_synced = False

    @property
    def is_lost(self) -> bool:
        """The database has been unreachable for some time."""
        return self.replica.lost_for > _LOST_AFTER


def _stopping() -> Unavailable:
    return Unavailable("the control service is stopping", _AGAIN)
