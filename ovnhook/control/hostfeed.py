"""Streams of what concerns a host, and the consistency of all rows, from one replica of the northbound database."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import grpc

from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable
from ovnhook.control.backlog import Backlog
from ovnhook.control.calls import INTERNAL_ERROR, timeout
from ovnhook.control.hostindex import EVERYWHERE, HostIndex
from ovnhook.control.loop import Loop
from ovnhook.control.rowvalues import RowValues, is_partial, selections
from ovnhook.diagnosis.consistency import Consistency
from ovnhook.diagnosis.inconsistencies import Inconsistency, Key
from ovnhook.ovsdb.replica import Replica, RowDifference
from ovnhook.resources.kind import Change
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.port.foreign import FOREIGN_COLUMNS
from ovnhook.resources.port.kind import CLAIM, PORT
from ovnhook.resources.port.limits import PORT_LIMIT
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.router.kind import ROUTER
from ovnhook.resources.security_group.kind import MEMBERS
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS, VIRTUAL_PORT

_log = logging.getLogger(__name__)

_COLUMNS = (
    (PORT, (*PORT.columns, "port_security", "dhcpv4_options", "dhcpv6_options", "options", *FOREIGN_COLUMNS)),
    *(
        (kind, kind.columns)
        for kind in (
            *(LEASE_INDEX, LEASE, CLAIM, PORT_LIMIT, DNS_RECORDS, SUBNET, ROUTER, REGISTRY),
            *(MEMBERS, VIRTUAL_ADDRESS, VIRTUAL_PORT),
        )
    ),
)
"""Kinds of rows in the replica, with the columns that are compared with their value."""

MAX_ROWS = 4000
"""Ports, leases and lease indexes of one host: 500 domains of two interfaces with two addresses each have 3,500.

A node can't fill the databases, which are tested with 10,000 ports of all hosts (docs/evidence/scale.md).
"""

_MAX_BACKLOG = 1000  # updates that may be queued for an agent
_LOST_AFTER = 10.0  # seconds without the database, after which agents try another control service
_CHECK_INTERVAL = 1.0  # seconds
_NAMES_INTERVAL = 0.25  # seconds; many hosts may know a name, and many names may change at once
_RESTART_DELAY = 2.0  # seconds, maximum

_AGAIN = "watch again"

_BATCH = 500  # checks of consistency for which changes wait

Stream = Backlog[api.HostUpdate]


class HostFeed:
    """Streams the objects of hosts to their agents, between `start` and `stop`.

    Args:
        remotes: remotes of the northbound database.

    Attributes:
        loops: one ends the streams while the database is unreachable, one sends changes of names.
        beat: called several times a second while the replica is followed, as heartbeat.
    """

    NAME = "hosts"

    def __init__(self, remotes: str) -> None:
        self.loops = (
            Loop("lost database", self._check, _CHECK_INTERVAL),
            Loop("changed names", self._tell_names, _NAMES_INTERVAL),
        )
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

    def end(self) -> None:
        """End all streams, and refuse new ones."""
        self._stop.set()
        self._end(_stopping())

    def stop(self) -> None:
        """Stop to follow the database."""
        self.end()
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

    def inconsistencies(self) -> dict[Key, Inconsistency] | None:
        """Inconsistencies of the rows, or None while they are not known."""
        while True:
            with self._lock:
                state = self._state
                if not state.is_usable:
                    return None
                if not state.consistency.recheck(_BATCH):
                    return dict(state.consistency.found)

    def repairs(self, some: Iterable[Key]) -> tuple[list[Key], tuple[Change, ...]]:
        """Inconsistencies that still exist, of some, and the changes that repair them."""
        with self._lock:
            return self._state.consistency.repairs(some)

    def check_all(self) -> None:
        """Check the consistency of all rows again, by the next `inconsistencies`."""
        with self._lock:
            self._state.consistency.check_all()

    def _subscribe(self, host: str, revision: str, stream: Stream) -> None:
        with self._lock:
            if self._stop.is_set():
                raise _stopping()
            if self._state.is_lost:
                raise self._unreachable()
            if self._state.values.newer:
                raise self._state.values.newer
            self._tell(self._state.late & {host})
            self._streams.setdefault(host, {})[stream] = revision
            if self._state.is_synced:
                self._begin(host, stream, revision)

    def _unsubscribe(self, host: str, stream: Stream) -> None:
        with self._lock:
            del self._streams[host][stream]
            if not self._streams[host]:
                del self._streams[host]
                self._state.late.discard(host)

    def _begin(self, host: str, stream: Stream, revision: str) -> None:
        """Begin a stream. The host's other streams have been told of all changes."""
        self._state.told[host] = self._state.index.revision
        stream.begin(self._state.index.updates(host, revision))

    def _tell(self, hosts: Iterable[str]) -> None:
        """Send to hosts with streams what has changed since they were told last."""
        state = self._state
        for host in tuple(hosts):
            updates = tuple(state.index.updates(host, state.told[host]))
            state.told[host] = state.index.revision
            state.late.discard(host)
            for stream in self._streams[host]:
                stream.put(updates)

    def _tell_names(self) -> None:
        """Send changed names that were collected."""
        with self._lock:
            self._tell_late()

    def _tell_late(self) -> None:
        """Send changed names, and collect those that change within the next interval."""
        if self._state.late:
            self._tell(self._state.late)
            self._state.names_due = time.monotonic() + _NAMES_INTERVAL

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

    def _apply(self, differences: Iterable[RowDifference]) -> None:
        """Apply the changes of a transaction, and pass them to the streams that they concern."""
        state, streams = self._state, self._streams
        changes = state.values.apply(differences)
        with self._lock:
            for change in changes:
                state.consistency.apply(change.old, change.new)
            if not state.is_synced:
                state.index.load(changes)
                state.is_synced = True
                for host, some in streams.items():
                    for stream, revision in some.items():
                        self._begin(host, stream, revision)
            else:
                concerned = state.index.apply(changes)
                state.late |= concerned.names & streams.keys()
                self._tell(streams.keys() if EVERYWHERE in concerned.hosts else concerned.hosts & streams.keys())
                if time.monotonic() >= state.names_due:
                    self._tell_late()
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
        consistency: consistency of the rows.
        is_synced: whether all rows have been read once.
        told: revision that the streams of each host have received last.
        late: hosts with streams that are to receive changes of names.
        names_due: time on the monotonic clock until which changes of names are collected.
    """

    def __init__(self, remotes: str) -> None:
        self.replica = Replica(remotes, "OVN_Northbound", selections(_COLUMNS), is_partial=is_partial)
        self.values = RowValues(_COLUMNS)
        self.index = HostIndex(secrets.token_hex(8))
        self.consistency = Consistency(self.values.unreadable)
        self.is_synced = False
        self.told: dict[str, str] = {}
        self.late: set[str] = set()
        self.names_due = 0.0

    @property
    def is_lost(self) -> bool:
        """The database has been unreachable for some time."""
        return self.replica.lost_for > _LOST_AFTER

    @property
    def is_usable(self) -> bool:
        """The rows are known, and this version supports them."""
        return self.is_synced and not self.replica.lost_for and not self.values.newer


def _stopping() -> Unavailable:
    return Unavailable("the control service is stopping", _AGAIN)
