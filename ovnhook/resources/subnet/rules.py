"""Changes that create, update and delete subnets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from netaddr import IPNetwork

from ovnhook.base.errors import AlreadyExists, Exhausted, FailedPrecondition, InvalidRequest, NotFound
from ovnhook.base.text import few
from ovnhook.resources import ip
from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.registry import FORMAT, increment_serial
from ovnhook.resources.router.values import DEFAULT_ROUTER
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import address, dns
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.request import SubnetRequest, Underlay, parse
from ovnhook.resources.subnet.values import DnsRecords, Subnet
from ovnhook.resources.virtual_address.values import VirtualAddress

_ISOLATED = 28  # prefix length of a domain's isolated subnet: 13 interfaces


def create(
    request: SubnetRequest, underlay: Underlay, cloud: Cloud, *, name_is_foreign: bool = False
) -> tuple[Change, ...]:
    """Create a subnet and connect it to its router; no changes if it exists.

    An existing subnet is compared without the MTU, if none is requested, its resolver, and without being the default.

    Args:
        request: the requested subnet.
        underlay: limits the MTU.
        cloud: current state.
        name_is_foreign: a logical switch with that name exists that is not ovnhook's.

    Raises:
        InvalidRequest: a value is invalid.
        NotFound: the router does not exist.
        AlreadyExists: another subnet has the name, overlaps on the same router, or is the default.
    """
    new = parse(request, underlay)
    if cloud.registry and cloud.registry.format < FORMAT:  # there may be agents without resolvers
        new = replace(new, resolvers=(), records_until=None)
    for other in cloud.of(Subnet):
        if other.name == new.name:
            mtu = new.mtu if request.mtu else other.mtu
            default = new.default or other.default
            requested = replace(new, mtu=mtu, default=default)
            requested = replace(requested, resolvers=other.resolvers, records_until=other.records_until)
            if other == requested:
                return ()
            raise AlreadyExists(
                f"subnet {new.name} exists with different settings: {_differences(other, requested)}",
                f"ovnhook subnet show {new.name}; ovnhook subnet set --help",
            )
    if name_is_foreign:
        raise AlreadyExists(f"a logical switch '{new.name}' exists that is not ovnhook's", "choose another name")
    for other in cloud.of(Subnet):
        if new.default and other.default:
            raise AlreadyExists(
                f"subnet {other.name} is the default subnet already",
                f"create {new.name} without --default, then: ovnhook subnet set {new.name} --default",
            )
    _check_overlap(cloud, new)
    return (increment_serial(cloud, new.name if new.default else None), Put(SUBNET, None, new))


def update(
    old: Subnet,
    new: Subnet,
    cloud: Cloud,
    named: Mapping[str, str],
    leases: Sequence[Lease],
    virtual: Sequence[VirtualAddress] = (),
) -> tuple[Change, ...]:
    """Update a subnet's settings; no changes if it has them.

    Leases outside new ranges are kept. The resolver gets another address if it has that of the new gateway.

    Args:
        old: current value.
        new: desired value, validated.
        cloud: current state.
        named: DNS records of the subnet, read before the leases.
        leases: leases of the subnet.
        virtual: virtual addresses of the subnet.

    Raises:
        FailedPrecondition: the new gateway address is leased or virtual, or an address of the removed IPv6 network is
            leased.
        InvalidRequest: no subnet would be the default.
        AlreadyExists: the subnet overlaps with another one on the router.
    """
    if new == old:
        return ()
    if old.default and not new.default:
        raise InvalidRequest(
            f"subnet {old.name} stays the default subnet until another one is", "ovnhook subnet set OTHER --default"
        )
    for lease in leases:
        if lease.address.version == 6 and new.cidr6 != old.cidr6:
            raise FailedPrecondition(
                f"address {lease.address} of {old.cidr6} is leased to domain {lease.domain_name} ({lease.mac})",
                f"while the domain is shut off: ovnhook lease release {lease.address}",
            )
        if lease.address == new.gateway != old.gateway:
            raise FailedPrecondition(
                f"gateway {new.gateway} is leased to domain {lease.domain_name} ({lease.mac})",
                f"choose another one, or, while the domain is shut off: ovnhook lease release {lease.address}",
            )
    for one in virtual:
        if one.address == new.gateway != old.gateway:
            raise FailedPrecondition(
                f"gateway {new.gateway} is a virtual address of {', '.join(one.domains)}", "choose another one"
            )
    if old.resolvers or not old.has_records:
        taken = {*(lease.address for lease in leases), *(one.address for one in virtual)}
        new = replace(new, resolvers=address.resolvers(new, taken))
    counted = increment_serial(cloud, new.name if new.default and not old.default else None)
    if replace(new, default=old.default) == old:
        return (counted,)
    _check_overlap(cloud, new)
    return (counted, Put(SUBNET, old, new), *_rename(new, named, leases))


def delete(subnet: Subnet, cloud: Cloud, leases: Iterable[Lease], ports: Iterable[str]) -> tuple[Change, ...]:
    """Delete a subnet. If it is the default one, there is none afterwards.

    Args:
        subnet: the subnet.
        cloud: current state.
        leases: leases of the subnet.
        ports: names of all ports on its switch, including foreign ones, except the router's.

    Raises:
        FailedPrecondition: it has leases or ports.
    """
    if domains := sorted({lease.domain_name for lease in leases}):
        raise FailedPrecondition(
            f"subnet {subnet.name} is in use by {few('domain', domains)}",
            f"ovnhook lease list --subnet {subnet.name}; virsh undefine releases the leases of a domain",
        )
    if names := sorted(ports):
        raise FailedPrecondition(
            f"subnet {subnet.name} is in use by {few('port', names)}, without a lease",
            f"ovn-nbctl lsp-list {subnet.name}",
        )
    return (increment_serial(cloud, "" if subnet.default else None), Put(SUBNET, subnet, None))


def _rename(subnet: Subnet, named: Mapping[str, str], leases: Iterable[Lease]) -> Iterator[Change]:
    """Update the DNS records of a subnet to its DNS domain."""
    desired = dns.records(leases, subnet.dns_domain)
    if desired != named:
        old = DnsRecords(subnet.name, named)
        yield Need(DNS_RECORDS, old)
        yield Put(DNS_RECORDS, old, DnsRecords(subnet.name, desired))


def _check_overlap(cloud: Cloud, new: Subnet) -> None:
    """Raise AlreadyExists if a subnet overlaps with another one on its router."""
    for other in cloud.of(Subnet):
        if (other.router, other.name) == (new.router, new.name) or other.router != new.router:
            continue
        if pair := ip.overlap(new.gateways, other.gateways):
            raise AlreadyExists(f"network {pair[0]} overlaps with subnet {other.name} ({pair[1]})")


def allocate_network(pool: IPNetwork, cloud: Cloud) -> IPNetwork:
    """Allocate a network for a domain's isolated subnet, without overlap on the default router.

    Args:
        pool: network to allocate from.
        cloud: current state.

    Raises:
        Exhausted: none is free.
    """
    taken = [subnet.cidr for subnet in cloud.of(Subnet) if subnet.router == DEFAULT_ROUTER]
    network = cloud.network(DEFAULT_ROUTER)
    if network and network.router.external:
        taken += [outside.cidr for outside in network.router.external.addresses]
    same_size = {cidr for cidr in taken if cidr.prefixlen == _ISOLATED}  # of which there can be many
    others = [cidr for cidr in taken if cidr.prefixlen != _ISOLATED]
    for candidate in pool.subnet(_ISOLATED):
        if candidate not in same_size and not any(candidate in other or other in candidate for other in others):
            return candidate
    raise Exhausted(
        f"no network is free in {pool} for an isolated subnet", "set isolated_pool in /etc/ovnhook/ovnhook.toml"
    )


def find(name: str, cloud: Cloud) -> Subnet:
    """Find a subnet.

    Raises:
        NotFound: it does not exist.
    """
    if subnet := cloud.subnet(name):
        return subnet
    raise NotFound(f"there is no subnet '{name}'", "ovnhook subnet list")


def _differences(existing: Subnet, requested: Subnet) -> str:
    """Differences between subnets: ``its DNS domain is a.example, not b.example``."""
    before, after = _shown(existing), _shown(requested)
    different = [name for name in before if before[name] != after[name]]
    if existing.cidr != requested.cidr:
        different = ["network"]  # other differences are a result of it
    return ", ".join(f"its {name} is {before[name]}, not {after[name]}" for name in different)


def _shown(subnet: Subnet) -> dict[str, str]:
    return {
        "network": str(subnet.cidr),
        "IPv6 network": str(subnet.cidr6 or "none"),
        "gateway": str(subnet.gateway),
        "router": subnet.router or "none",
        "range": " ".join(map(str, subnet.ranges)) or "all of it",
        "DNS server": " ".join(map(str, subnet.dns)) or "none",
        "DNS domain": subnet.dns_domain or "none",
        "list of search domains": " ".join(subnet.dhcp.search) or "none",
        "list of routes": " ".join(map(str, subnet.dhcp.routes)) or "none",
        "lease time": f"{subnet.dhcp.lease_time} s",
        "boot server": str(subnet.dhcp.boot_server or "none"),
        "boot file": subnet.dhcp.boot_file or "none",
        "URL for iPXE": subnet.dhcp.ipxe or "none",
        "list of DHCP options": " ".join(subnet.dhcp.assignments) or "none",
        "MTU": str(subnet.mtu),
        "default": "yes" if subnet.default else "no",
        "isolation": "on" if subnet.isolated else "off",
        "security groups": " ".join(subnet.security_groups) or "none",
    }
