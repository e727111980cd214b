"""What a subnet may be, and what has to change when one is made, set or deleted. Pure.

Every refusal says which value, why not, and where there is something to do, what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import AlreadyExists, Exhausted, InUse, InvalidRequest, NotFound
from ovnhook.base.labels import SUBNET_NAME
from ovnhook.resources.changes import AddSubnet, Change, NeedNames, RemoveSubnet, SetNames, SetNetwork, UpdateSubnet
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.router.values import DEFAULT_ROUTER, Network, Router
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import address, names
from ovnhook.resources.subnet.values import Range, Subnet

SETTINGS = ("gateway", "ranges", "dns", "domain", "mtu", "default", "router", "isolated", "cidr6")
"""What of a subnet can be set; its name and its network stay."""

_LARGEST = {4: 12, 6: 64}  # prefix lengths: a million addresses; one link's network (RFC 4291, section 2.5.1)
_SMALLEST = {4: 30, 6: 126}  # prefix lengths: a gateway and a guest
_OWN = 28  # prefix length of a domain's own subnet: 13 interfaces
_SMALLEST_MTU = {4: 576, 6: 1280}  # bytes: what every host accepts (RFC 791; RFC 8200, section 5)
_BITS = {4: 32, 6: 128}  # of an address
_LARGEST_MTU = 9000  # bytes: the largest that switches and NICs commonly agree on
_NAMED = 5  # how many users of a subnet a refusal names

_NOT_FOR_HOSTS = {
    "0.0.0.0/8": "means 'this network' (RFC 1122)",
    "127.0.0.0/8": "is loopback",
    "169.254.0.0/16": "is link-local",
    "224.0.0.0/4": "is multicast",
    "240.0.0.0/4": "is reserved (RFC 1112)",
    "::/8": "is reserved (RFC 4291)",
    "fe80::/10": "is link-local",
    "ff00::/8": "is multicast",
}
_PRIVATE = {
    4: "private networks are in 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16",
    6: "private networks are in fd00::/8 (RFC 4193)",
}

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_DOMAIN = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}")


@dataclass(frozen=True)
class Underlay:
    """What the network between the hosts carries of the guests' packets.

    Attributes:
        mtu: bytes of a guest's IP packet.
        known: whether that was measured; if not, it is what is usual, and more may be possible.
        host: the host where it was measured, or "" for this one.
    """

    mtu: int = Subnet.mtu
    known: bool = False
    host: str = ""


@dataclass(frozen=True)
class Wanted:
    """A subnet as a user writes it; what is empty is left to us.

    Attributes:
        name: its name.
        cidr: ``10.1.0.0/24``, or an IPv6 network.
        gateway: an address of it, or "".
        ranges: each ``FIRST-LAST``.
        dns: addresses of servers.
        domain: a DNS domain, or "".
        mtu: bytes, or 0.
        default: whether domains go there that name no subnet.
        router: name of a router, or "" for none.
        isolated: whether the router's other subnets are kept from it.
        cidr6: an IPv6 network beside an IPv4 one, or "".
    """

    name: str
    cidr: str
    gateway: str = ""
    ranges: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    domain: str = ""
    mtu: int = 0
    default: bool = False
    router: str = DEFAULT_ROUTER
    isolated: bool = False
    cidr6: str = ""


def make(wanted: Wanted, underlay: Underlay) -> Subnet:
    """The subnet that is wanted, every value checked.

    Args:
        wanted: as the user wrote it.
        underlay: decides which MTUs are possible, and which one it is where none is chosen.

    Raises:
        InvalidRequest: a value means nothing, or can't be.
    """
    if not SUBNET_NAME.fullmatch(wanted.name):
        raise InvalidRequest(
            f"name '{wanted.name}' is not possible for a subnet",
            "letters, digits and, in between, dots, hyphens and underscores, 63 at most",
        )
    cidr = _network(wanted.cidr, "10.1.0.0/24")
    bare = Subnet(wanted.name, cidr, gateway=_first(cidr))
    return with_changes(bare, {name: getattr(wanted, name) for name in SETTINGS}, underlay)


def with_changes(subnet: Subnet, changes: Mapping[str, Any], underlay: Underlay) -> Subnet:
    """A subnet with other settings.

    Args:
        subnet: as it is.
        changes: some of SETTINGS, with values as in Wanted. An empty gateway is the first address; an MTU of 0 is
            what the underlay carries.
        underlay: decides about the MTU.

    Raises:
        InvalidRequest: a value means nothing, or can't be.
    """
    values: dict[str, Any] = {}
    for name, value in changes.items():
        match name:
            case "gateway":
                values["gateway"] = _gateway(subnet.cidr, value) if value else _first(subnet.cidr)
            case "cidr6":
                values["cidr6"] = _network(value, "fd00:1::/64") if value else None
                values["gateway6"] = _first(values["cidr6"]) if value else None
            case "ranges":
                values["ranges"] = _ranges(value)
            case "dns":
                values["dns"] = tuple(_address(server, "DNS server") for server in value)
            case "domain":
                values["domain"] = _domain(value)
            case "mtu":
                values["mtu"] = _mtu(value, underlay)
            case "default" | "router" | "isolated":
                values[name] = value
            case _:
                raise InvalidRequest(f"'{name}' of a subnet can't be set", f"these can: {', '.join(SETTINGS)}")
    return _checked(replace(subnet, **values))


def create(wanted: Wanted, underlay: Underlay, cloud: Cloud, *, name_is_foreign: bool = False) -> tuple[Change, ...]:
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
    new = make(wanted, underlay)
    for other in cloud.subnets:
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
    for other in cloud.subnets:
        if new.default and other.default:
            raise AlreadyExists(
                f"subnet {other.name} is the default subnet already",
                f"create {new.name} without --default, then: ovnhook subnet set {new.name} --default",
            )
    return (cloud.count(new.name if new.default else None), AddSubnet(new), *_rejoin(cloud, None, new))


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
        InUse: the new gateway is leased to a guest, a guest's floating address needs the router, or a guest has an
            address of the IPv6 network that goes.
        InvalidRequest: there would be no default subnet any more.
        NotFound: there is no such router.
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
    for floating in cloud.floating:
        if floating.subnet == old.name and new.router != old.router:
            raise InUse(
                f"floating address {floating.address} of domain {floating.domain_name} needs router {old.router}",
                f"ovnhook floating-ip delete {floating.address}",
            )
    count = cloud.count(new.name if new.default and not old.default else None)
    if replace(new, default=old.default) == old:
        return (count,)
    return (count, UpdateSubnet(old, new), *_rename(new, named, leases), *_rejoin(cloud, old, new))


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
    # The router first: a switch is only deleted when no port is on it.
    return (cloud.count("" if subnet.default else None), *_rejoin(cloud, subnet, None), RemoveSubnet(subnet))


def _rename(subnet: Subnet, named: Mapping[str, str], leases: Iterable[Lease]) -> Iterator[Change]:
    """What lets the names of a subnet end with its domain."""
    wanted = names.records(leases, subnet.domain)
    if wanted != named:
        yield NeedNames(subnet.name, named)
        yield SetNames(subnet.name, named, wanted)


def _rejoin(cloud: Cloud, old: Subnet | None, new: Subnet | None) -> Iterator[Change]:
    """What joins a subnet to its router, or parts it from it.

    Raises:
        NotFound: there is no such router.
        AlreadyExists: the router has another subnet with some of the addresses; or, of a subnet without a router,
            another such one.
    """
    if new:
        _check_room(cloud, new)
    names = dict.fromkeys(subnet.router for subnet in (old, new) if subnet and subnet.router)
    for name in names:
        there = cloud.network(name)
        if there is None and name != DEFAULT_ROUTER:
            raise NotFound(f"there is no router '{name}'", f"ovnhook router create {name}")
        others = [subnet for subnet in there.subnets if subnet != old] if there else []
        subnets = sorted([*others, *([new] if new and new.router == name else [])], key=lambda one: one.name)
        router = there.router if there else Router(name)
        # The default router comes with its first subnet, and goes with the last one unless it leads outside.
        stays = subnets or router.external or name != DEFAULT_ROUTER
        yield SetNetwork(there, Network(router, tuple(subnets)) if stays else None)


def _check_room(cloud: Cloud, new: Subnet) -> None:
    """Raise AlreadyExists if some of a subnet's addresses are on its router already."""
    for other in cloud.subnets:
        if (other.router, other.name) == (new.router, new.name) or other.router != new.router:
            continue
        if pair := address.overlap(new.gateways, other.gateways):
            raise AlreadyExists(f"network {pair[0]} overlaps with subnet {other.name} ({pair[1]})")
    network = cloud.network(new.router)
    external = network.router.external if network else None
    if external and (pair := address.overlap(new.gateways, (outside.cidr for outside in external.next_hops))):
        raise AlreadyExists(f"network {pair[0]} overlaps with the external network {pair[1]} of router {new.router}")


def carve(pool: IPNetwork, cloud: Cloud) -> IPNetwork:
    """A network for a domain's own subnet that no subnet of the default router has any part of.

    Args:
        pool: where it is taken from.
        cloud: what there is.

    Raises:
        Exhausted: there is none left.
    """
    taken = [subnet.cidr for subnet in cloud.subnets if subnet.router == DEFAULT_ROUTER]
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


def find(name: str, existing: Iterable[Subnet]) -> Subnet:
    """The subnet of that name.

    Raises:
        NotFound: there is none.
    """
    for subnet in existing:
        if subnet.name == name:
            return subnet
    raise NotFound(f"there is no subnet '{name}'", "ovnhook subnet list")


def _few(what: str, names: Sequence[str]) -> str:
    """Some names: ``domains a, b, c, d, e and 3 more``."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names[:_NAMED])}{more}"


def _network(text: str, like: str) -> IPNetwork:
    host, _, length = text.partition("/")
    if (
        not address.is_ip(host)
        or not re.fullmatch("[0-9]{1,3}", length)
        or int(length) > _BITS[IPAddress(host).version]
    ):
        hint = f"did you mean {IPNetwork(f'{host}/{like[-2:]}').cidr}?" if address.is_ip(host) and not length else ""
        raise InvalidRequest(f"network '{text}' is not of the form ADDRESS/LENGTH, like {like}", hint)
    network = IPNetwork(f"{host}/{length}")
    if network.ip != network.network:
        raise InvalidRequest(f"network {text} has host bits set", f"did you mean {network.cidr}?")
    largest, smallest = _LARGEST[network.version], _SMALLEST[network.version]
    if network.prefixlen < largest:
        raise InvalidRequest(f"network {text} is too large to be meant", f"a /{largest} is the largest")
    for block, meaning in _NOT_FOR_HOSTS.items():
        if network in IPNetwork(block) or IPNetwork(block) in network:
            raise InvalidRequest(f"network {text} is not for hosts: {block} {meaning}", _PRIVATE[network.version])
    if network.prefixlen > smallest:
        raise InvalidRequest(
            f"network {text} is too small: it has no room for a gateway and a guest", f"a /{smallest} is the smallest"
        )
    return network


def _address(text: str, what: str) -> IPAddress:
    if not address.is_ip(text):
        raise InvalidRequest(f"{what} '{text}' is not an IP address")
    return IPAddress(text)


def _first(cidr: IPNetwork) -> IPAddress:
    return address.usable(cidr).first


def _gateway(cidr: IPNetwork, text: str) -> IPAddress:
    gateway = _address(text, "gateway")
    _inside(cidr, gateway, f"gateway {gateway}")
    return gateway


def _inside(cidr: IPNetwork, candidate: IPAddress, what: str) -> None:
    hosts = address.usable(cidr)
    if not hosts.first <= candidate <= hosts.last:
        raise InvalidRequest(f"{what} is not a host address of {cidr}", f"those are {hosts}")


def _ranges(texts: Iterable[str]) -> tuple[Range, ...]:
    ranges: list[Range] = []
    for text in texts:
        first, dash, last = text.partition("-")
        if not dash:
            raise InvalidRequest(f"range '{text}' is not of the form FIRST-LAST, like 10.1.0.10-10.1.0.99")
        one = Range(*(_address(end, f"range '{text}':") for end in (first, last)))
        if one.first > one.last:
            raise InvalidRequest(f"range {one}: the first address is after the last", f"did you mean {last}-{first}?")
        for other in ranges:
            if one.first <= other.last and other.first <= one.last:
                raise InvalidRequest(f"ranges {other} and {one} overlap")
        ranges.append(one)
    return tuple(sorted(ranges, key=lambda one: one.first))


def _domain(text: str) -> str:
    name = text.lower()
    if name and not _DNS_DOMAIN.fullmatch(name):
        raise InvalidRequest(
            f"domain '{text}' is not a DNS domain",
            "labels of letters, digits and, in between, hyphens, with dots between",
        )
    return name


def _mtu(mtu: int, underlay: Underlay) -> int:
    if not mtu:
        return min(underlay.mtu, _LARGEST_MTU)
    if not _SMALLEST_MTU[4] <= mtu <= _LARGEST_MTU:
        raise InvalidRequest(f"MTU {mtu} is not possible", f"{_SMALLEST_MTU[4]} to {_LARGEST_MTU} bytes are")
    if underlay.known and mtu > underlay.mtu:
        where = f" of host {underlay.host}" if underlay.host else ""
        raise InvalidRequest(
            f"MTU {mtu} is more than the underlay{where} carries, {underlay.mtu} bytes",
            "leave it out, or first raise the MTU of the hosts' underlay interfaces",
        )
    return mtu


def _checked(subnet: Subnet) -> Subnet:
    """The subnet, of which each setting is right by itself, if all are right together."""
    if subnet.cidr6 and (subnet.cidr.version, subnet.cidr6.version) != (4, 6):
        raise InvalidRequest(
            f"networks {subnet.cidr} and {subnet.cidr6}: one has to be IPv4, the second one IPv6",
            "a subnet of IPv6 alone has one network",
        )
    six = subnet.network(6)
    if six and not subnet.router:
        raise InvalidRequest(
            f"network {six} needs a router: IPv6 guests hear of their network from it (RFC 4861)",
            "ovnhook router create makes one that leads nowhere",
        )
    if six and subnet.mtu < _SMALLEST_MTU[6]:
        raise InvalidRequest(f"MTU {subnet.mtu} is not possible with IPv6", f"{_SMALLEST_MTU[6]} bytes is the smallest")
    for pool in subnet.ranges:
        network = subnet.network(pool.first.version)
        if network is None or pool.last.version != pool.first.version:
            raise InvalidRequest(f"range {pool} is not of a network of subnet {subnet.name}")
        for end in (pool.first, pool.last):
            _inside(network, end, f"range {pool}: {end}")
        if int(pool.last) - int(pool.first) >= address.MOST:
            raise InvalidRequest(f"range {pool} is too large to be meant", f"{address.MOST} addresses is the largest")
    if not address.capacity(subnet):
        raise InvalidRequest(
            f"subnet {subnet.name} has no address for a guest: its gateway {subnet.gateway} is the only one"
        )
    return subnet


def _differences(there: Subnet, asked: Subnet) -> str:
    """Where a subnet is not what is asked for: ``its domain is a.example, not b.example``."""
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
        "domain": subnet.domain or "none",
        "MTU": str(subnet.mtu),
        "default": "yes" if subnet.default else "no",
        "isolation": "on" if subnet.isolated else "off",
    }
