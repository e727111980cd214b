"""Which address outside may lead to which interface, and what has to change for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import AlreadyExists, InvalidRequest, NotFound
from ovnhook.resources import naming
from ovnhook.resources.changes import AddFloating, Change, RemoveFloating
from ovnhook.resources.floating_ip.values import Floating
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import address


def create(text: str, target: str, leases: Iterable[Lease], ports: Iterable[Port], cloud: Cloud) -> tuple[Change, ...]:
    """The changes that let an address outside lead to an interface; none when it does already.

    Args:
        text: the address outside.
        target: names a port (ovnhook.resources.naming), whose domain need not run.
        leases: all of them.
        ports: all of them.
        cloud: what there is.

    Raises:
        NotFound: no lease is of such a port or domain.
        InvalidRequest: the address can't be, or `target` is not one interface.
        AlreadyExists: the address, or the interface, has another one.
    """
    if not address.is_ipv4(text):
        raise InvalidRequest(f"address '{text}' is not an IPv4 address")
    outside = IPAddress(text)
    lease = _lease(target, leases, ports, cloud)
    router, network = _way_out(lease, cloud)
    theirs = [one for one in cloud.floating if (one.subnet, one.inside) == (lease.subnet, lease.address)]
    there = [one for one in cloud.floating if one.address == outside]
    if theirs and theirs == there:
        return ()
    _check(outside, router, network, cloud)
    for one in there:
        raise AlreadyExists(
            f"address {outside} is the floating address of domain {one.domain_name} ({one.mac})",
            f"ovnhook floating-ip delete {outside}",
        )
    for one in theirs:
        raise AlreadyExists(
            f"{lease.address} of domain {lease.domain_name} has the floating address {one.address}",
            f"ovnhook floating-ip delete {one.address}",
        )
    floating = Floating(outside, router, lease.subnet, lease.address, lease.domain, lease.domain_name, lease.mac)
    return (cloud.count(), AddFloating(floating))


def delete(text: str, cloud: Cloud) -> tuple[Change, ...]:
    """The changes that let an address outside lead nowhere.

    Raises:
        NotFound: it is no floating address.
    """
    found = [one for one in cloud.floating if str(one.address) == text]
    if not found:
        raise NotFound(f"there is no floating address '{text}'", "ovnhook floating-ip list")
    return (cloud.count(), *map(RemoveFloating, found))


def _lease(target: str, leases: Iterable[Lease], ports: Iterable[Port], cloud: Cloud) -> Lease:
    """The one lease that is meant."""
    named = naming.meant(target, naming.holders(leases, ports))
    found = [one for one in named if any(where.version == 4 for where in one.addresses)]
    if not found:
        raise NotFound(
            f"no IPv4 address is leased to a domain or port '{target}'",
            "ovnhook lease list; a domain has one from its first start on",
        )
    routed = {subnet.name for subnet in cloud.subnets if subnet.router}
    likely = [one for one in found if one.subnet in routed] or found
    return next(lease for lease in naming.single(target, likely).leases if lease.address.version == 4)


def _way_out(lease: Lease, cloud: Cloud) -> tuple[str, IPNetwork]:
    """The router that leads outside from a lease's subnet, and the network there."""
    name = next((subnet.router for subnet in cloud.subnets if subnet.name == lease.subnet), "")
    network = cloud.network(name)
    if network is None:
        raise InvalidRequest(
            f"subnet {lease.subnet} of domain {lease.domain_name} is on no router",
            f"ovnhook subnet set {lease.subnet} --router NAME",
        )
    if network.router.external is None or network.router.external.address is None:
        raise InvalidRequest(f"router {name} does not lead IPv4 outside", f"ovnhook router set {name} --help")
    return name, network.router.external.address.cidr


def _check(outside: IPAddress, router: str, network: IPNetwork, cloud: Cloud) -> None:
    """Whether an address can be one of a router's floating ones."""
    allowed = address.usable(network)
    if not allowed.first <= outside <= allowed.last:
        raise InvalidRequest(
            f"address {outside} is not a host address of {network}, where router {router} leads to",
            f"those are {allowed}",
        )
    for one in cloud.routers:
        if one.name == router and one.external and one.external.next_hop == outside:
            raise AlreadyExists(f"address {outside} is the next hop of router {router}")
        if one.external and one.external.address and one.external.address.ip == outside:
            raise AlreadyExists(f"address {outside} is that of router {one.name}")
