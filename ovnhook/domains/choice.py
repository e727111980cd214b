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
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.values import Subnet


@dataclass(frozen=True)
class Placement:
    """Planned placement of an interface.

    Attributes:
        interface: as requested.
        subnet: its subnet.
        addresses: its addresses, at most one for each network of the subnet.
        hostname: its host name in the subnet, requested or derived.
        by_default: True if it requests no subnet.
    """

    interface: Interface
    subnet: Subnet
    addresses: tuple[IPAddress, ...]
    hostname: str
    by_default: bool = False

    @property
    def security_groups(self) -> tuple[str, ...]:
        """Names of its security groups: the requested ones, else those of the subnet."""
        requested = self.interface.request.security_groups
        return self.subnet.security_groups if requested is None else requested


def subnet_names(interface: Interface, default: str) -> tuple[str, ...]:
    """Candidate subnets of an interface, by priority: the first one that exists is used.

    Args:
        interface: its metadata, portgroup and network decide, in that order.
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
    """The subnet that an interface keeps because it was the default one when its address was leased, or ""."""
    held = (
        lease.subnet
        for lease in observed.leases.values()
        if lease.by_default and lease.belongs_to(domain.uuid, interface.mac)
    )
    return next(held, "")


def choose_subnet(
    interface: Interface, default: str, subnets: Mapping[str, Subnet], missing_switches: Container[str] = ()
) -> Subnet:
    """The subnet of an interface.

    Args:
        interface: the interface.
        default: the name of the default subnet, or "".
        subnets: by name.
        missing_switches: names of further subnets, whose logical switch was deleted.

    Raises:
        NotFound: there is no subnet of that name, or no default subnet.
        Unrepaired: its logical switch is missing.
    """
    for name in subnet_names(interface, default):
        if name in subnets:
            return subnets[name]
        if name in missing_switches:
            raise Unrepaired(
                f"the logical switch of subnet {name} is missing",
                "the control service recreates it within a minute: ovnhook status",
            )
    if interface.request.subnet:
        raise NotFound(f"there is no subnet '{interface.request.subnet}'", "ovnhook subnet list")
    if interface.portgroup:
        can_be = SUBNET_NAME.fullmatch(interface.portgroup)
        raise NotFound(
            f"portgroup '{interface.portgroup}' of network '{interface.network}' names no subnet",
            f"ovnhook subnet create {interface.portgroup} CIDR"
            if can_be
            else f"not a valid subnet name: virsh net-edit {interface.network}, rename the portgroup",
        )
    raise NotFound("it names no subnet and there is no default subnet", "ovnhook subnet create NAME CIDR --default")


def check_groups(interface: Interface, observed: Observed) -> None:
    """Raise NotFound if a requested security group does not exist."""
    for name in interface.request.security_groups or ():
        if name not in observed.security_groups:
            raise NotFound(f"there is no security group '{name}'", f"ovnhook security-group create {name}")


def host_name(domain: Domain, asked: str, subnet: Subnet, leases: Iterable[Lease], taken: Container[str]) -> str:
    """The host name of a domain in a subnet: the requested one, else the present one, else the first free one.

    Args:
        domain: the domain; its name is the default.
        asked: the requested host name, or "".
        subnet: the subnet.
        leases: including the domain's.
        taken: host names of other domains in the subnet.
    """
    if asked:
        return asked
    candidates = dns.default_hostnames(domain.name, domain.uuid, subnet.dns_domain)
    had = sorted(lease.hostname for lease in leases if (lease.domain, lease.subnet) == (domain.uuid, subnet.name))
    fitting = (name for name in (*had, *candidates) if name in candidates and name not in taken)
    return next(fitting, candidates[-1])


def may_have(lease: Lease, domain: Domain, interface: Interface) -> bool:
    """Return whether an interface may use a requested lease: its own, or an unused one of its domain."""
    others = {*domain.macs, *domain.defined_only_macs} - {
        attached.mac for attached in domain.interfaces
    }  # not attached now, but may be later
    return lease.belongs_to(domain.uuid, interface.mac) or (lease.domain == domain.uuid and lease.mac not in others)
