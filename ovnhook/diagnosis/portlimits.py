"""Rate limits of ports compared with their rows and with their subnets, and their repair. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from ovnhook.diagnosis.inconsistencies import Inconsistency
from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.port.limits import PORT_LIMIT, PortLimit, port_limits, with_subnet
from ovnhook.resources.port.values import Port
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet


class LimitedPorts:
    """All ports and the rows of their limits, updated incrementally, by the UUID of the port's row."""

    def __init__(self) -> None:
        self._ports: dict[str, Port] = {}
        self._limits: dict[str, dict[UUID, PortLimit]] = {}

    def apply(self, old: Any, new: Any) -> list[str]:
        """Replace the value of a row; return the ports that it concerns."""
        match new or old:
            case Port(uuid=uuid):
                if new is None:
                    del self._ports[str(uuid)]
                else:
                    self._ports[str(uuid)] = new
                return [str(uuid)]
            case PortLimit() as limit:
                row = str(limit.port)
                limits = self._limits.setdefault(row, {})
                if new is None:
                    del limits[limit.uuid]
                else:
                    limits[limit.uuid] = new
                if not limits:
                    del self._limits[row]
                return [row]
            case Subnet(name=name) if old is None or new is None or old.limits != new.limits:
                return [row for row, port in self._ports.items() if port.subnet == name]
            case _:
                return []

    def rows(self) -> set[str]:
        """All ports, and those that limits are left of."""
        return {*self._ports, *self._limits}

    def has_port(self, row: str) -> bool:
        """Return whether there is a port."""
        return row in self._ports

    def needed_rows(self, row: str) -> set[UUID]:
        """The rows that a check depends on."""
        port = self._ports.get(row)
        return {UUID(row), *self._limits.get(row, ()), *(port_limits(port) if port else ())}

    def check(self, row: str, subnets: Mapping[str, Subnet]) -> Inconsistency | None:
        """Compare the limits of a port with its rows and its subnet.

        Args:
            row: UUID of the port's row.
            subnets: the subnets that are known, by name.
        """
        port, limits = self._ports.get(row), self._limits.get(row, {})
        repair = "correct the QoS rows"
        if port is None:
            if not limits:
                return None
            (mac, *_) = (one.mac for one in limits.values())
            return Inconsistency("", mac, f"limits of a port that does not exist: {_listed(limits)}", repair)
        wanted, what = port_limits(port), ""
        if [*_by_subnet(port, subnets)]:
            what = f"the limits of its port ({port.limits or 'none'}) are not those of subnet {port.subnet}"
        elif limits != wanted:
            what = f"the limits of its port are {_listed(limits)} instead of {_listed(wanted)}"
        return Inconsistency(port.domain_name, port.mac, what, repair) if what else None

    def repair(self, row: str, subnets: Mapping[str, Subnet]) -> Iterator[Change]:
        """Changes that make it right, one kind of problem at a time; see `check`."""
        port, limits = self._ports.get(row), self._limits.get(row, {})
        if port and (changes := [*_by_subnet(port, subnets)]):
            yield Need(SUBNET, subnets[port.subnet])
            yield from changes
            return
        if port:
            yield Need(PORT, port)
        wanted = port_limits(port) if port else {}
        for uuid in {**limits, **wanted}:
            if limits.get(uuid) != wanted.get(uuid):
                yield Put(PORT_LIMIT, limits.get(uuid), wanted.get(uuid))


def _by_subnet(port: Port, subnets: Mapping[str, Subnet]) -> Iterator[Change]:
    return with_subnet([port], subnets[port.subnet]) if port.subnet in subnets else iter(())


def _listed(limits: Mapping[UUID, PortLimit]) -> str:
    return ", ".join(sorted(map(str, limits.values()))) or "none"
