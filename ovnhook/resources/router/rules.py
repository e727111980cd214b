"""Changes that create, update and delete routers, and the choice of their gateways. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, Unavailable
from ovnhook.resources.chassis import Node
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.registry import increment_serial
from ovnhook.resources.router import hostlink
from ovnhook.resources.router.kind import GATEWAYS, ROUTER
from ovnhook.resources.router.request import SETTINGS, ExternalGatewayRequest, parse, request_of
from ovnhook.resources.router.values import DEFAULT_ROUTER, HOST, GatewayHosts, Network, Router
from ovnhook.resources.state import Cloud

_NO_GATEWAY = ExternalGatewayRequest()


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
    requested = _on_link(requested, cloud)
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
        requested = replace(_kept(_NO_GATEWAY, changes), **changes)
        return create(parse(name, requested), new_id, cloud, name_is_foreign=name_is_foreign)
    old = find(name, cloud).router
    router = _on_link(parse(name, replace(_kept(request_of(old), changes), **changes)), cloud)
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


def gateways(
    one: Router, nodes: Collection[Node], before: Sequence[str], active: str, lost: Collection[str] = ()
) -> tuple[str, ...]:
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
        lost: hosts to leave out, unless no other one is eligible.
    """
    eligible = {node.name for node in eligible_hosts(one, nodes)}
    hosts = eligible.difference(lost) or eligible
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


def _kept(old: ExternalGatewayRequest, changes: Mapping[str, Any]) -> ExternalGatewayRequest:
    """Settings that a change keeps: none between the hosts' own network and others, which have other addresses.

    Raises:
        InvalidRequest: SNAT in OVN on the hosts' own network.
    """
    network = changes.get("physical_network", old.physical_network)
    if network == HOST and not changes.get("no_snat", True):
        raise InvalidRequest(f"physical network {network} has no SNAT in OVN", "the host masquerades")
    return old if (network == HOST) == (old.physical_network == HOST) else _NO_GATEWAY


def _on_link(router: Router, cloud: Cloud) -> Router:
    """Give a router on the hosts' own network the addresses that it lacks.

    Raises:
        Exhausted: there is none.
    """
    external = router.external
    if external is None or not external.is_host:
        return router
    others = {one.name: one.external for one in cloud.of(Router) if one.external}
    own = others.pop(router.name, None)
    if own is None or not own.is_host:
        taken = [address.ip for one in others.values() for address in one.addresses]
        own = hostlink.external_gateway(taken)
    return replace(
        router,
        external=replace(
            external,
            address=external.address or own.address,
            next_hop=external.next_hop or own.next_hop,
            address6=external.address6 or own.address6,
            next_hop6=external.next_hop6 or own.next_hop6,
        ),
    )


def _with_mac(router: Router, cloud: UUID) -> Router:
    if router.external is None:
        return router
    return replace(router, external=replace(router.external, mac=uuids.external_mac(cloud, router.name)))


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
