"""Creation and deletion of floating IPs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import AlreadyExists, InvalidRequest, NotFound
from ovnhook.resources import ip, naming
from ovnhook.resources.floating_ip.kind import FLOATING_IP
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port
from ovnhook.resources.registry import increment_serial
from ovnhook.resources.router.values import Router
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.values import Subnet


def create(text: str, target: str, leases: Iterable[Lease], ports: Iterable[Port], cloud: Cloud) -> tuple[Change, ...]:
    """Create a floating IP; no changes if it exists.

    Args:
        text: the external address.
        target: an interface (ovnhook.resources.naming); its domain need not run.
        leases: all leases.
        ports: all ports.
        cloud: current state.

    Raises:
        NotFound: no such interface has a lease.
        InvalidRequest: the address is invalid, or `target` is ambiguous.
        AlreadyExists: the external address is in use, or the interface has another floating IP.
    """
    if not ip.is_ipv4(text):
        raise InvalidRequest(f"address '{text}' is not an IPv4 address")
    outside = IPAddress(text)
    lease = _lease(target, leases, ports, cloud)
    router, network = _external(lease, cloud)
    theirs = [one for one in cloud.of(FloatingIp) if (one.subnet, one.inside) == (lease.subnet, lease.address)]
    there = [one for one in cloud.of(FloatingIp) if one.address == outside]
    if theirs and theirs == there:
        return ()
    _check(outside, router, network, cloud)
    for one in there:
        raise AlreadyExists(
            f"address {outside} is the floating IP of domain {one.domain_name} ({one.mac})",
            f"ovnhook floating-ip delete {outside}",
        )
    for one in theirs:
        raise AlreadyExists(
            f"{lease.address} of domain {lease.domain_name} has the floating IP {one.address}",
            f"ovnhook floating-ip delete {one.address}",
        )
    floating = FloatingIp(outside, router, lease.subnet, lease.address, lease.domain, lease.domain_name, lease.mac)
    return (increment_serial(cloud), Put(FLOATING_IP, None, floating))


def delete(text: str, cloud: Cloud) -> tuple[Change, ...]:
    """Delete a floating IP.

    Raises:
        NotFound: there is no such floating IP.
    """
    found = [one for one in cloud.of(FloatingIp) if str(one.address) == text]
    if not found:
        raise NotFound(f"there is no floating IP '{text}'", "ovnhook floating-ip list")
    return (increment_serial(cloud), *(Put(FLOATING_IP, one, None) for one in found))


def _lease(target: str, leases: Iterable[Lease], ports: Iterable[Port], cloud: Cloud) -> Lease:
    """The IPv4 lease of an interface."""
    named = naming.resolve(target, naming.leased_interfaces(leases, ports))
    found = [one for one in named if any(where.version == 4 for where in one.addresses)]
    if not found:
        raise NotFound(
            f"no IPv4 address is leased to a domain or port '{target}'",
            "ovnhook lease list; a domain has one from its first start on",
        )
    routed = {subnet.name for subnet in cloud.of(Subnet) if subnet.router}
    likely = [one for one in found if one.subnet in routed] or found
    return next(lease for lease in naming.require_single(target, likely).leases if lease.address.version == 4)


def _external(lease: Lease, cloud: Cloud) -> tuple[str, IPNetwork]:
    """The router of a lease's subnet, and its external network."""
    subnet = cloud.subnet(lease.subnet)
    name = subnet.router if subnet else ""
    network = cloud.network(name)
    if network is None:
        raise InvalidRequest(
            f"subnet {lease.subnet} of domain {lease.domain_name} is on no router",
            f"ovnhook subnet set {lease.subnet} --router NAME",
        )
    if network.router.external is None or network.router.external.address is None:
        raise InvalidRequest(f"router {name} has no IPv4 external gateway", f"ovnhook router set {name} --help")
    if network.router.external.is_host:
        raise InvalidRequest(
            f"router {name} reaches the outside through its host, which has no floating IPs",
            f"they need an external network of its own: ovnhook router set {name} --help",
        )
    return name, network.router.external.address.cidr


def _check(outside: IPAddress, router: str, network: IPNetwork, cloud: Cloud) -> None:
    """Refuse an address outside the external network, or in use there."""
    allowed = ip.usable(network)
    if not allowed.first <= outside <= allowed.last:
        raise InvalidRequest(
            f"address {outside} is not a host address of {network}, the external network of router {router}",
            f"those are {allowed}",
        )
    for one in cloud.of(Router):
        if one.name == router and one.external and one.external.next_hop == outside:
            raise AlreadyExists(f"address {outside} is the next hop of router {router}")
        if one.external and one.external.address and one.external.address.ip == outside:
            raise AlreadyExists(f"address {outside} is that of router {one.name}")
