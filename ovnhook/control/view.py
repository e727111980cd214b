"""What the API shows, as a function of rows of the northbound database, and how it changes with them. Pure.

Each object is made of the rows that are about it: a subnet of its switch, of the leases in it, and of the registry
where it is the default one. So a row that changes needs no look at any object but those that it is about.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ovnhook.api.v1 import changes_pb2
from ovnhook.control.services import floating_ips, leases, ports, routers, subnets
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Row
from ovnhook.ovsdb.replica import RowDifference
from ovnhook.resources import tables
from ovnhook.resources.floating_ip.rows import read_floating
from ovnhook.resources.lease.rows import read_lease
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.rows import read_port
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry
from ovnhook.resources.router import topology
from ovnhook.resources.router.rows import read_router
from ovnhook.resources.router.values import Network
from ovnhook.resources.subnet.rows import read_subnet

_log = logging.getLogger(__name__)

TABLES = {
    tables.SWITCH: ("external_ids",),
    tables.PORT: ("name", "addresses", "up", "external_ids"),
    tables.DNS: ("records", "external_ids"),
    topology.ROUTER: ("external_ids",),
    topology.NAT: ("external_ip", "logical_ip", "external_ids"),
    topology.GATEWAY: ("chassis_name", "priority", "external_ids"),
}
"""The columns that objects are made of, by table. What changes in others changes no object."""

KINDS = ("router", "subnet", "lease", "port", "floating_ip")
"""The fields of a Change that an object can be in; what stands further on needs what stands before."""

_Key = tuple[str, str]
"""Kind and name of an object."""

_Place = tuple[str, str]
"""Table and UUID of a row."""


@dataclass(frozen=True)
class _Part:
    """What a row says of objects: parsed once, when it comes.

    Attributes:
        kind: of the row.
        value: what it is.
        about: the objects that are made of it.
        of: the objects that are only counted by it.
    """

    kind: str
    value: Any
    about: tuple[_Key, ...]
    of: tuple[_Key, ...] = ()


class View:
    """Every object, as the lists show it. A change costs what it changes, however many rows there are."""

    def __init__(self) -> None:
        self._parts: dict[_Place, _Part] = {}
        self._about: dict[_Key, dict[str, dict[_Place, Any]]] = {}
        self._leased: Counter[tuple[str, int]] = Counter()
        self._objects: dict[_Key, Any] = {}

    def apply(self, differences: Iterable[RowDifference]) -> list[changes_pb2.Change]:
        """Take up a change of the database: how objects change with it, those first that others need.

        What goes is told before what comes, and in the opposite order.
        """
        touched: set[_Key] = set()
        for difference in differences:
            place = difference.table, difference.uuid
            if old := self._parts.pop(place, None):
                touched |= {*old.about, *old.of}
                self._take(place, old)
            if new := _part(difference.new):
                touched |= {*new.about, *new.of}
                self._put(place, new)
        gone, come = [], []
        for key in sorted(touched, key=_order):
            before, now = self._objects.pop(key, None), self._object(key)
            if now is not None:
                self._objects[key] = now
            if before is not None and now is None:
                gone.append(changes_pb2.Change(type=changes_pb2.Change.DELETED, **{key[0]: before}))
            elif before != now:
                kind = changes_pb2.Change.UPDATED if before is not None else changes_pb2.Change.CREATED
                come.append(changes_pb2.Change(type=kind, **{key[0]: now}))
        return [*reversed(gone), *come]

    def existing(self) -> Iterator[changes_pb2.Change]:
        """Everything there is now, whatever is applied before it is read, those first that others need."""
        found = sorted(self._objects.items(), key=lambda item: _order(item[0]))
        return (changes_pb2.Change(type=changes_pb2.Change.EXISTING, **{kind: one}) for (kind, _), one in found)

    def _put(self, place: _Place, part: _Part) -> None:
        self._parts[place] = part
        for key in part.about:
            self._about.setdefault(key, {}).setdefault(part.kind, {})[place] = part.value
        if isinstance(part.value, Lease):
            self._leased[part.value.subnet, part.value.address.version] += 1

    def _take(self, place: _Place, part: _Part) -> None:
        for key in part.about:
            about = self._about[key]
            del about[part.kind][place]
            if not any(about.values()):
                del self._about[key]
        if isinstance(part.value, Lease):
            family = part.value.subnet, part.value.address.version
            self._leased[family] -= 1
            if not self._leased[family]:
                del self._leased[family]

    def _object(self, key: _Key) -> Any:
        """The object that rows are about, or None where they are not enough for one."""
        kind, name = key
        found = {part: list(values.values()) for part, values in self._about.get(key, {}).items()}
        match kind:
            case "subnet":
                for one in found.get("subnet", ()):
                    default = name in found.get("registry", ())
                    leased = self._leased[name, one.cidr.version]
                    return subnets.message(replace(one, default=default), leased, network_id=0)
            case "router":
                for one in found.get("router", ()):
                    on = sorted(found.get("subnet", ()), key=lambda subnet: str(subnet.name))
                    hosts = sorted(found.get("gateway", ()), key=lambda host: -int(host[1]))
                    return routers.message(Network(one, tuple(on)), [chassis for chassis, _ in hosts], active="")
            case "lease":
                for one in found.get("lease", ()):
                    running = {(port.domain, port.mac) for port in found.get("port", ())}
                    return leases.message(one, in_use=(one.domain, one.mac) in running)
            case "port":
                for one in found.get("port", ()):
                    return ports.message(one)
            case "floating_ip":
                for one in found.get("floating", ()):
                    return floating_ips.message(one)
        return None


def _part(row: Row | None) -> _Part | None:
    """What a row says of objects; None where it is none of ours, or broken, as in the lists."""
    try:
        return _read(row) if row else None
    except BrokenRow as error:
        _log.warning("passed over: %s", error)
        return None


def _read(row: Row) -> _Part | None:
    ids = owned.own(row)
    match ids.get("kind"):
        case "registry" as kind:
            default = read_registry(row).default_subnet
            return _Part(kind, default, (("subnet", default),))
        case "subnet" as kind:
            subnet = read_subnet(row, "")
            return _Part(kind, subnet, (("subnet", subnet.name), ("router", subnet.router)))
        case "router" as kind:
            router = read_router(row)
            return _Part(kind, router, (("router", router.name),))
        case "gateway" as kind:
            host = (row["chassis_name"], row["priority"])
            return _Part(kind, host, (("router", ids.get("router", "")),))
        case "lease" as kind:
            lease = read_lease(row)
            return _Part(kind, lease, (("lease", _place(lease.subnet, lease.address)),), of=(("subnet", lease.subnet),))
        case "port" as kind:
            port = read_port(row)
            held = (("lease", _place(port.subnet, address)) for address in port.addresses)
            return _Part(kind, port, (("port", str(port.uuid)), *held))
        case "floating" as kind:
            one = read_floating(row)
            return _Part(kind, one, (("floating_ip", str(one.uuid)),))
    return None


def _order(key: _Key) -> tuple[int, str]:
    return KINDS.index(key[0]), key[1]


def _place(subnet: str, address: object) -> str:
    return f"{subnet}/{address}"
