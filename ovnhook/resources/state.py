"""What was read of the northbound database, as values that a plan is made from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from netaddr import IPAddress

from ovnhook.resources.changes import Registry, SetRegistry
from ovnhook.resources.floating_ip.values import Floating
from ovnhook.resources.lease.values import Holding, Lease
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class Cloud:
    """All subnets and routers, by name, floating addresses, and the registry that they were read with."""

    registry: Registry | None = None
    subnets: tuple[Subnet, ...] = ()
    routers: tuple[Router, ...] = ()
    floating: tuple[Floating, ...] = ()

    def network(self, name: str) -> Network | None:
        """The router of that name with its subnets, or None."""
        for router in self.routers:
            if router.name == name:
                return Network(router, tuple(subnet for subnet in self.subnets if subnet.router == name))
        return None

    def count(self, default_subnet: str | None = None, cloud: UUID | None = None) -> SetRegistry:
        """Count a change of subnets or routers.

        Args:
            default_subnet: names the new default one, "" for none.
            cloud: the cloud's id, for one that has none yet.
        """
        before = self.registry or Registry()
        default = before.default_subnet if default_subnet is None else default_subnet
        return SetRegistry(self.registry, Registry(before.serial + 1, default, before.cloud or cloud))

    def id(self, new: UUID) -> UUID:
        """Its id, or a new one where it has none yet."""
        return (self.registry.cloud if self.registry else None) or new


@dataclass(frozen=True)
class Observed:
    """What the database says of a domain and of the subnets that it may be on.

    Attributes:
        registry: the cloud-wide row, or None.
        holding: what the domain holds, or None.
        ports: its ports by MAC.
        subnets: those that were asked for, or that the domain holds addresses of, and that exist, by name.
        unrepaired: the names of those that exist, and whose switch somebody has deleted.
        leases: those that were asked for and exist, by subnet and address.
        claims: those that were asked for and exist, by subnet and MAC.
        rivals: the ports of other domains that these claims are of.
    """

    registry: Registry | None = None
    holding: Holding | None = None
    ports: Mapping[str, Port] = field(default_factory=dict)
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    unrepaired: frozenset[str] = frozenset()
    leases: Mapping[tuple[str, IPAddress], Lease] = field(default_factory=dict)
    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    rivals: Mapping[tuple[str, str], Port] = field(default_factory=dict)

    def having(
        self,
        *,
        ports: Mapping[str, Port] | None = None,
        subnets: Mapping[str, Subnet] | None = None,
        unrepaired: frozenset[str] | None = None,
        leases: Mapping[tuple[str, IPAddress], Lease] | None = None,
        claims: Mapping[tuple[str, str], Claim] | None = None,
        rivals: Mapping[tuple[str, str], Port] | None = None,
    ) -> Observed:
        """The same, with what was read later."""
        return replace(
            self,
            ports=self.ports if ports is None else ports,
            subnets=self.subnets if subnets is None else subnets,
            unrepaired=self.unrepaired if unrepaired is None else unrepaired,
            leases=self.leases if leases is None else leases,
            claims=self.claims if claims is None else claims,
            rivals=self.rivals if rivals is None else rivals,
        )
