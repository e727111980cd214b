"""Rate limits of ports: a meter of OVN for each direction. Pure.

Only ports with a limit have such rows: with one that changes, northd computes all flows again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, Row, as_map, map_of
from ovnhook.resources.kind import Cascade, Change, Kind, Put
from ovnhook.resources.limits import MATCHES, bandwidth
from ovnhook.resources.operations import OwnedRow, difference
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.port.values import Port
from ovnhook.resources.reading import reader
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.tables import QOS, SWITCH

PRIORITY = 1000
"""Of the rows of ports."""


@dataclass(frozen=True)
class PortLimit:
    """The limit of a port in one direction, as its row has it.

    Attributes:
        subnet: name of the port's subnet.
        mac: MAC address of the interface.
        domain: UUID of the domain.
        way: ``inbound`` or ``outbound``, seen from the guest.
        match: packets that are counted.
        rate: in kbit/s.
        burst: in kbit.
        direction: of the row.
        priority: of the row.
    """

    subnet: str
    mac: str
    domain: UUID
    way: str
    match: str
    rate: int
    burst: int
    direction: str
    priority: int = PRIORITY

    @property
    def port(self) -> UUID:
        """UUID of the port's row."""
        return uuids.port(self.domain, self.mac)

    @property
    def uuid(self) -> UUID:
        """UUID of its QoS row."""
        return uuids.part("limit", self.way, str(self.domain), self.mac)

    def __str__(self) -> str:
        """Rate and direction."""
        return f"{self.rate} kbit/s {self.way}"


def port_limits(port: Port) -> dict[UUID, PortLimit]:
    """The limits that a port has, by UUID."""
    found = {}
    for way, rate in port.limits.by_direction.items():
        if rate:
            direction, field = MATCHES[way]
            match = f'{field} == "{port.id}"'
            meter = bandwidth(rate)
            one = PortLimit(
                port.subnet, port.mac, port.domain, way, match, meter["rate"], meter["burst"], direction=direction
            )
            found[one.uuid] = one
    return found


def with_subnet(ports: Iterable[Port], subnet: Subnet) -> Iterator[Change]:
    """Changes of ports that get other limits by their subnet."""
    for port in ports:
        limits = port.options.limits.over(subnet.limits)
        if limits != port.limits:
            yield Put(PORT, port, replace(port, limits=limits))


def _rows(limits: Iterable[PortLimit]) -> Mapping[UUID, OwnedRow]:
    return {
        one.uuid: OwnedRow(
            QOS,
            {
                "direction": one.direction,
                "priority": one.priority,
                "match": one.match,
                "bandwidth": as_map({"rate": one.rate, "burst": one.burst}),
                "external_ids": as_map(
                    owned.kind("limit", subnet=one.subnet, mac=one.mac, domain=str(one.domain), way=one.way)
                ),
            },
            (SWITCH, uuids.switch(one.subnet), "qos_rules"),
        )
        for one in limits
    }


def _operations(old: PortLimit | None, new: PortLimit | None) -> list[Operation]:
    return difference(_rows([old] if old else []), _rows([new] if new else []))


def _cascade(put: Put[Any]) -> Iterator[Cascade]:
    """Limits follow their port."""
    before, after = (port_limits(port).values() if isinstance(port, Port) else () for port in (put.old, put.new))
    if operations := difference(_rows(before), _rows(after)):
        yield Cascade(tuple(operations))


@reader(QOS)
def _read(row: Row) -> PortLimit:
    ids, meter = owned.own(row), map_of(row["bandwidth"])
    return PortLimit(
        subnet=ids["subnet"],
        mac=ids["mac"],
        domain=UUID(ids["domain"]),
        way=ids["way"],
        match=row["match"],
        rate=int(meter.get("rate", 0)),
        burst=int(meter.get("burst", 0)),
        direction=row["direction"],
        priority=row["priority"],
    )


PORT_LIMIT = Kind(
    name="limit",
    type=PortLimit,
    table=QOS,
    columns=("direction", "priority", "match", "bandwidth", "external_ids"),
    read=_read,
    operations=_operations,
    cascade=_cascade,
)
"""The limit of a port in one direction."""
