"""All resource kinds, and the dependencies between their changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ovnhook.base.errors import OvnhookError, Unrepaired
from ovnhook.resources.floating_ip.kind import FLOATING_IP
from ovnhook.resources.kind import Cascade, Change, Kind, Put, puts
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.port.kind import CLAIM, PORT
from ovnhook.resources.port.limits import PORT_LIMIT
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.router.kind import GATEWAYS, NETWORK, ROUTER
from ovnhook.resources.router.reach import with_reachable
from ovnhook.resources.router.values import DEFAULT_ROUTER, Network, Router
from ovnhook.resources.security_group.kind import ARRIVALS, RESOLVER_PORTS, SECURITY_GROUP, arrivals, resolver_ports
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS, VIRTUAL_PORT

SHARED: tuple[Kind[Any], ...] = (ROUTER, SECURITY_GROUP, SUBNET, FLOATING_IP)
"""Kinds of resources that domains share: the content of a `Cloud`."""

KINDS: tuple[Kind[Any], ...] = (
    REGISTRY,
    ROUTER,
    SECURITY_GROUP,
    SUBNET,
    NETWORK,
    GATEWAYS,
    LEASE_INDEX,
    LEASE,
    PORT,
    PORT_LIMIT,
    CLAIM,
    VIRTUAL_ADDRESS,
    VIRTUAL_PORT,
    DNS_RECORDS,
    FLOATING_IP,
    RESOLVER_PORTS,
    ARRIVALS,
)
"""All kinds. A kind may need those before it."""


def complete(changes: Sequence[Change], cloud: Cloud) -> tuple[Change, ...]:
    """Complete changes of shared resources with dependent ones, and check the requirements of all resources.

    For example::

        changes = complete(subnet_rules.create(request, underlay, cloud), cloud)
        northbound.commit(changes, deadline)

    Dependent changes are those of routers' networks, of the default router, of groups of ports, and of guests' routes.

    Args:
        changes: of the cloud.
        cloud: current state, as it was read.

    Raises:
        Unrepaired: a router of a changed subnet is missing or can't be read.
        OvnhookError: a resource lacks something that it needs.
    """
    if not changes:
        return ()
    _check_routers(cloud, changes)
    every = (*changes, *_default_router(cloud, apply_changes(cloud, changes)))
    after = apply_changes(cloud, every)
    for refusal in (*_lacking(every, after), *_lost(cloud, after)):
        raise refusal
    every = tuple(_with_routes(every, cloud, after))
    # Order: a switch must exist before the router is connected to it, and can be deleted once it is disconnected.
    deletions = [change for change in every if isinstance(change, Put) and change.new is None]
    others = [change for change in every if change not in deletions]
    return (*others, *_networks(cloud, after), *_port_groups(cloud, after), *deletions)


def apply_changes(cloud: Cloud, changes: Iterable[Change]) -> Cloud:
    """The state of a cloud after changes."""
    done = list(changes)
    resources: list[object] = []
    for kind in SHARED:
        some = list(puts(kind, done))
        gone = [put.old for put in some if put.old is not None]
        come = [put.new for put in some if put.new is not None]
        resources += sorted([*(one for one in cloud.of(kind.type) if one not in gone), *come], key=kind.order)
    return Cloud(cloud.registry, tuple(with_reachable(resources)))


def cascades(changes: Iterable[Change]) -> Iterator[tuple[Kind[Any], Cascade]]:
    """Operations on dependent rows that changes entail, with the kind of each."""
    for change in changes:
        if isinstance(change, Put):
            yield from ((kind, one) for kind in KINDS for one in kind.cascade(change))


def _check_routers(cloud: Cloud, changes: Sequence[Change]) -> None:
    """Refuse changes around a router that is missing or can't be read: its other rows may exist."""
    touched = [one for put in puts(SUBNET, changes) for one in (put.old, put.new) if one]
    names = {one.router for one in touched} | {put.new.name for put in puts(ROUTER, changes) if put.new}
    for name in sorted(name for name in names if name and cloud.network(name) is None):
        for subnet in cloud.of(Subnet):
            if subnet.router == name:
                raise Unrepaired(
                    f"router {name} of subnet {subnet.name} is missing, or its row can't be read", "ovnhook status"
                )


def _default_router(before: Cloud, after: Cloud) -> Iterator[Change]:
    """Create the default router with its first subnet; delete it with the last, unless it has an external gateway."""
    there = after.network(DEFAULT_ROUTER)
    is_used, was_used = (
        any(subnet.router == DEFAULT_ROUTER for subnet in cloud.of(Subnet)) for cloud in (after, before)
    )
    if is_used and not was_used and there is None:
        yield Put(ROUTER, None, Router(DEFAULT_ROUTER))
    if was_used and not is_used and there and not there.router.external:
        yield Put(ROUTER, there.router, None)


def _with_routes(changes: Sequence[Change], before: Cloud, after: Cloud) -> Iterator[Change]:
    """Changes, in which subnets have the routes that follow, and those of other subnets whose routes change."""
    touched: set[str] = set()
    for change in changes:
        if isinstance(change, Put) and isinstance(change.new, Subnet):
            touched.add(change.new.name)
            yield replace(change, new=after.subnet(change.new.name))
        else:
            yield change
    for old in before.of(Subnet):
        new = after.subnet(old.name)
        if new and old.name not in touched and new.reachable != old.reachable:
            yield Put(SUBNET, old, new)


def _networks(before: Cloud, after: Cloud) -> Iterator[Change]:
    """Changes of routers' networks. Routers that lose subnets are first: a subnet is on one router at a time."""
    every = {network.router.name: None for cloud in (before, after) for network in cloud.of(Network)}
    found = [(before.network(name), after.network(name)) for name in every]
    found.sort(key=lambda pair: len(pair[1].subnets if pair[1] else ()) - len(pair[0].subnets if pair[0] else ()))
    return (Put(NETWORK, old, new) for old, new in found if old != new or _reachable(old) != _reachable(new))


def _reachable(network: Network | None) -> list[Any]:
    """Networks that the guests of each subnet of a router have routes to."""
    return [subnet.reachable for subnet in network.subnets] if network else []


def _port_groups(before: Cloud, after: Cloud) -> Iterator[Change]:
    """The changes of the groups of resolvers and of arrivals."""
    found: tuple[Put[Any], ...] = (
        Put(RESOLVER_PORTS, resolver_ports(before), resolver_ports(after)),
        Put(ARRIVALS, arrivals(before), arrivals(after)),
    )
    return (put for put in found if put.old != put.new)


def _lacking(changes: Sequence[Change], after: Cloud) -> Iterator[OvnhookError]:
    """Refusals because of requirements of created and updated resources."""
    for kind in SHARED:
        yield from kind.needs([put.new for put in puts(kind, changes) if put.new is not None], after)


def _lost(before: Cloud, after: Cloud) -> Iterator[OvnhookError]:
    """Refusals because of requirements that were met before and are no longer."""
    refusals = list(_refusals(after))
    known = set(map(str, _refusals(before))) if refusals else set()
    return (refusal for refusal in refusals if str(refusal) not in known)


def _refusals(cloud: Cloud) -> Iterator[OvnhookError]:
    return (refusal for kind in SHARED for refusal in kind.needs(cloud.of(kind.type), cloud))
