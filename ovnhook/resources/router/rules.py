"""What a router may be, and what has to change when one is made, set or deleted; where its gateways are. Pure.

Every refusal says which value, why not, and where there is something to do, what.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists, InUse, InvalidRequest, NotFound, Unavailable
from ovnhook.base.labels import SUBNET_NAME
from ovnhook.resources import ip
from ovnhook.resources.chassis import Node
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.registry import increment_serial
from ovnhook.resources.router.kind import GATEWAYS, ROUTER
from ovnhook.resources.router.values import DEFAULT_ROUTER, External, GatewayHosts, InterfaceAddress, Network, Router
from ovnhook.resources.state import Cloud

_PHYSICAL_NETWORK = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LAST_VLAN = 4094  # IEEE 802.1Q
_SMALLEST = {4: 30, 6: 127}  # prefix lengths: a router and a next hop (RFC 6164)
_IS = {4: ip.is_ipv4, 6: ip.is_ipv6}
_LIKE = {4: "203.0.113.10/24", 6: "2001:db8::10/64"}


@dataclass(frozen=True)
class ExternalGatewayRequest:
    """A router's leg to the outside as a user writes it; all empty where there is none.

    Attributes:
        physical_network: a name in the gateway hosts' ``ovn-bridge-mappings``.
        address: ``203.0.113.10/24``, or "" where IPv4 does not lead outside.
        next_hop: an address of that network.
        vlan: 1 to 4094, or 0.
        no_snat: guests go out with their own IPv4 addresses.
        address6: ``2001:db8::10/64``, or "" where IPv6 does not lead outside.
        next_hop6: an address of that network.
        snat6: guests go out with the router's IPv6 address.
    """

    physical_network: str = ""
    address: str = ""
    next_hop: str = ""
    vlan: int = 0
    no_snat: bool = False
    address6: str = ""
    next_hop6: str = ""
    snat6: bool = False


SETTINGS = tuple(field.name for field in fields(ExternalGatewayRequest))


def request_of(router: Router) -> ExternalGatewayRequest:
    """A router's leg as a user would write it."""
    external = router.external
    if external is None:
        return ExternalGatewayRequest()
    return ExternalGatewayRequest(
        physical_network=external.physical_network,
        address=str(external.address or ""),
        next_hop=str(external.next_hop or ""),
        vlan=external.vlan,
        no_snat=not external.snat,
        address6=str(external.address6 or ""),
        next_hop6=str(external.next_hop6 or ""),
        snat6=external.snat6,
    )


def parse(name: str, wanted: ExternalGatewayRequest) -> Router:
    """The router that is wanted, every value checked.

    Args:
        name: its name.
        wanted: its leg as the user wrote it.

    Raises:
        InvalidRequest: a value means nothing, or can't be.
    """
    if not SUBNET_NAME.fullmatch(name):
        raise InvalidRequest(
            f"name '{name}' is not possible for a router",
            "letters, digits and, in between, dots, hyphens and underscores, 63 at most",
        )
    return Router(name, _external(name, wanted))


def create(wanted: Router, new_id: UUID, cloud: Cloud, *, name_is_foreign: bool = False) -> tuple[Change, ...]:
    """The changes that make a router; none when it is there already.

    Args:
        wanted: as `make` made it.
        new_id: the cloud's id, if it has none yet.
        cloud: what there is.
        name_is_foreign: whether a logical router that isn't ours has that name.

    Raises:
        AlreadyExists: another router has the name, or its address outside.
    """
    there = cloud.network(wanted.name)
    if there is not None:
        if request_of(there.router) == request_of(wanted):
            return ()
        raise AlreadyExists(
            f"router {wanted.name} exists and is another: {_differences(there.router, wanted)}",
            f"ovnhook router show {wanted.name}; ovnhook router set --help",
        )
    if name_is_foreign:
        raise AlreadyExists(f"a logical router '{wanted.name}' exists that is not ovnhook's", "choose another name")
    _check_overlap(cloud, wanted)
    made = _with_mac(wanted, cloud.id(new_id))
    return (increment_serial(cloud, new_id=new_id if made.external else None), Put(ROUTER, None, made))


def update(
    name: str, changes: Mapping[str, Any], new_id: UUID, cloud: Cloud, *, name_is_foreign: bool = False
) -> tuple[Change, ...]:
    """The changes that give a router another leg to the outside; none when it has it.

    Args:
        name: which router; the default one is made if it isn't there.
        changes: some of SETTINGS, with values as in ExternalGatewayRequest.
        new_id: the cloud's id, if it has none yet.
        cloud: what there is.
        name_is_foreign: whether a logical router that isn't ours has that name.

    Raises:
        NotFound: there is no such router.
        InvalidRequest: a value means nothing, or can't be.
        AlreadyExists: another router has the address outside, or one of its subnets has it inside.
    """
    for setting in changes:
        if setting not in SETTINGS:
            raise InvalidRequest(f"'{setting}' of a router can't be set", f"these can: {', '.join(SETTINGS)}")
    there = cloud.network(name)
    if there is None and name == DEFAULT_ROUTER:
        return create(parse(name, ExternalGatewayRequest(**changes)), new_id, cloud, name_is_foreign=name_is_foreign)
    old = find(name, cloud).router
    router = parse(name, replace(request_of(old), **changes))
    if request_of(router) == request_of(old):
        return ()
    _check_overlap(cloud, router)
    new = _with_mac(router, cloud.id(new_id))
    return (increment_serial(cloud, new_id=new_id if router.external else None), Put(ROUTER, old, new))


def derive_external_macs(new_id: UUID, cloud: Cloud) -> tuple[Change, ...]:
    """The changes that give every router's external gateway the MAC address of this cloud; none when all have it.

    Versions without an id of the cloud gave the routers of every cloud the same ones; so does a copy of a cloud whose
    id was taken away.

    Args:
        new_id: the cloud's id, if it has none yet.
        cloud: what there is.
    """
    found: list[Change] = []
    for one in cloud.of(Router):
        own = _with_mac(one, cloud.id(new_id))
        if own != one:
            found.append(Put(ROUTER, one, own))
    return (increment_serial(cloud, new_id=new_id), *found) if found else ()


def delete(name: str, cloud: Cloud) -> tuple[Change, ...]:
    """The changes that take a router away.

    Raises:
        NotFound: there is no such router.
        InUse: a subnet is on it.
    """
    gone = find(name, cloud)
    if gone.subnets:
        names = ", ".join(subnet.name for subnet in gone.subnets)
        raise InUse(
            f"router {name} is in use by subnet{'s' if len(gone.subnets) > 1 else ''} {names}",
            f"ovnhook subnet set {gone.subnets[0].name} --no-router",
        )
    return (increment_serial(cloud), Put(ROUTER, gone.router, None))


def find(name: str, cloud: Cloud) -> Network:
    """The router of that name, with its subnets.

    Raises:
        NotFound: there is none.
    """
    network = cloud.network(name)
    if network is None:
        raise NotFound(f"there is no router '{name}'", "ovnhook router list")
    return network


def eligible_hosts(one: Router, nodes: Iterable[Node]) -> list[Node]:
    """The hosts that can have a router's leg: they say that they are gateways, and have a bridge for its network."""
    network = one.external.physical_network if one.external else ""
    return [node for node in nodes if node.is_gateway and network in node.physical_networks]


def with_uplink_down(one: Router, nodes: Iterable[Node]) -> list[str]:
    """Those hosts that could have a router's leg if their link to its network were up."""
    return [
        node.name
        for node in eligible_hosts(one, nodes)
        if one.external and one.external.physical_network in node.uplinks_down
    ]


def gateways(one: Router, nodes: Collection[Node], before: Sequence[str], active: str) -> tuple[str, ...]:
    """The hosts that a router's leg may be on, the preferred one first.

    The one that has it now is preferred: when another one comes back it does not take the traffic before it can
    forward it. Otherwise the order stays, and new hosts come in one that differs from router to router. One whose
    uplink is down is behind those whose isn't; it stays among them, for to move the leg between hosts that watch each
    other already is quick. Where all uplinks are down the leg stays where it is: nobody can do better.

    Args:
        one: the router.
        nodes: all hosts.
        before: the order so far.
        active: the host that has the leg now, or "".
    """
    hosts = {node.name for node in eligible_hosts(one, nodes)}
    known = [host for host in before if host in hosts]
    new = sorted(hosts - set(known), key=lambda host: sha256(f"{one.name}/{host}".encode()).digest())
    order = [*known, *new]
    if active in order:
        order.remove(active)
        order.insert(0, active)
    last = with_uplink_down(one, nodes)
    return tuple(sorted(order, key=lambda host: host in last))


def move(one: Router, nodes: Iterable[Node], host: str, before: Sequence[str]) -> tuple[Change, ...]:
    """The changes that give a router's leg to a host on purpose; none when it is the preferred one.

    Args:
        one: the router.
        nodes: all hosts.
        host: one of those that can have it.
        before: all of those, in order.

    Raises:
        InvalidRequest: it isn't one of them.
        Unavailable: its link outside is down.
    """
    if host not in before:
        raise InvalidRequest(
            f"host '{host}' can't be a gateway of router {one.name}",
            f"these can: {', '.join(sorted(before))}" if before else "no host can: ovnhook router show --help",
        )
    if host in with_uplink_down(one, nodes):
        network = one.external.physical_network if one.external else ""
        raise Unavailable(f"host {host} has no link to the physical network {network} that is up", "ovnhook status")
    after = (host, *(other for other in before if other != host))
    return (put_gateways(one.name, before, after),) if after != tuple(before) else ()


def put_gateways(router: str, before: Sequence[str], after: Sequence[str]) -> Put[GatewayHosts]:
    """The change of the hosts that may have a router's external gateway port, from one order to another."""
    return Put(GATEWAYS, GatewayHosts(router, tuple(before)), GatewayHosts(router, tuple(after)))


def _with_mac(router: Router, cloud: UUID) -> Router:
    if router.external is None:
        return router
    return replace(router, external=replace(router.external, mac=uuids.external_mac(cloud, router.name)))


def _external(name: str, wanted: ExternalGatewayRequest) -> External | None:
    if not wanted.physical_network:
        if wanted != ExternalGatewayRequest():
            raise InvalidRequest(
                f"router {name}: without a physical network there is no way outside",
                "--physical-network NAME, as the gateway hosts call it in ovn-bridge-mappings",
            )
        return None
    if not _PHYSICAL_NETWORK.fullmatch(wanted.physical_network):
        raise InvalidRequest(f"physical network '{wanted.physical_network}' is not a name that one can have")
    address4, hop4 = _way(wanted.address, wanted.next_hop, 4)
    address6, hop6 = _way(wanted.address6, wanted.next_hop6, 6)
    if not (address4 or address6):
        raise InvalidRequest(
            f"router {name}: without an address it can't lead outside", "--address CIDR --next-hop ADDR"
        )
    if not 0 <= wanted.vlan <= _LAST_VLAN:
        raise InvalidRequest(f"VLAN {wanted.vlan} is not possible", f"1 to {_LAST_VLAN} are")
    return External(
        physical_network=wanted.physical_network,
        address=address4,
        next_hop=hop4,
        vlan=wanted.vlan,
        snat=not wanted.no_snat,
        address6=address6,
        next_hop6=hop6,
        snat6=wanted.snat6,
    )


def _way(text: str, hop: str, version: int) -> tuple[InterfaceAddress | None, IPAddress | None]:
    """The router's address and the next hop of an IP version."""
    if not (text or hop):
        return None, None
    own = _address(text, version)
    if not _IS[version](hop):
        raise InvalidRequest(f"next hop '{hop}' is not an IPv{version} address")
    allowed = ip.usable(own.cidr)
    if not allowed.first <= IPAddress(hop) <= allowed.last:
        raise InvalidRequest(f"next hop {hop} is not a host address of {own.cidr}", f"those are {allowed}")
    if IPAddress(hop) == own.ip:
        raise InvalidRequest(f"next hop {hop} is the router's own address")
    return own, IPAddress(hop)


def _address(text: str, version: int) -> InterfaceAddress:
    host, _, length = text.partition("/")
    if not (_IS[version](host) and re.fullmatch("[0-9]{1,3}", length)):
        raise InvalidRequest(f"address '{text}' is not of the form ADDRESS/LENGTH, like {_LIKE[version]}")
    if not 1 <= int(length) <= _SMALLEST[version]:
        raise InvalidRequest(
            f"address {text}: the network has no room for a router and a next hop", f"/1 to /{_SMALLEST[version]} have"
        )
    own = InterfaceAddress(IPAddress(host), int(length))
    allowed = ip.usable(own.cidr)
    if not allowed.first <= own.ip <= allowed.last:
        raise InvalidRequest(f"address {text} is not a host address of {own.cidr}", f"those are {allowed}")
    return own


def _check_overlap(cloud: Cloud, new: Router) -> None:
    """Raise AlreadyExists if another router has an external address of a router."""
    external = new.external
    if external is None:
        return
    for other in cloud.of(Router):
        theirs = other.external
        if other.name == new.name or theirs is None:
            continue
        if (theirs.physical_network, theirs.vlan) != (external.physical_network, external.vlan):
            continue
        for taken in {one.ip for one in external.next_hops} & {one.ip for one in theirs.next_hops}:
            raise AlreadyExists(f"address {taken} is that of router {other.name}")


def _differences(there: Router, asked: Router) -> str:
    """Where a router is not what is asked for."""
    before, after = request_of(there), request_of(asked)
    pairs: Iterable[tuple[str, Any, Any]] = ((name, getattr(before, name), getattr(after, name)) for name in SETTINGS)
    return ", ".join(
        f"its {name.replace('_', ' ')} is {old or 'none'}, not {new or 'none'}"
        for name, old, new in pairs
        if old != new
    )
