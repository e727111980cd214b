"""Validation of routers, the changes that create, update and delete them, and the choice of their gateways. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, Unavailable
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
_SMALLEST = {4: 30, 6: 127}  # prefix lengths of networks with a router and a next hop (RFC 6164)
_IS = {4: ip.is_ipv4, 6: ip.is_ipv6}
_LIKE = {4: "203.0.113.10/24", 6: "2001:db8::10/64"}


@dataclass(frozen=True)
class ExternalGatewayRequest:
    """A router's external gateway as requested; all attributes are empty for none.

    Attributes:
        physical_network: a name in the gateway hosts' ``ovn-bridge-mappings``.
        address: ``203.0.113.10/24``, or "" without IPv4.
        next_hop: an address in that network.
        vlan: 1 to 4094, or 0.
        no_snat: guests keep their own IPv4 addresses externally.
        address6: ``2001:db8::10/64``, or "" without IPv6.
        next_hop6: an address in that network.
        snat6: guests use the router's IPv6 address externally.
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
    """The request that results in a router's external gateway."""
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


def parse(name: str, request: ExternalGatewayRequest) -> Router:
    """Validate a request.

    Args:
        name: of the router.
        request: its external gateway.

    Raises:
        InvalidRequest: a value is invalid.
    """
    if not SUBNET_NAME.fullmatch(name):
        raise InvalidRequest(
            f"invalid router name '{name}'",
            "letters, digits and, in between, dots, hyphens and underscores, 63 at most",
        )
    return Router(name, _external(name, request))


def create(requested: Router, new_id: UUID, cloud: Cloud, *, name_is_foreign: bool = False) -> tuple[Change, ...]:
    """Create a router; no changes if it exists.

    Args:
        requested: the result of `parse`.
        new_id: cloud ID for a cloud without one.
        cloud: current state.
        name_is_foreign: a logical router with that name exists that is not ovnhook's.

    Raises:
        AlreadyExists: another router has the name or the external address.
    """
    name = requested.name
    existing = cloud.network(name)
    if existing is not None:
        if request_of(existing.router) == request_of(requested):
            return ()
        raise AlreadyExists(
            f"router {name} exists with different settings: {_differences(existing.router, requested)}",
            f"ovnhook router show {name}; ovnhook router set --help",
        )
    if name_is_foreign:
        raise AlreadyExists(f"a logical router '{name}' exists that is not ovnhook's", "choose another name")
    _check_overlap(cloud, requested)
    new = _with_mac(requested, cloud.id(new_id))
    return (increment_serial(cloud, new_id=new_id if new.external else None), Put(ROUTER, None, new))


def update(
    name: str, changes: Mapping[str, Any], new_id: UUID, cloud: Cloud, *, name_is_foreign: bool = False
) -> tuple[Change, ...]:
    """Update a router's external gateway; no changes if it has these settings.

    Args:
        name: of the router; the default one is created if it does not exist.
        changes: some of SETTINGS, with values as in ExternalGatewayRequest.
        new_id: cloud ID for a cloud without one.
        cloud: current state.
        name_is_foreign: a logical router with that name exists that is not ovnhook's.

    Raises:
        NotFound: the router does not exist.
        InvalidRequest: a value is invalid.
        AlreadyExists: another router has the external address.
    """
    for setting in changes:
        if setting not in SETTINGS:
            raise InvalidRequest(f"'{setting}' of a router can't be set", f"these can: {', '.join(SETTINGS)}")
    if cloud.network(name) is None and name == DEFAULT_ROUTER:
        return create(parse(name, ExternalGatewayRequest(**changes)), new_id, cloud, name_is_foreign=name_is_foreign)
    old = find(name, cloud).router
    router = parse(name, replace(request_of(old), **changes))
    if request_of(router) == request_of(old):
        return ()
    _check_overlap(cloud, router)
    new = _with_mac(router, cloud.id(new_id))
    return (increment_serial(cloud, new_id=new_id if router.external else None), Put(ROUTER, old, new))


def derive_external_macs(new_id: UUID, cloud: Cloud) -> tuple[Change, ...]:
    """Derive the MAC addresses of all external gateway ports from the cloud ID; no changes if they are.

    Versions without a cloud ID used the same ones in every cloud; so does a clone of a cloud.

    Args:
        new_id: cloud ID for a cloud without one.
        cloud: current state.
    """
    found: list[Change] = []
    for one in cloud.of(Router):
        own = _with_mac(one, cloud.id(new_id))
        if own != one:
            found.append(Put(ROUTER, one, own))
    return (increment_serial(cloud, new_id=new_id), *found) if found else ()


def delete(name: str, cloud: Cloud) -> tuple[Change, ...]:
    """Delete a router.

    Raises:
        NotFound: it does not exist.
        FailedPrecondition: it has a subnet.
    """
    gone = find(name, cloud)
    if gone.subnets:
        names = ", ".join(subnet.name for subnet in gone.subnets)
        raise FailedPrecondition(
            f"router {name} is in use by subnet{'s' if len(gone.subnets) > 1 else ''} {names}",
            f"ovnhook subnet set {gone.subnets[0].name} --no-router",
        )
    return (increment_serial(cloud), Put(ROUTER, gone.router, None))


def find(name: str, cloud: Cloud) -> Network:
    """Find a router with its subnets.

    Raises:
        NotFound: it does not exist.
    """
    network = cloud.network(name)
    if network is None:
        raise NotFound(f"there is no router '{name}'", "ovnhook router list")
    return network


def eligible_hosts(one: Router, nodes: Iterable[Node]) -> list[Node]:
    """Gateway hosts that have a bridge for a router's physical network."""
    network = one.external.physical_network if one.external else ""
    return [node for node in nodes if node.is_gateway and network in node.physical_networks]


def with_uplink_down(one: Router, nodes: Iterable[Node]) -> list[str]:
    """Eligible hosts whose uplink to a router's physical network is down."""
    return [
        node.name
        for node in eligible_hosts(one, nodes)
        if one.external and one.external.physical_network in node.uplinks_down
    ]


def gateways(one: Router, nodes: Collection[Node], before: Sequence[str], active: str) -> tuple[str, ...]:
    """Choose a router's gateways, in descending priority.

    The active gateway is first: no failback, so a host that returns gets no traffic before it can forward it. The
    others keep their order; new hosts are added in one that differs between routers. Hosts whose uplink is down are
    last. They remain gateways, since a failover between hosts with a BFD session is fast. If all uplinks are down the
    active gateway stays.

    Args:
        one: the router.
        nodes: all hosts.
        before: present order.
        active: the active gateway, or "".
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
    """Move a router's external gateway port to a host; no changes if the host has the highest priority.

    Args:
        one: the router.
        nodes: all hosts.
        host: one of the router's gateways.
        before: all of them, in order.

    Raises:
        InvalidRequest: the host is not one of them.
        Unavailable: its uplink is down.
    """
    if host not in before:
        raise InvalidRequest(
            f"host '{host}' is not a gateway of router {one.name}",
            f"gateways: {', '.join(sorted(before))}" if before else "it has no gateway: ovnhook router show --help",
        )
    if host in with_uplink_down(one, nodes):
        network = one.external.physical_network if one.external else ""
        raise Unavailable(f"host {host} has no link to the physical network {network} that is up", "ovnhook status")
    after = (host, *(other for other in before if other != host))
    return (put_gateways(one.name, before, after),) if after != tuple(before) else ()


def put_gateways(router: str, before: Sequence[str], after: Sequence[str]) -> Put[GatewayHosts]:
    """The change of a router's gateways."""
    return Put(GATEWAYS, GatewayHosts(router, tuple(before)), GatewayHosts(router, tuple(after)))


def _with_mac(router: Router, cloud: UUID) -> Router:
    if router.external is None:
        return router
    return replace(router, external=replace(router.external, mac=uuids.external_mac(cloud, router.name)))


def _external(name: str, request: ExternalGatewayRequest) -> External | None:
    if not request.physical_network:
        if request != ExternalGatewayRequest():
            raise InvalidRequest(
                f"router {name}: an external gateway needs a physical network",
                "--physical-network NAME, a name in the ovn-bridge-mappings of the gateway hosts",
            )
        return None
    if not _PHYSICAL_NETWORK.fullmatch(request.physical_network):
        raise InvalidRequest(f"invalid physical network '{request.physical_network}'")
    address4, hop4 = _external_address(request.address, request.next_hop, 4)
    address6, hop6 = _external_address(request.address6, request.next_hop6, 6)
    if not (address4 or address6):
        raise InvalidRequest(
            f"router {name}: an external gateway needs an address", "--address CIDR --next-hop ADDRESS"
        )
    if not 0 <= request.vlan <= _LAST_VLAN:
        raise InvalidRequest(f"invalid VLAN {request.vlan}", f"expected 1 to {_LAST_VLAN}, or 0 for none")
    return External(
        physical_network=request.physical_network,
        address=address4,
        next_hop=hop4,
        vlan=request.vlan,
        snat=not request.no_snat,
        address6=address6,
        next_hop6=hop6,
        snat6=request.snat6,
    )


def _external_address(text: str, hop: str, version: int) -> tuple[InterfaceAddress | None, IPAddress | None]:
    """Parse the router's address and the next hop of an IP version."""
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
            f"address {text}: the network is too small for a router and a next hop",
            f"expected /1 to /{_SMALLEST[version]}",
        )
    own = InterfaceAddress(IPAddress(host), int(length))
    allowed = ip.usable(own.cidr)
    if not allowed.first <= own.ip <= allowed.last:
        raise InvalidRequest(f"address {text} is not a host address of {own.cidr}", f"those are {allowed}")
    return own


def _check_overlap(cloud: Cloud, new: Router) -> None:
    """Raise AlreadyExists if another router on the same physical network and VLAN has one of the addresses."""
    external = new.external
    if external is None:
        return
    for other in cloud.of(Router):
        theirs = other.external
        if other.name == new.name or theirs is None:
            continue
        if (theirs.physical_network, theirs.vlan) != (external.physical_network, external.vlan):
            continue
        for taken in {one.ip for one in external.addresses} & {one.ip for one in theirs.addresses}:
            raise AlreadyExists(f"address {taken} is that of router {other.name}")


def _differences(existing: Router, requested: Router) -> str:
    """Differences between the existing and the requested router."""
    before, after = request_of(existing), request_of(requested)
    pairs: Iterable[tuple[str, Any, Any]] = ((name, getattr(before, name), getattr(after, name)) for name in SETTINGS)
    return ", ".join(
        f"its {name.replace('_', ' ')} is {old or 'none'}, not {new or 'none'}"
        for name, old, new in pairs
        if old != new
    )
