"""Validation of static addresses, and candidates for dynamic ones and for the resolver. Pure.

Candidates start at an offset that is a hash of the interface. So concurrent allocations rarely try the same address, no
position has to be stored, and an interface whose lease was released usually gets the same address again.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from itertools import chain

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources.ip import Range, usable
from ovnhook.resources.subnet.values import Subnet

WINDOWS = (8, 64)
"""Numbers of candidates that are looked up by key, before all leases of the subnet are read."""

MAX_ADDRESSES = 1 << 20
"""Size of the default range: the first addresses of a network."""


def check(subnet: Subnet, address: IPAddress) -> None:
    """Raise InvalidRequest unless the address is a host address of the subnet, and not the gateway's or resolver's."""
    network = subnet.network(address.version)
    if network is None:
        raise InvalidRequest(f"address {address}: subnet {subnet.name} has no IPv{address.version}")
    allowed = usable(network)
    if not allowed.first <= address <= allowed.last:
        raise InvalidRequest(f"address {address} is not a host address of subnet {subnet.name} ({network})")
    if address == subnet.gateways[network]:
        raise InvalidRequest(f"address {address} is the gateway of subnet {subnet.name}")
    if address in subnet.resolvers:
        raise InvalidRequest(f"address {address} is the DNS resolver of subnet {subnet.name}")


def capacity(subnet: Subnet) -> int:
    """Number of interfaces with dynamic addresses that the subnet can have."""
    return min(_dynamic(subnet, network) for network in subnet.gateways)


def resolvers(subnet: Subnet, leased: Container[IPAddress] = ()) -> tuple[IPAddress, ...]:
    """Addresses for a subnet's resolver: the present ones, and the first free ones in its other networks.

    A network has none if there would be no address left for a guest, or all are leased.

    Args:
        subnet: the subnet, whose gateways may have changed.
        leased: addresses of its leases.
    """
    gateways = set(subnet.gateways.values())
    kept = [one for one in subnet.resolvers if one not in gateways and any(one in cidr for cidr in subnet.gateways)]
    bare = replace(subnet, resolvers=())
    found = (
        next((one for one in kept if one in network), None)
        or next((one for one in resolver_candidates(bare, network) if one not in leased), None)
        for network in subnet.gateways
    )
    return tuple(one for one in found if one is not None)


def resolver_candidates(subnet: Subnet, network: IPNetwork) -> Iterator[IPAddress]:
    """All addresses that the resolver may have in one of a subnet's networks.

    The first one is that after the gateway. Explicit ranges, which are for guests, are last.
    """
    hosts, gateway = usable(network), subnet.gateways[network]
    chosen = _chosen(subnet, network)
    beside = chain(
        _outside(chosen, Range(gateway + 1, hosts.last)) if gateway < hosts.last else (),
        _outside(chosen, Range(hosts.first, gateway - 1)) if gateway > hosts.first else (),
    )
    inside = (address for pool in chosen for address in _addresses(pool) if address != gateway)
    left = _dynamic(subnet, network)
    pools = _pools(subnet, network)
    return (
        address for address in chain(beside, inside) if left > 1 or not any(_holds(pool, address) for pool in pools)
    )


def is_in_pool(subnet: Subnet, address: IPAddress) -> bool:
    """Check for an address that `capacity` counts: that of the first network."""
    return address not in subnet.reserved and any(_holds(pool, address) for pool in _pools(subnet, subnet.cidr))


def candidates(subnet: Subnet, network: IPNetwork, seed: str) -> Iterator[IPAddress]:
    """All dynamic addresses of one of a subnet's networks, from an offset that is a hash of `seed`."""
    pools, reserved = _pools(subnet, network), subnet.reserved
    total = sum(_size(pool) for pool in pools)
    start = zlib.crc32(seed.encode()) % total
    for step in range(total):
        address = _nth(pools, (start + step) % total)
        if address not in reserved:
            yield address


def _pools(subnet: Subnet, network: IPNetwork) -> tuple[Range, ...]:
    if chosen := _chosen(subnet, network):
        return chosen
    hosts = usable(network)
    return (Range(hosts.first, min(hosts.last, hosts.first + (MAX_ADDRESSES - 1))),)


def _chosen(subnet: Subnet, network: IPNetwork) -> tuple[Range, ...]:
    """Explicit ranges in a network."""
    return tuple(pool for pool in subnet.ranges if pool.first.version == network.version)


def _dynamic(subnet: Subnet, network: IPNetwork) -> int:
    """Number of dynamic addresses in a network."""
    return sum(
        _size(pool) - sum(_holds(pool, address) for address in subnet.reserved) for pool in _pools(subnet, network)
    )


def _outside(pools: Iterable[Range], where: Range) -> Iterator[IPAddress]:
    """The addresses of a range that no pool holds."""
    address = where.first
    while address <= where.last:
        pool = next((pool for pool in pools if _holds(pool, address)), None)
        if pool is None:
            yield address
        address = (pool.last if pool else address) + 1


def _addresses(pool: Range) -> Iterator[IPAddress]:
    return (_nth((pool,), n) for n in range(_size(pool)))


def _size(pool: Range) -> int:
    return int(pool.last) - int(pool.first) + 1


def _holds(pool: Range, address: IPAddress) -> bool:
    return bool(pool.first <= address <= pool.last)


def _nth(pools: tuple[Range, ...], n: int) -> IPAddress:
    for pool in pools:
        if n < _size(pool):
            return IPAddress(int(pool.first) + n, pool.first.version)
        n -= _size(pool)
    raise AssertionError("n is below the sum of the sizes")
