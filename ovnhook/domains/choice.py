"""The subnet and the host name that an interface gets. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from netaddr import IPAddress

from ovnhook.base.errors import NotFound, Unrepaired
from ovnhook.base.labels import SUBNET_NAME
from ovnhook.domains.values import Domain, Interface, InterfaceType
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import names
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class Placement:
    """An interface with the subnet and the addresses that it is to have; whether it named no subnet."""

    interface: Interface
    subnet: Subnet
    addresses: tuple[IPAddress, ...]
    by_default: bool = False


def subnet_names(interface: Interface, default: str) -> tuple[str, ...]:
    """The names of the subnets that an interface may go to; the first one that exists is it.

    Args:
        interface: whose metadata, portgroup and network decide, in that order.
        default: the name of the default subnet, or "".
    """
    if interface.request.subnet:
        return (interface.request.subnet,)
    if interface.portgroup:
        return (interface.portgroup,)
    if interface.kind is InterfaceType.NETWORK and interface.network:
        return (interface.network, default) if default else (interface.network,)
    return (default,) if default else ()


def kept_subnet(domain: Domain, interface: Interface, observed: Observed) -> str:
    """The name of the subnet that was the default one when the interface got its address there, or ""."""
    held = (
        lease.subnet
        for lease in observed.leases.values()
        if lease.by_default and lease.is_held_by(domain.uuid, interface.mac)
    )
    return next(held, "")


def place(interface: Interface, default: str, subnets: Mapping[str, Subnet], unrepaired: Container[str] = ()) -> Subnet:
    """The subnet that an interface goes to.

    Args:
        interface: as below.
        default: the name of the one for interfaces that name none, or "".
        subnets: by name.
        unrepaired: the names of others, whose switch somebody has deleted.

    Raises:
        NotFound: there is none of that name, or no default subnet.
        Unrepaired: it has no switch now.
    """
    for name in subnet_names(interface, default):
        if name in subnets:
            return subnets[name]
        if name in unrepaired:
            raise Unrepaired(
                f"the logical switch of subnet {name} is missing",
                "the control service makes it anew within a minute: ovnhook status",
            )
    if interface.request.subnet:
        raise NotFound(f"there is no subnet '{interface.request.subnet}'", "ovnhook subnet list")
    if interface.portgroup:
        can_be = SUBNET_NAME.fullmatch(interface.portgroup)
        raise NotFound(
            f"portgroup '{interface.portgroup}' of network '{interface.network}' names no subnet",
            f"ovnhook subnet create {interface.portgroup} CIDR"
            if can_be
            else f"no subnet can have that name: virsh net-edit {interface.network}, rename the portgroup",
        )
    raise NotFound("it names no subnet and there is no default subnet", "ovnhook subnet create NAME CIDR --default")


def host_name(domain: Domain, asked: str, subnet: Subnet, leases: Iterable[Lease], taken: Container[str]) -> str:
    """The host name of a domain in a subnet: what is asked for, else what it has, else the first one that is free.

    Args:
        domain: whose name it is derived from.
        asked: what is asked for, or "".
        subnet: which one.
        leases: with those that the domain has.
        taken: names that other domains have there.
    """
    if asked:
        return asked
    candidates = names.derived(domain.name, domain.uuid, subnet.dns_domain)
    had = sorted(lease.hostname for lease in leases if (lease.domain, lease.subnet) == (domain.uuid, subnet.name))
    fitting = (name for name in (*had, *candidates) if name in candidates and name not in taken)
    return next(fitting, candidates[-1])


def may_have(lease: Lease, domain: Domain, interface: Interface) -> bool:
    """Whether an interface may be given a lease that it asks for: its own, or one of its domain that is left free."""
    others = {*domain.macs, *domain.defined_only_macs} - {
        attached.mac for attached in domain.interfaces
    }  # these are attached later, if at all
    return lease.is_held_by(domain.uuid, interface.mac) or (lease.domain == domain.uuid and lease.mac not in others)
