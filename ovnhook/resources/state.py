"""Values that were read of the northbound database, for plans to be made from. Pure.

A kind of resource knows others through these alone: `Cloud.of` gives the values of any kind.
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
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.subnet.values import Subnet

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """The cloud-wide row.

    Attributes:
        serial: counts the changes of subnets and routers; two concurrent ones can't both count on.
        default_subnet: name of the default subnet, or "".
        cloud: random id of the cloud, from which external MAC addresses are derived; None until something needs it.
    """

    serial: int = 0
    default_subnet: str = ""
    cloud: UUID | None = None


@dataclass(frozen=True)
class Cloud:
    """The resources of a cloud that domains share: subnets, routers and what belongs to them.

    Attributes:
        registry: the row that counts their changes, as it was read with them, or None.
        resources: all of them, those of each kind in its order.
    """

    registry: Registry | None = None
    resources: tuple[object, ...] = ()

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """All values of a kind, by their class: ``cloud.of(Subnet)``; those of Network follow from the others."""
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
        """Its id, or a new one where it has none yet."""
        return (self.registry.cloud if self.registry else None) or new


def cloud_of(registry: Registry | None, resources: Iterable[object]) -> Cloud:
    """The cloud of resources that were read with a registry, which names the default subnet."""
    default = registry.default_subnet if registry else ""
    return Cloud(
        registry,
        tuple(
            replace(one, default=True) if isinstance(one, Subnet) and one.name == default else one for one in resources
        ),
    )


@dataclass(frozen=True)
class Observed:
    """The rows of a domain, and of the subnets that it may be on.

    Attributes:
        registry: the cloud-wide row, or None.
        lease_index: of the domain, or None.
        ports: its ports by MAC.
        subnets: those that were asked for, or that the domain holds addresses of, and that exist, by name.
        missing_switches: the names of those that exist, and whose switch somebody has deleted.
        leases: those that were asked for and exist, by subnet and address.
        claims: those that were asked for and exist, by subnet and MAC.
        conflicting_ports: the ports of other domains that these claims are of.
    """

    registry: Registry | None = None
    lease_index: LeaseIndex | None = None
    ports: Mapping[str, Port] = field(default_factory=dict)
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    missing_switches: frozenset[str] = frozenset()
    leases: Mapping[tuple[str, IPAddress], Lease] = field(default_factory=dict)
    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    conflicting_ports: Mapping[tuple[str, str], Port] = field(default_factory=dict)

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
        """The same, with what was read later."""
        return replace(
            self,
            ports=self.ports if ports is None else ports,
            subnets=self.subnets if subnets is None else subnets,
            missing_switches=self.missing_switches if missing_switches is None else missing_switches,
            leases=self.leases if leases is None else leases,
            claims=self.claims if claims is None else claims,
            conflicting_ports=self.conflicting_ports if conflicting_ports is None else conflicting_ports,
        )
