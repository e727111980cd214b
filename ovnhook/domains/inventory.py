"""A host's rows in the databases, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.errors import OvnhookError
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Claim, Port


@dataclass(frozen=True)
class Inventory:
    """Rows of this host in the northbound database.

    Attributes:
        ports: by domain and MAC; also those that are migrating here.
        lease_indexes: by domain, likewise.
        leases: by subnet and address.
        broken: why rows of this host can't be read.
        versions: of the DNS records of the requested subnets, where their DNS domain is the requested one. A version
            changes with every write.
    """

    ports: Mapping[tuple[UUID, str], Port] = field(default_factory=dict)
    lease_indexes: Mapping[UUID, LeaseIndex] = field(default_factory=dict)
    leases: Mapping[tuple[str, IPAddress], Lease] = field(default_factory=dict)
    broken: tuple[OvnhookError, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RelatedRows:
    """Rows that an inventory has to be compared with.

    Attributes:
        lease_indexes: of domains that are not in the inventory.
        ports: of interfaces that are not.
        names: DNS records by subnet, of the subnets to check.
        versions: of these records.
        dns_domains: the DNS domain of each of these subnets.
        leased: the leased ones of the addresses in these records, by subnet.
        claims: of the MAC addresses of this host's ports, by subnet and MAC.
        conflicting_ports: ports of other domains that hold such a claim.
        mtus: of subnets where interfaces set an MTU.
    """

    lease_indexes: dict[UUID, LeaseIndex] = field(default_factory=dict)
    ports: dict[tuple[UUID, str], Port] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    dns_domains: dict[str, str] = field(default_factory=dict)
    leased: dict[str, frozenset[str]] = field(default_factory=dict)
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)
    conflicting_ports: dict[tuple[str, str], Port] = field(default_factory=dict)
    mtus: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ConsistentNames:
    """DNS records of a subnet that a scan found consistent.

    Attributes:
        version: of the records.
        dns_domain: the subnet's DNS domain.
        leases: this host's there.
    """

    version: str
    dns_domain: str
    leases: frozenset[Lease]
