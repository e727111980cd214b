"""State of the northbound database as values, for rules and plans. Pure.

Resource kinds know each other only through `Cloud.of`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from netaddr import IPAddress

from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.router.reach import with_reachable
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.virtual_address.values import VirtualAddress, VirtualPort

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """The registry row.

    Attributes:
        serial: number of changes of shared resources; each change increments it, so that concurrent ones conflict.
        default_subnet: name of the default subnet, or "".
        cloud: random cloud ID, from which external MAC addresses are derived; None until it is needed.
        format: format of the rows (ovnhook.resources.registry).
    """

    serial: int = 0
    default_subnet: str = ""
    cloud: UUID | None = None
    format: int = 1


@dataclass(frozen=True)
class Cloud:
    """The shared resources of a cloud: subnets, routers and kinds that depend on them.

    Attributes:
        registry: the registry, read in the same transaction, or None.
        resources: all of them, sorted within each kind.
    """

    registry: Registry | None = None
    resources: tuple[object, ...] = ()

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """All values of one class, in the order of their kind.

        For example::

            isolated = [subnet for subnet in cloud.of(Subnet) if subnet.isolated]

        Networks are derived from routers and subnets.
        """
        return self._by_kind.get(kind, ())

    @cached_property
    def _by_kind(self) -> Mapping[type, tuple[Any, ...]]:
        found: defaultdict[type, list[object]] = defaultdict(list)
        for one in (*self.resources, *self._networks.values()):
            found[type(one)].append(one)
        return {kind: tuple(some) for kind, some in found.items()}

    def network(self, name: str) -> Network | None:
        """The router of that name with its subnets, or None."""
        return self._networks.get(name)

    def subnet(self, name: str) -> Subnet | None:
        """The subnet of that name, or None."""
        return self._subnets.get(name)

    @cached_property
    def _subnets(self) -> Mapping[str, Subnet]:
        return {one.name: one for one in self.resources if isinstance(one, Subnet)}

    @cached_property
    def _networks(self) -> Mapping[str, Network]:
        on: defaultdict[str, list[Subnet]] = defaultdict(list)
        for subnet in self._subnets.values():
            on[subnet.router].append(subnet)
        routers = (one for one in self.resources if isinstance(one, Router))
        return {router.name: Network(router, tuple(on[router.name])) for router in routers}

    def id(self, new: UUID) -> UUID:
        """The cloud ID, or a new one if it has none yet."""
        return (self.registry.cloud if self.registry else None) or new


def cloud_of(registry: Registry | None, resources: Iterable[object]) -> Cloud:
    """Make a Cloud: the registry has the default subnet, and what guests reach follows from the routers."""
    default = registry.default_subnet if registry else ""
    found = [
        replace(one, default=True) if isinstance(one, Subnet) and one.name == default else one for one in resources
    ]
    return Cloud(registry, tuple(with_reachable(found)))


@dataclass(frozen=True)
class Observed:
    """State of a domain and of the subnets that it may use, as far as it was queried.

    Attributes:
        registry: the registry, or None.
        lease_index: of the domain, or None.
        ports: the domain's ports, by MAC.
        subnets: existing subnets, by name.
        missing_switches: names of subnets whose switch was deleted by hand and is not repaired yet.
        leases: existing leases, by subnet and address.
        claims: existing MAC reservations, by subnet and MAC.
        conflicting_ports: ports of other domains that hold these reservations, by subnet and MAC.
        security_groups: names of existing security groups.
        virtual_addresses: existing virtual addresses, by subnet and address.
        virtual_ports: their existing ports, likewise.
    """

    registry: Registry | None = None
    lease_index: LeaseIndex | None = None
    ports: Mapping[str, Port] = field(default_factory=dict)
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    missing_switches: frozenset[str] = frozenset()
    leases: Mapping[tuple[str, IPAddress], Lease] = field(default_factory=dict)
    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    conflicting_ports: Mapping[tuple[str, str], Port] = field(default_factory=dict)
    security_groups: frozenset[str] = frozenset()
    virtual_addresses: Mapping[tuple[str, IPAddress], VirtualAddress] = field(default_factory=dict)
    virtual_ports: Mapping[tuple[str, IPAddress], VirtualPort] = field(default_factory=dict)

    @property
    def named_virtual_addresses(self) -> frozenset[tuple[str, IPAddress]]:
        """Virtual addresses that the ports and leases name, by subnet and address."""
        ports = ((port.subnet, address) for port in self.ports.values() for address in port.options.virtual)
        leases = ((lease.subnet, address) for lease in self.leases.values() for address in lease.virtual)
        return frozenset((*ports, *leases))

    def having(
        self,
        *,
        ports: Mapping[str, Port] | None = None,
        subnets: Mapping[str, Subnet] | None = None,
        missing_switches: frozenset[str] | None = None,
        leases: Mapping[tuple[str, IPAddress], Lease] | None = None,
        claims: Mapping[tuple[str, str], Claim] | None = None,
        conflicting_ports: Mapping[tuple[str, str], Port] | None = None,
    ) -> Observed:
        """A copy with results of later queries."""
        return replace(
            self,
            ports=self.ports if ports is None else ports,
            subnets=self.subnets if subnets is None else subnets,
            missing_switches=self.missing_switches if missing_switches is None else missing_switches,
            leases=self.leases if leases is None else leases,
            claims=self.claims if claims is None else claims,
            conflicting_ports=self.conflicting_ports if conflicting_ports is None else conflicting_ports,
        )
