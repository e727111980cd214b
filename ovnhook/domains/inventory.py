"""A host's objects in OVN, as the control service reports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from netaddr import IPAddress

from ovnhook.resources.hostvalues import HostName, HostRouter, HostSubnet
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Port

HostObject = Port | LeaseIndex | Lease | HostSubnet | HostName | HostRouter
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
                case HostSubnet():
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


@dataclass(frozen=True)
class HostNetworks:
    """Subnets and routers of the cloud, as one host knows them.

    Attributes:
        subnets: by name.
        routers: by name.
        scopes: name scopes in which the host has ports, or is about to get one by a migration.
    """

    subnets: Mapping[str, HostSubnet] = field(default_factory=dict)
    routers: Mapping[str, HostRouter] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, host: str, objects: Iterable[HostObject]) -> HostNetworks:
        """Networks of a host.

        Args:
            host: name of its chassis.
            objects: all objects that it received.
        """
        subnets: dict[str, HostSubnet] = {}
        routers: dict[str, HostRouter] = {}
        used: set[str] = set()
        for one in objects:
            match one:
                case HostSubnet():
                    subnets[one.name] = one
                case HostRouter():
                    routers[one.name] = one
                case Port() if host in (one.host, one.moving_to):
                    used.add(one.subnet)
        return cls(subnets, routers, frozenset(subnets[name].scope for name in used if name in subnets))
