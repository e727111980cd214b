"""What the API shows, as a function of rows of the northbound database, and how it changes with them. Pure.

Each object is made of the rows that are about it: a subnet of its switch, of the leases in it, and of the registry
where it is the default one. So a row that changes needs no look at any object but those that it is about.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ovnhook.api.v1 import ovnhook_pb2 as api
from ovnhook.control import floating, leases, ports, routers, subnets
from ovnhook.model import Network
from ovnhook.ovsdb import rows, topology
from ovnhook.ovsdb.operation import Row
from ovnhook.ovsdb.replica import Difference

_log = logging.getLogger(__name__)

TABLES = {
    rows.SWITCH: ("external_ids",),
    rows.PORT: ("name", "addresses", "up", "external_ids"),
    rows.DNS: ("records", "external_ids"),
    topology.ROUTER: ("external_ids",),
    topology.NAT: ("external_ip", "logical_ip", "external_ids"),
    topology.GATEWAY: ("chassis_name", "priority", "external_ids"),
}
"""The columns that objects are made of, by table. What changes in others changes no object."""

KINDS = ("router", "subnet", "lease", "port", "floating_address")
"""The fields of a Change that an object can be in; what stands further on needs what stands before."""

_Key = tuple[str, str]
"""Kind and name of an object."""

_Rows = dict[str, dict[str, Row]]
"""Rows about an object, by their own kind and UUID."""


class View:
    """Every object, as the lists show it."""

    def __init__(self) -> None:
        self._about: dict[_Key, _Rows] = {}
        self._objects: dict[_Key, Any] = {}

    def apply(self, differences: Iterable[Difference]) -> list[api.Change]:
        """Take up a change of the database: how objects change with it, those first that others need.

        What goes is told before what comes, and in the opposite order.
        """
        touched: set[_Key] = set()
        for difference in differences:
            for row, put in ((difference.old, False), (difference.new, True)):
                for key in _keys(row):
                    touched.add(key)
                    self._put(key, difference.uuid, row or {}, put=put)
        gone, come = [], []
        for key in sorted(touched, key=_order):
            old, new = self._objects.pop(key, None), _object(key[0], self._about.get(key, {}))
            if new is not None:
                self._objects[key] = new
            if old is not None and new is None:
                gone.append(api.Change(type=api.Change.DELETED, **{key[0]: old}))
            elif old != new:
                kind = api.Change.UPDATED if old is not None else api.Change.CREATED
                come.append(api.Change(type=kind, **{key[0]: new}))
        return [*reversed(gone), *come]

    def existing(self) -> Iterator[api.Change]:
        """Everything there is now, whatever is applied before it is read, those first that others need."""
        found = sorted(self._objects.items(), key=lambda item: _order(item[0]))
        return (api.Change(type=api.Change.EXISTING, **{kind: one}) for (kind, _), one in found)

    def _put(self, key: _Key, uuid: str, row: Row, *, put: bool) -> None:
        about = self._about.setdefault(key, {})
        found = about.setdefault(rows.own(row)["kind"], {})
        if put:
            found[uuid] = row
        else:
            found.pop(uuid, None)
        if not any(about.values()):
            del self._about[key]


def _keys(row: Row | None) -> list[_Key]:
    """The objects that a row is about; none where it is broken, as in the lists."""
    try:
        return _about(row)
    except rows.BrokenRow as error:
        _log.warning("passed over: %s", error)
        return []


def _about(row: Row | None) -> list[_Key]:
    ids = rows.own(row) if row else {}
    match row, ids.get("kind"):
        case dict(), "registry":
            return [("subnet", rows.registry(row).default_subnet)]
        case dict(), "subnet":
            one = rows.subnet(row, "")
            return [("subnet", one.name), ("router", one.router)]
        case dict(), "router":
            return [("router", rows.router(row).name)]
        case dict(), "gateway":
            return [("router", ids.get("router", ""))]
        case dict(), "lease":
            lease = rows.lease(row)
            return [("lease", _place(lease.subnet, lease.address)), ("subnet", lease.subnet)]
        case dict(), "port":
            port = rows.port(row)
            return [
                ("port", str(port.uuid)),
                *(("lease", _place(port.subnet, address)) for address in port.addresses),
            ]
        case dict(), "floating":
            return [("floating_address", str(topology.floating(row).uuid))]
        case _:
            return []


def _order(key: _Key) -> tuple[int, str]:
    return KINDS.index(key[0]), key[1]


def _place(subnet: str, address: object) -> str:
    return f"{subnet}/{address}"


def _object(kind: str, about: Mapping[str, Mapping[str, Row]]) -> Any:
    """The object that these rows are about, or None where they are not enough for one."""
    found = {name: list(rows_of.values()) for name, rows_of in about.items()}
    match kind:
        case "subnet":
            for row in found.get("subnet", ()):
                default = [rows.registry(one).default_subnet for one in found.get("registry", ())]
                one = rows.subnet(row, default[0] if default else "")
                leased = sum(rows.lease(row).address.version == one.cidr.version for row in found.get("lease", ()))
                return subnets.message(one, leased, network_id=0)
        case "router":
            for row in found.get("router", ()):
                on = sorted((rows.subnet(one, "") for one in found.get("subnet", ())), key=lambda one: one.name)
                hosts = sorted(found.get("gateway", ()), key=lambda host: -int(host["priority"]))
                network = Network(rows.router(row), tuple(on))
                return routers.message(network, [host["chassis_name"] for host in hosts], active="")
        case "lease":
            for row in found.get("lease", ()):
                lease = rows.lease(row)
                running = {(port.domain, port.mac) for port in map(rows.port, found.get("port", ()))}
                return leases.message(lease, in_use=(lease.domain, lease.mac) in running)
        case "port":
            for row in found.get("port", ()):
                return ports.message(rows.port(row))
        case "floating_address":
            for row in found.get("floating", ()):
                return floating.message(topology.floating(row))
    return None
