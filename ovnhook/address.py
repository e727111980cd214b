"""Which address an interface may have, and which one to try next. Pure: nothing here knows what is taken.

Candidates start at a place that depends on the interface and go round from there. So many hosts that allocate at once
seldom try for the same address, nothing has to remember where to go on, and an interface that comes back after its
lease was dropped most often gets the address that it had.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from netaddr import INET_PTON, IPAddress, IPNetwork, valid_ipv4

from ovnhook.errors import InvalidRequest
from ovnhook.model import Range, Subnet

WINDOWS = (8, 64)
"""How many candidates are looked up at a time before all leases of the subnet are read."""


def is_ipv4(text: str) -> bool:
    """Whether a text is an IPv4 address as people write it: four numbers with dots between."""
    return bool(text) and text.isascii() and bool(valid_ipv4(text, INET_PTON))


def usable(cidr: IPNetwork) -> Range:
    """The addresses of an IPv4 network that hosts can have: all but its own and the broadcast address."""
    return Range(IPAddress(cidr.first + 1), IPAddress(cidr.last - 1))


def check(subnet: Subnet, address: IPAddress) -> None:
    """Raise InvalidRequest unless an interface on the subnet may have that address."""
    if address.version != subnet.cidr.version:
        raise InvalidRequest(f"address {address}: subnet {subnet.name} has no IPv{address.version}")
    allowed = usable(subnet.cidr)
    if not allowed.first <= address <= allowed.last:
        raise InvalidRequest(f"address {address} is not a host address of subnet {subnet.name} ({subnet.cidr})")
    if address == subnet.gateway:
        raise InvalidRequest(f"address {address} is the gateway of subnet {subnet.name}")


def capacity(subnet: Subnet) -> int:
    """How many addresses the subnet can give to interfaces that ask for none."""
    return sum(_size(pool) - _holds(pool, subnet.gateway) for pool in _pools(subnet))


def is_given(subnet: Subnet, address: IPAddress) -> bool:
    """Whether an address is among those that `capacity` counts."""
    return address != subnet.gateway and any(_holds(pool, address) for pool in _pools(subnet))


def candidates(subnet: Subnet, seed: str) -> Iterator[IPAddress]:
    """Every address that the subnet can give, each once, from a place that `seed` decides."""
    pools = _pools(subnet)
    total = sum(_size(pool) for pool in pools)
    start = zlib.crc32(seed.encode()) % total
    for step in range(total):
        address = _nth(pools, (start + step) % total)
        if address != subnet.gateway:
            yield address


def _pools(subnet: Subnet) -> tuple[Range, ...]:
    return subnet.ranges or (usable(subnet.cidr),)


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
