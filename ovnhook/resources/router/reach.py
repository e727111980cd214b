"""Networks that guests reach by their router, and have routes to. Pure.

A router without external gateway is no default route: a guest with another interface would lose its way out by that.
Its guests have routes to the router's other subnets instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace

from netaddr import IPNetwork

from ovnhook.resources.router.values import Router
from ovnhook.resources.subnet.values import EVERYWHERE, Subnet

MAX_ROUTES = 12
"""Routes of an IP version to a router's other subnets: a DHCP option and a router advertisement have room for them."""

_BITS = {4: 32, 6: 128}  # of an address


def with_reachable(resources: Sequence[object]) -> Iterator[object]:
    """Resources of a cloud; their subnets know what their routers reach."""
    outside = {one.name: _outside(one) for one in resources if isinstance(one, Router)}
    shared: defaultdict[tuple[str, int], list[IPNetwork]] = defaultdict(list)
    for one in resources:
        if isinstance(one, Subnet) and not one.isolated and one.router in outside:
            for network in one.gateways:
                shared[one.router, network.version].append(network)
    summaries = {key: summary(some) for key, some in shared.items() if key[1] not in outside[key[0]]}
    for one in resources:
        if isinstance(one, Subnet):
            reachable = _reachable(one, outside.get(one.router), summaries)
            yield one if reachable == one.reachable else replace(one, reachable=reachable)
        else:
            yield one


def _outside(router: Router) -> frozenset[int]:
    """IP versions of a router's external gateway."""
    return frozenset(address.version for address in router.external.addresses) if router.external else frozenset()


def _reachable(
    subnet: Subnet, outside: Container[int] | None, summaries: Mapping[tuple[str, int], Sequence[IPNetwork]]
) -> tuple[IPNetwork, ...] | None:
    """Networks that a subnet's router reaches; None: everything, or it is not known."""
    if outside is None or (subnet.cidr.version in outside and (subnet.cidr6 is None or 6 in outside)):
        return None
    found: list[IPNetwork] = []
    for own in subnet.gateways:
        if own.version in outside:
            found.append(EVERYWHERE[own.version])
        elif not subnet.isolated:
            found += (one for one in summaries[subnet.router, own.version] if one != own)
    return tuple(found)


def summary(networks: Sequence[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Networks of an IP version, sorted; larger ones that cover them if there are too many for a route to each."""
    version = networks[0].version
    longest = bits = _BITS[version]
    found = {(one.first, one.prefixlen) for one in networks}
    while len(found) > MAX_ROUTES:
        longest -= 1
        found = {(first >> (bits - longest) << (bits - longest), min(prefix, longest)) for first, prefix in found}
    return tuple(IPNetwork((first, prefix), version=version) for first, prefix in sorted(found))
