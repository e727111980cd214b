"""Creation and deletion of floating IPs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

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
from ovnhook.resources.virtual_address.values import VirtualAddress


@dataclass(frozen=True)
class _Inside:
    """The address inside that a floating IP leads to. Domain and MAC as of `FloatingIp`."""

    subnet: str
    address: IPAddress
    owner: str
    domain: UUID | None = None
    domain_name: str = ""
    mac: str = ""


def create(
    text: str,
    target: str,
    leases: Iterable[Lease],
    ports: Iterable[Port],
    virtual: Iterable[VirtualAddress],
    cloud: Cloud,
) -> tuple[Change, ...]:
    """Create a floating IP; no changes if it exists.

    Args:
        text: the external address.
        target: an interface (ovnhook.resources.naming), whose domain need not run, or a virtual address.
        leases: all leases.
        ports: all ports.
        virtual: all virtual addresses.
        cloud: current state.

    Raises:
        NotFound: no such interface has a lease.
        InvalidRequest: the address is invalid, or `target` is ambiguous.
        AlreadyExists: the external address is in use, or the interface has another floating IP.
    """
    if not ip.is_ipv4(text):
        raise InvalidRequest(f"address '{text}' is not an IPv4 address")
    outside = IPAddress(text)
    inside = _virtual(target, virtual, cloud) or _leased(target, leases, ports, cloud)
    router, network = _external(inside, cloud)
    theirs = [one for one in cloud.of(FloatingIp) if (one.subnet, one.inside) == (inside.subnet, inside.address)]
    there = [one for one in cloud.of(FloatingIp) if one.address == outside]
    if theirs and theirs == there:
        return ()
    _check(outside, router, network, cloud)
    for one in there:
        raise AlreadyExists(
            f"address {outside} is the floating IP of {one.owner} ({one.mac or one.subnet})",
            f"ovnhook floating-ip delete {outside}",
        )
    for one in theirs:
        raise AlreadyExists(
            f"{inside.address} of {inside.owner} has the floating IP {one.address}",
            f"ovnhook floating-ip delete {one.address}",
        )
    floating = FloatingIp(outside, router, inside.subnet, inside.address, inside.domain, inside.domain_name, inside.mac)
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


def _virtual(target: str, virtual: Iterable[VirtualAddress], cloud: Cloud) -> _Inside | None:
    """The IPv4 virtual address that is named, ``10.1.0.100`` or ``blue/10.1.0.100``, or None."""
    subnet, _, address = target.rpartition("/")
    if not ip.is_ipv4(address):
        return None
    found = [one for one in virtual if one.address == IPAddress(address) and subnet in ("", one.subnet)]
    routed = {subnet.name for subnet in cloud.of(Subnet) if subnet.router}
    likely = [one for one in found if one.subnet in routed] or found
    if len(likely) > 1:
        names = ", ".join(f"{one.subnet}/{address}" for one in likely)
        raise InvalidRequest(f"'{target}' is ambiguous: a virtual address of several subnets", f"name one of: {names}")
    return next((_Inside(one.subnet, one.address, f"virtual address {address}") for one in likely), None)


def _leased(target: str, leases: Iterable[Lease], ports: Iterable[Port], cloud: Cloud) -> _Inside:
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
    lease = next(one for one in naming.require_single(target, likely).leases if one.address.version == 4)
    owner = f"domain {lease.domain_name}"
    return _Inside(lease.subnet, lease.address, owner, lease.domain, lease.domain_name, lease.mac)


def _external(inside: _Inside, cloud: Cloud) -> tuple[str, IPNetwork]:
    """The router of an address's subnet, and its external network."""
    subnet = cloud.subnet(inside.subnet)
    name = subnet.router if subnet else ""
    network = cloud.network(name)
    if network is None:
        raise InvalidRequest(
            f"subnet {inside.subnet} of {inside.owner} is on no router",
            f"ovnhook subnet set {inside.subnet} --router NAME",
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
