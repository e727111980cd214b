"""Objects that concern each host, derived from rows of the northbound database. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ovnhook.api.agentmessages import object_message
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base import uuids
from ovnhook.control.namescopes import Hosts, NameScopes
from ovnhook.control.rowvalues import ValueChange
from ovnhook.resources.hostvalues import HostRouter, HostSubnet
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Port
from ovnhook.resources.router.values import Router
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet.values import Subnet

EVERYWHERE = ""
"""Stands for all hosts."""

_EVERYONE: Hosts = frozenset({EVERYWHERE})
_RECENT = 4096  # objects in recent changes, with which streams are resumed
_DIGITS = 20  # of a revision's serial number
_PART = 2000  # objects of one update: gRPC clients accept 4 MB


class ConcernedHosts(NamedTuple):
    """Hosts that a transaction concerns.

    Attributes:
        hosts: those with changed objects; EVERYWHERE stands for all.
        names: those of the others that know changed names.
    """

    hosts: Hosts
    names: Hosts


class HostIndex:
    """Objects of each host, updated incrementally: a change costs its own size, and concerns only its hosts.

    Args:
        id: differs in each process, and after each loss of the state.
    """

    def __init__(self, id: str) -> None:
        self._id = id
        self._serial = 0
        self._objects: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._names = NameScopes()
        self._recent: deque[tuple[int, Hosts, list[api.HostObject]]] = deque()
        self._size = 0
        self._forgotten: dict[str, int] = {}
        self._default = ""  # name of the default subnet

    @property
    def revision(self) -> str:
        """Revision of the present state."""
        return f"{self._id}-{self._serial}"

    def count(self, host: str) -> int:
        """Number of a host's ports, leases and lease indexes."""
        return len(self._objects.get(host, ()))

    def load(self, changes: Sequence[ValueChange]) -> None:
        """Load the first state."""
        known = [*self._known(changes)]
        self._names.load(known)
        for change in known:
            self._move(change)

    def apply(self, changes: Sequence[ValueChange]) -> ConcernedHosts:
        """Apply the changes of a transaction, and return the hosts that they concern."""
        known = [*self._known(changes)]
        found: defaultdict[Hosts, list[api.HostObject]] = defaultdict(list)
        for hosts, name in self._names.apply(known):
            found[hosts].append(name)
        named = frozenset[str]().union(*found)
        concerned: set[str] = set()
        for change in known:
            before, after = self._move(change)
            old = object_message(change.old) if before else None
            new = object_message(change.new) if after else None
            told = after if new != old else after - before
            gone = before - after
            if new:
                found[told].append(new)
            found[gone].append(api.HostObject(id=change.uuid))
            concerned |= told | gone
        self._serial += 1
        for hosts, objects in found.items():
            if hosts:
                self._remember(hosts, objects)
        return ConcernedHosts(frozenset(concerned), named - concerned)

    def updates(self, host: str, revision: str) -> Iterator[api.HostUpdate]:
        """Updates with the changes since a revision, or with all objects.

        Args:
            host: its chassis.
            revision: last revision that the client has received, or "".
        """
        recent = self._since(host, revision)
        if recent is None:
            values = (one for of in (EVERYWHERE, host) for one in self._objects.get(of, {}).values())
            objects = [*map(object_message, values), *self._names.names(host)]
        else:
            objects = recent
        return _parts(objects, self.revision, full=recent is None)

    def _known(self, changes: Sequence[ValueChange]) -> Iterator[ValueChange]:
        """Changes of what hosts know. Which subnet is the default is in the registry."""
        defaults = {self._default}
        for change in changes:
            if isinstance(change.old or change.new, Registry):
                self._default = change.new.default_subnet if change.new else ""
        defaults ^= {self._default}
        shared = self._objects.get(EVERYWHERE, {})
        for change in changes:
            match change.new or change.old:
                case Subnet(name=name):
                    defaults.discard(name)
                    default = name == self._default
                    new = HostSubnet.of(replace(change.new, default=default)) if change.new else None
                    yield ValueChange(change.uuid, shared.get(change.uuid), new)
                case Router():
                    router = HostRouter.of(change.new) if change.new else None
                    yield ValueChange(change.uuid, shared.get(change.uuid), router)
                case _:
                    yield change
        for name in defaults:
            if subnet := shared.get(uuid := str(uuids.switch(name))):
                yield ValueChange(uuid, subnet, replace(subnet, default=name == self._default))

    def _move(self, change: ValueChange) -> tuple[Hosts, Hosts]:
        """Assign a value to its hosts; return those that had it and those that have it."""
        before, after = _hosts(change.old), _hosts(change.new)
        for host in before - after:
            del self._objects[host][change.uuid]
            if not self._objects[host]:
                del self._objects[host]
        for host in after:
            self._objects[host][change.uuid] = change.new
        return before, after

    def _remember(self, hosts: Hosts, objects: list[api.HostObject]) -> None:
        if len(objects) > _PART:  # a host has come to know many names: others are not to forget their changes for that
            self._forget(hosts, self._serial)
            return
        self._recent.append((self._serial, hosts, objects))
        self._size += len(objects)
        while self._size > _RECENT:
            serial, forgotten, gone = self._recent.popleft()
            self._size -= len(gone)
            self._forget(forgotten, serial)

    def _forget(self, hosts: Hosts, serial: int) -> None:
        for host in hosts:
            self._forgotten[host] = max(serial, self._forgotten.get(host, 0))

    def _since(self, host: str, revision: str) -> list[api.HostObject] | None:
        """The objects of a host that have changed since a revision, or None if that is not known."""
        id, _, number = revision.rpartition("-")
        known = int(number) if id == self._id and number.isdecimal() and len(number) < _DIGITS else -1
        if not max(self._forgotten.get(one, 0) for one in (EVERYWHERE, host)) <= known <= self._serial:
            return None
        changed: dict[str, api.HostObject] = {}
        for serial, hosts, objects in reversed(self._recent):
            if serial <= known:
                break
            if host in hosts or EVERYWHERE in hosts:
                for one in objects:
                    changed.setdefault(one.id, one)  # the last change of an object counts
        return [*changed.values()]


def _parts(objects: list[api.HostObject], revision: str, *, full: bool) -> Iterator[api.HostUpdate]:
    """Updates with these objects, of which the last one has the revision."""
    starts = range(0, max(len(objects), 1), _PART)
    for start in starts:
        yield api.HostUpdate(
            full=full and start == 0,
            objects=objects[start : start + _PART],
            revision=revision if start == starts[-1] else "",
        )


def _hosts(value: Any) -> Hosts:
    """The hosts that a value concerns."""
    match value:
        case Port() | LeaseIndex():
            found = {value.host, value.moving_to}
            if isinstance(value, LeaseIndex):
                found.add(value.requested_by)
        case Lease():
            found = {value.host}
        case HostSubnet() | HostRouter():
            return _EVERYONE
        case _:
            return frozenset()
    return frozenset(found - {""})
