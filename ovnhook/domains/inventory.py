"""What the databases have of a host's domains, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.errors import OvnhookError
from ovnhook.resources.lease.values import Holding, Lease
from ovnhook.resources.port.values import Claim, Port


@dataclass(frozen=True)
class Inventory:
    """What the northbound database has of this host.

    Attributes:
        ports: by domain and MAC; also those that are on their way here.
        holdings: what domains hold, likewise.
        leases: by subnet and address.
        broken: why rows that say that they are this host's can't be read.
        versions: of the names of those subnets that were asked for and have the DNS domain that was asked for: what
            differs whenever one of them is written.
    """

    ports: Mapping[tuple[UUID, str], Port] = field(default_factory=dict)
    holdings: Mapping[UUID, Holding] = field(default_factory=dict)
    leases: Mapping[tuple[str, IPAddress], Lease] = field(default_factory=dict)
    broken: tuple[OvnhookError, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RelatedRows:
    """What has to be known beside that.

    Attributes:
        holdings: of domains that are not in the inventory.
        ports: of interfaces that are not.
        names: the names of those subnets where they have to be looked at.
        versions: of these.
        domains: the DNS domain of each of them.
        leased: which of the addresses are leased that the names of each lead to.
        claims: of the MAC addresses of this host's ports, by subnet and MAC.
        rivals: the ports of other domains that these are of.
        mtus: of those subnets where interfaces set an MTU.
    """

    holdings: dict[UUID, Holding] = field(default_factory=dict)
    ports: dict[tuple[UUID, str], Port] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    leased: dict[str, frozenset[str]] = field(default_factory=dict)
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)
    rivals: dict[tuple[str, str], Port] = field(default_factory=dict)
    mtus: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ConsistentNames:
    """The names of a subnet when nothing was wrong with them.

    Attributes:
        version: of the names.
        domain: the subnet's DNS domain.
        leases: this host's there.
    """

    version: str
    domain: str
    leases: frozenset[Lease]
