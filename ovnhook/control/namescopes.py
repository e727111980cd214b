"""Host names by name scope, and the hosts that know them. Pure.

A host knows the names of a scope while it has a port in one of its subnets, or is about to get one by a migration.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from ovnhook.api.agentmessages import name_id, object_message
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.control.rowvalues import ValueChange
from ovnhook.resources.hostvalues import HostName, HostSubnet
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port

Hosts = frozenset[str]


class NameScopes:
    """Names of all leases, updated incrementally: a change costs its own size, and that of scopes that hosts join."""

    def __init__(self) -> None:
        self._scopes: dict[str, str] = {}  # by subnet
        self._members: defaultdict[str, set[str]] = defaultdict(set)  # subnets by scope
        self._ports: dict[str, Counter[str]] = {}  # number by subnet and host
        self._present: dict[str, Counter[str]] = {}  # the same by scope and host
        self._cached: dict[str, Hosts] = {}  # hosts that are present, by scope
        self._names: defaultdict[str, dict[str, api.HostObject]] = defaultdict(dict)  # by subnet and ID

    def names(self, host: str) -> Iterator[api.HostObject]:
        """Names that a host knows."""
        for scope, present in self._present.items():
            if host in present:
                for subnet in self._members[scope]:
                    yield from self._names.get(subnet, {}).values()

    def load(self, changes: Sequence[ValueChange]) -> None:
        """Load the first state."""
        for change in changes:
            self._replace(change)

    def apply(self, changes: Sequence[ValueChange]) -> Iterator[tuple[Hosts, api.HostObject]]:
        """Apply the changes of a transaction, and return the names that hosts come to know, or know no longer."""
        affected = {subnet for change in changes for subnet in self._affected(change)}
        before = {subnet: self._hosts(subnet) for subnet in affected}
        renamed: defaultdict[str, dict[str, bool]] = defaultdict(dict)  # by subnet and ID; True: it had a name before
        for change in changes:
            self._replace(change)
            if _is_renamed(change):
                renamed[(change.new or change.old).subnet][name_id(change.uuid)] = change.old is not None
        for subnet, knew in before.items():
            know, names = self._hosts(subnet), self._names.get(subnet, {})
            for id, was_named in renamed[subnet].items():
                if id in names:
                    yield know, names[id]
                if was_named:
                    yield knew - know if id in names else knew, api.HostObject(id=id)
            if gained := know - knew:
                yield from ((gained, name) for id, name in names.items() if id not in renamed[subnet])
            if lost := knew - know:
                yield from ((lost, api.HostObject(id=id)) for id in names if id not in renamed[subnet])

    def _hosts(self, subnet: str) -> Hosts:
        """Hosts that know the names of a subnet."""
        scope = self._scopes.get(subnet, "")
        if scope not in self._cached:
            self._cached[scope] = frozenset(self._present.get(scope, ()))
        return self._cached[scope]

    def _affected(self, change: ValueChange) -> Iterator[str]:
        """Subnets that a change gives another name, or maybe other hosts."""
        match change.new or change.old:
            case Lease(subnet=subnet) if _is_renamed(change):
                yield subnet
            case HostSubnet(name=name):
                scopes = {self._scopes.get(name, ""), change.new.scope if change.new else ""}
                if len(scopes) > 1:
                    yield from (name, *(one for scope in scopes for one in self._members.get(scope, ())))
            case Port() if _places(change.old) != _places(change.new):
                for subnet in {subnet for subnet, _ in _places(change.old) | _places(change.new)}:
                    yield from self._members.get(self._scopes.get(subnet, ""), ())

    def _replace(self, change: ValueChange) -> None:
        old, new = change.old, change.new
        match new or old:
            case Lease(subnet=subnet) if _is_renamed(change):
                names = self._names[subnet]
                if new:
                    names[name_id(change.uuid)] = object_message(HostName.of(new))
                else:
                    del names[name_id(change.uuid)]
                if not names:
                    del self._names[subnet]
            case HostSubnet(name=name):
                self._move(name, new.scope if new else "")
            case Port():
                for subnet, host in _places(old):
                    self._count(subnet, host, -1)
                for subnet, host in _places(new):
                    self._count(subnet, host, 1)

    def _move(self, subnet: str, scope: str) -> None:
        """Move a subnet to another scope; "": it no longer exists."""
        old = self._scopes.pop(subnet, "")
        if scope:
            self._scopes[subnet] = scope
        if old == scope:
            return
        for host, number in self._ports.get(subnet, {}).items():
            self._add(old, host, -number)
            self._add(scope, host, number)
        if old:
            self._members[old].discard(subnet)
            if not self._members[old]:
                del self._members[old]
                self._cached.pop(old, None)
        if scope:
            self._members[scope].add(subnet)

    def _count(self, subnet: str, host: str, number: int) -> None:
        """Count ports of a host in a subnet, which may be unknown."""
        _increase(self._ports, subnet, host, number)
        self._add(self._scopes.get(subnet, ""), host, number)

    def _add(self, scope: str, host: str, number: int) -> None:
        """Count ports of a host in a scope, if there is one."""
        if scope and _increase(self._present, scope, host, number):
            self._cached.pop(scope, None)


def _is_renamed(change: ValueChange) -> bool:
    """Check for a lease that is new, gone or has another host name."""
    old, new = change.old, change.new
    return isinstance(new or old, Lease) and not (old and new and old.hostname == new.hostname)


def _places(port: Port | None) -> frozenset[tuple[str, str]]:
    """Subnet and host of a port; two of them during a migration."""
    return frozenset((port.subnet, host) for host in (port.host, port.moving_to) if host) if port else frozenset()


def _increase(counts: dict[str, Counter[str]], of: str, host: str, number: int) -> bool:
    """Increase a count; return whether it was zero, or is zero now."""
    hosts = counts.setdefault(of, Counter())
    was = hosts[host]
    hosts[host] += number
    if not hosts[host]:
        del hosts[host]
    if not hosts:
        del counts[of]
    return not was or not was + number
