"""Validation of static addresses, and candidates for dynamic ones. Pure: it does not know which are leased.

Candidates start at an offset that is a hash of the interface. So concurrent allocations rarely try the same address, no
position has to be stored, and an interface whose lease was released usually gets the same address again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources.ip import Range, usable
from ovnhook.resources.subnet.values import Subnet

WINDOWS = (8, 64)
"""Numbers of candidates that are looked up by key, before all leases of the subnet are read."""

MAX_ADDRESSES = 1 << 20
"""Size of the default range: the first addresses of a network."""


def check(subnet: Subnet, address: IPAddress) -> None:
    """Raise InvalidRequest unless the address is a host address of the subnet, and not the gateway's."""
    network = subnet.network(address.version)
    if network is None:
        raise InvalidRequest(f"address {address}: subnet {subnet.name} has no IPv{address.version}")
    allowed = usable(network)
    if not allowed.first <= address <= allowed.last:
        raise InvalidRequest(f"address {address} is not a host address of subnet {subnet.name} ({network})")
    if address == subnet.gateways[network]:
        raise InvalidRequest(f"address {address} is the gateway of subnet {subnet.name}")


def capacity(subnet: Subnet) -> int:
    """Number of interfaces with dynamic addresses that the subnet can have."""
    return min(
        sum(_size(pool) - _holds(pool, gateway) for pool in _pools(subnet, network))
        for network, gateway in subnet.gateways.items()
    )


def is_in_pool(subnet: Subnet, address: IPAddress) -> bool:
    """Check for an address that `capacity` counts: that of the first network."""
    return address != subnet.gateway and any(_holds(pool, address) for pool in _pools(subnet, subnet.cidr))


def candidates(subnet: Subnet, network: IPNetwork, seed: str) -> Iterator[IPAddress]:
    """All dynamic addresses of one of a subnet's networks, from an offset that is a hash of `seed`."""
    pools = _pools(subnet, network)
    total = sum(_size(pool) for pool in pools)
    start = zlib.crc32(seed.encode()) % total
    for step in range(total):
        address = _nth(pools, (start + step) % total)
        if address != subnet.gateways[network]:
            yield address


def _pools(subnet: Subnet, network: IPNetwork) -> tuple[Range, ...]:
    chosen = tuple(pool for pool in subnet.ranges if pool.first.version == network.version)
    if chosen:
        return chosen
    hosts = usable(network)
    return (Range(hosts.first, min(hosts.last, hosts.first + (MAX_ADDRESSES - 1))),)


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
