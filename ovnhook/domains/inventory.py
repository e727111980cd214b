"""A host's objects in OVN, as the control service reports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from netaddr import IPAddress

from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Port


@dataclass(frozen=True)
class SubnetMtu:
    """MTU of a subnet: all that a host knows of one.

    Attributes:
        name: name of the subnet.
        mtu: in bytes.
    """

    name: str
    mtu: int


HostObject = Port | LeaseIndex | Lease | SubnetMtu
"""An object that concerns a host."""


@dataclass(frozen=True)
class Inventory:
    """Objects of one host.

    Attributes:
        ports: by domain and MAC; also those that are migrating here.
        lease_indexes: by domain, likewise.
        leases: by subnet and address.
        mtus: of subnets, by name.
        ports_elsewhere: ports of other hosts, as far as they were read, by domain and MAC.
    """

    ports: Mapping[tuple[UUID, str], Port] = field(default_factory=dict)
    lease_indexes: Mapping[UUID, LeaseIndex] = field(default_factory=dict)
    leases: Mapping[tuple[str, IPAddress], Lease] = field(default_factory=dict)
    mtus: Mapping[str, int] = field(default_factory=dict)
    ports_elsewhere: Mapping[tuple[UUID, str], Port] = field(default_factory=dict)

    @classmethod
    def of(cls, host: str, objects: Iterable[HostObject]) -> Inventory:
        """Inventory of a host.

        Args:
            host: name of its chassis.
            objects: among them may be objects of other hosts.
        """
        ports: dict[tuple[UUID, str], Port] = {}
        elsewhere: dict[tuple[UUID, str], Port] = {}
        lease_indexes: dict[UUID, LeaseIndex] = {}
        leases: dict[tuple[str, IPAddress], Lease] = {}
        mtus: dict[str, int] = {}
        for one in objects:
            match one:
                case Port():
                    (ports if host in (one.host, one.moving_to) else elsewhere)[one.domain, one.mac] = one
                case LeaseIndex() if host in (one.host, one.moving_to):
                    lease_indexes[one.domain] = one
                case Lease() if one.host == host:
                    leases[one.subnet, one.address] = one
                case SubnetMtu():
                    mtus[one.name] = one.mtu
        return cls(ports, lease_indexes, leases, mtus, elsewhere)

    def updated(self, newer: Inventory) -> Inventory:
        """Inventory with objects that were read since."""
        return Inventory(
            {**self.ports, **newer.ports},
            {**self.lease_indexes, **newer.lease_indexes},
            {**self.leases, **newer.leases},
            {**self.mtus, **newer.mtus},
            {**self.ports_elsewhere, **newer.ports_elsewhere},
        )
