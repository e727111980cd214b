"""Which address an interface may have, and which one to try next. Pure: nothing here knows what is taken.

Candidates start at a place that depends on the interface and go round from there. So many hosts that allocate at once
seldom try for the same address, nothing has to remember where to go on, and an interface that comes back after its
lease was dropped most often gets the address that it had.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources.ip import Range, usable
from ovnhook.resources.subnet.values import Subnet

WINDOWS = (8, 64)
"""How many candidates are looked up at a time before all leases of the subnet are read."""

MAX_ADDRESSES = 1 << 20
"""How many addresses a network gives of itself. Of an IPv6 network, which has far more, these are the first ones."""


def check(subnet: Subnet, address: IPAddress) -> None:
    """Raise InvalidRequest unless an interface on the subnet may have that address."""
    network = subnet.network(address.version)
    if network is None:
        raise InvalidRequest(f"address {address}: subnet {subnet.name} has no IPv{address.version}")
    allowed = usable(network)
    if not allowed.first <= address <= allowed.last:
        raise InvalidRequest(f"address {address} is not a host address of subnet {subnet.name} ({network})")
    if address == subnet.gateways[network]:
        raise InvalidRequest(f"address {address} is the gateway of subnet {subnet.name}")


def capacity(subnet: Subnet) -> int:
    """How many interfaces that ask for no address the subnet can have."""
    return min(
        sum(_size(pool) - _holds(pool, gateway) for pool in _pools(subnet, network))
        for network, gateway in subnet.gateways.items()
    )


def is_in_pool(subnet: Subnet, address: IPAddress) -> bool:
    """Whether an address is among those that `capacity` counts: one of an interface's, if it has several."""
    return address != subnet.gateway and any(_holds(pool, address) for pool in _pools(subnet, subnet.cidr))


def candidates(subnet: Subnet, network: IPNetwork, seed: str) -> Iterator[IPAddress]:
    """Every address that one of a subnet's networks can give, each once, from a place that `seed` decides."""
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
