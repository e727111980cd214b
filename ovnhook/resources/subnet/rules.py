"""What a subnet may be, and what has to change when one is made, set or deleted. Pure.

Every refusal says which value, why not, and where there is something to do, what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from netaddr import IPNetwork

from ovnhook.base.errors import AlreadyExists, Exhausted, InUse, InvalidRequest, NotFound
from ovnhook.resources import ip
from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.registry import increment_serial
from ovnhook.resources.router.values import DEFAULT_ROUTER
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.request import MAX_LISTED, SubnetRequest, Underlay, parse
from ovnhook.resources.subnet.values import DnsRecords, Subnet

_OWN = 28  # prefix length of a domain's own subnet: 13 interfaces


def create(
    wanted: SubnetRequest, underlay: Underlay, cloud: Cloud, *, name_is_foreign: bool = False
) -> tuple[Change, ...]:
    """The changes that make a subnet and join it to its router; none when it is there already.

    The default router is made with the first subnet on it. An MTU that was not chosen is not compared with that of the
    subnet that is there, nor is the default.

    Args:
        wanted: as the user wrote it.
        underlay: decides about the MTU.
        cloud: what there is.
        name_is_foreign: whether a logical switch that isn't ours has that name.

    Raises:
        InvalidRequest: a value means nothing, or can't be.
        NotFound: there is no such router.
        AlreadyExists: another subnet has the name, some of the addresses, or is the default.
    """
    new = parse(wanted, underlay)
    for other in cloud.of(Subnet):
        if other.name == new.name:
            mtu = new.mtu if wanted.mtu else other.mtu
            asked = replace(new, mtu=mtu, default=new.default or other.default)
            if other == asked:
                return ()
            raise AlreadyExists(
                f"subnet {new.name} exists and is another: {_differences(other, asked)}",
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
    old: Subnet, new: Subnet, cloud: Cloud, named: Mapping[str, str], leases: Sequence[Lease]
) -> tuple[Change, ...]:
    """The changes that give a subnet other settings; none when it has them.

    Leases outside new ranges stay.

    Args:
        old: as it is.
        new: as it is to be, checked.
        cloud: what there is.
        named: its names, read before the leases.
        leases: those in it.

    Raises:
        InUse: the new gateway is leased to a guest, or a guest has an address of the IPv6 network that is removed.
        InvalidRequest: there would be no default subnet any more.
        AlreadyExists: the router has a subnet with some of the addresses.
    """
    if new == old:
        return ()
    if old.default and not new.default:
        raise InvalidRequest(
            f"subnet {old.name} stays the default subnet until another one is", "ovnhook subnet set OTHER --default"
        )
    for lease in leases:
        if lease.address.version == 6 and new.cidr6 != old.cidr6:
            raise InUse(
                f"address {lease.address} of {old.cidr6} is leased to domain {lease.domain_name} ({lease.mac})",
                f"while the domain is shut off: ovnhook lease release {lease.address}",
            )
        if lease.address == new.gateway != old.gateway:
            raise InUse(
                f"gateway {new.gateway} is leased to domain {lease.domain_name} ({lease.mac})",
                f"choose another one, or, while the domain is shut off: ovnhook lease release {lease.address}",
            )
    counted = increment_serial(cloud, new.name if new.default and not old.default else None)
    if replace(new, default=old.default) == old:
        return (counted,)
    _check_overlap(cloud, new)
    return (counted, Put(SUBNET, old, new), *_rename(new, named, leases))


def delete(subnet: Subnet, cloud: Cloud, leases: Iterable[Lease], ports: Iterable[str]) -> tuple[Change, ...]:
    """The changes that take a subnet away. Afterwards there is no default subnet if it was that.

    Args:
        subnet: which is to go.
        cloud: what there is.
        leases: those in it.
        ports: the names of the ports on its switch, whosever they are, but for its router's.

    Raises:
        InUse: there are such leases or ports.
    """
    if domains := sorted({lease.domain_name for lease in leases}):
        raise InUse(
            f"subnet {subnet.name} is in use by {_few('domain', domains)}",
            f"ovnhook lease list --subnet {subnet.name}; a lease goes with its domain: virsh undefine",
        )
    if names := sorted(ports):
        raise InUse(
            f"subnet {subnet.name} is in use by {_few('port', names)}, without a lease",
            f"ovn-nbctl lsp-list {subnet.name}",
        )
    return (increment_serial(cloud, "" if subnet.default else None), Put(SUBNET, subnet, None))


def _rename(subnet: Subnet, named: Mapping[str, str], leases: Iterable[Lease]) -> Iterator[Change]:
    """What lets the names of a subnet end with its domain."""
    wanted = dns.records(leases, subnet.dns_domain)
    if wanted != named:
        old = DnsRecords(subnet.name, named)
        yield Need(DNS_RECORDS, old)
        yield Put(DNS_RECORDS, old, DnsRecords(subnet.name, wanted))


def _check_overlap(cloud: Cloud, new: Subnet) -> None:
    """Raise AlreadyExists if some of a subnet's addresses are on its router already."""
    for other in cloud.of(Subnet):
        if (other.router, other.name) == (new.router, new.name) or other.router != new.router:
            continue
        if pair := ip.overlap(new.gateways, other.gateways):
            raise AlreadyExists(f"network {pair[0]} overlaps with subnet {other.name} ({pair[1]})")


def allocate_network(pool: IPNetwork, cloud: Cloud) -> IPNetwork:
    """A network for a domain's own subnet that no subnet of the default router has any part of.

    Args:
        pool: where it is taken from.
        cloud: what there is.

    Raises:
        Exhausted: there is none left.
    """
    taken = [subnet.cidr for subnet in cloud.of(Subnet) if subnet.router == DEFAULT_ROUTER]
    network = cloud.network(DEFAULT_ROUTER)
    if network and network.router.external:
        taken += [outside.cidr for outside in network.router.external.next_hops]
    alike = {cidr for cidr in taken if cidr.prefixlen == _OWN}
    others = [cidr for cidr in taken if cidr.prefixlen != _OWN]
    for candidate in pool.subnet(_OWN):
        if candidate not in alike and not any(candidate in other or other in candidate for other in others):
            return candidate
    raise Exhausted(
        f"no network is left in {pool} for an isolated subnet", "set isolated_pool in /etc/ovnhook/ovnhook.toml"
    )


def find(name: str, cloud: Cloud) -> Subnet:
    """The subnet of that name.

    Raises:
        NotFound: there is none.
    """
    if subnet := cloud.subnet(name):
        return subnet
    raise NotFound(f"there is no subnet '{name}'", "ovnhook subnet list")


def _few(what: str, names: Sequence[str]) -> str:
    """Some names: ``domains a, b, c, d, e and 3 more``."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names[:MAX_LISTED])}{more}"


def _differences(there: Subnet, asked: Subnet) -> str:
    """Where a subnet is not what is asked for: ``its DNS domain is a.example, not b.example``."""
    before, after = _shown(there), _shown(asked)
    different = [name for name in before if before[name] != after[name]]
    if there.cidr != asked.cidr:
        different = ["network"]  # all else follows
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
        "MTU": str(subnet.mtu),
        "default": "yes" if subnet.default else "no",
        "isolation": "on" if subnet.isolated else "off",
    }
