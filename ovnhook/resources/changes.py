"""What can be changed in the northbound database, as values. Pure.

The changes of one event become one transaction (ovnhook.databases.northbound).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from ovnhook.resources.floating_ip.values import Floating
from ovnhook.resources.lease.values import Holding, Lease
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.router.values import Network
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class Registry:
    """The cloud-wide row.

    Attributes:
        serial: counts the changes of subnets and routers; two concurrent ones can't both count on.
        default_subnet: name of the default subnet, or "".
        cloud: random id of the cloud, which what others see outside is derived from; None until something needs it.
    """

    serial: int = 0
    default_subnet: str = ""
    cloud: UUID | None = None


@dataclass(frozen=True)
class NeedSubnet:
    """The subnet must still be as it was read."""

    subnet: Subnet


@dataclass(frozen=True)
class NeedLease:
    """The lease must still be of the interface that it was read with."""

    lease: Lease


@dataclass(frozen=True)
class AddLease:
    """Keep an address for an interface. Fails if somebody has it."""

    lease: Lease


@dataclass(frozen=True)
class UpdateLease:
    """Say something else of a lease that the interface already has."""

    old: Lease
    new: Lease


@dataclass(frozen=True)
class DropLease:
    """Give an address back."""

    lease: Lease


@dataclass(frozen=True)
class ClaimMac:
    """Reserve a MAC address of a subnet for a domain's port; `old` is the claim that was read, or None.

    A claim that the domain has must still be there. Another domain's is taken over, unless that domain has the port.
    The claim goes with the port: by RemovePort, or by UpdatePort to another subnet.
    """

    old: Claim | None
    new: Claim


@dataclass(frozen=True)
class AddPort:
    """Make a logical switch port. Fails if it, or another one of its name, exists."""

    port: Port


@dataclass(frozen=True)
class UpdatePort:
    """Change a port: its addresses, its host, its name, its subnet."""

    old: Port
    new: Port


@dataclass(frozen=True)
class RemovePort:
    """Take a port away, if it is still its host's."""

    port: Port


@dataclass(frozen=True)
class DropClaim:
    """Give the MAC address of a port back that somebody has deleted."""

    claim: Claim


@dataclass(frozen=True)
class NeedNames:
    """All the names of a subnet must still be as they were read."""

    subnet: str
    records: Mapping[str, str]


@dataclass(frozen=True)
class SetNames:
    """Change the names that guests of a subnet are asked for by. Fails if a new one is somebody else's."""

    subnet: str
    old: Mapping[str, str]
    new: Mapping[str, str]


@dataclass(frozen=True)
class SetHolding:
    """Write down what a domain holds; `old` is None where nothing was."""

    old: Holding | None
    new: Holding


@dataclass(frozen=True)
class DropHolding:
    """The domain holds nothing any more."""

    holding: Holding


@dataclass(frozen=True)
class SetRegistry:
    """Count a change of subnets; `old` is None where there was no registry."""

    old: Registry | None
    new: Registry


@dataclass(frozen=True)
class AddSubnet:
    """Make a subnet. Fails if one of that name exists."""

    subnet: Subnet


@dataclass(frozen=True)
class UpdateSubnet:
    """Change what a subnet's guests are given."""

    old: Subnet
    new: Subnet


@dataclass(frozen=True)
class RemoveSubnet:
    """Take a subnet away, if no lease is left in it."""

    subnet: Subnet


@dataclass(frozen=True)
class SetNetwork:
    """Make, change or (`new` is None) remove a router with all that joins its subnets to it.

    The registry, counted in the same transaction, says that `old` is still what there is.
    """

    old: Network | None
    new: Network | None


@dataclass(frozen=True)
class RenewIsolation:
    """Give isolated subnets of a router policies of this version in place of an earlier version's.

    Attributes:
        network: the router with its subnets; the registry, counted in the same transaction, says that it is still so.
        subnets: names of those that have policies of an earlier version.
        present: UUIDs of the router's policies of this version.
    """

    network: Network
    subnets: tuple[str, ...]
    present: frozenset[UUID]


@dataclass(frozen=True)
class AddFloating:
    """Let an address outside lead to a lease, which has to be there. Fails if one does already."""

    floating: Floating


@dataclass(frozen=True)
class RemoveFloating:
    """Let an address outside lead nowhere."""

    floating: Floating


@dataclass(frozen=True)
class SetGateways:
    """Change on which chassis a router's leg to the outside may be; the first one that lives has it."""

    router: str
    old: tuple[str, ...]
    new: tuple[str, ...]


Change = (
    NeedSubnet
    | NeedLease
    | AddLease
    | UpdateLease
    | DropLease
    | ClaimMac
    | AddPort
    | UpdatePort
    | RemovePort
    | DropClaim
    | NeedNames
    | SetNames
    | SetHolding
    | DropHolding
    | SetRegistry
    | AddSubnet
    | UpdateSubnet
    | RemoveSubnet
    | SetNetwork
    | RenewIsolation
    | SetGateways
    | AddFloating
    | RemoveFloating
)


def describe(change: Change) -> str:
    """A change of a domain's network in words, for the log; "" where it says nothing that another one doesn't."""
    match change:
        case AddPort(port) | UpdatePort(new=port):
            addresses = " ".join(map(str, port.addresses))
            where = f"{port.host}, moving to {port.moving_to}" if port.moving_to else port.host
            has = f"domain {port.domain_name}: {port.mac} has {addresses} on subnet {port.subnet}"
            return f"{has}, port {port.id} on {where}"
        case RemovePort(port):
            return f"domain {port.domain_name}: {port.mac} is off subnet {port.subnet}, port {port.id} removed"
        case AddLease(lease):
            return f"domain {lease.domain_name}: {lease.address} of subnet {lease.subnet} is leased to {lease.mac}"
        case DropLease(lease):
            return f"domain {lease.domain_name}: {lease.address} of subnet {lease.subnet} is given back"
        case _:
            return ""
