"""IP addresses and networks: syntax, host addresses and overlap. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from netaddr import INET_PTON, IPAddress, IPNetwork, valid_ipv4, valid_ipv6

_BITS = {4: 32, 6: 128}  # of an address


@dataclass(frozen=True)
class Range:
    """A range of addresses, first and last included."""

    first: IPAddress
    last: IPAddress

    def __str__(self) -> str:
        """The syntax of the command: ``10.0.0.10-10.0.0.99``."""
        return f"{self.first}-{self.last}"


def is_ipv4(text: str) -> bool:
    """Check for an IPv4 address in dotted-decimal notation."""
    return bool(text) and text.isascii() and bool(valid_ipv4(text, INET_PTON))


def is_ipv6(text: str) -> bool:
    """Check for an IPv6 address (RFC 4291, section 2.2) without a zone."""
    return bool(text) and text.isascii() and bool(valid_ipv6(text))


def is_ip(text: str) -> bool:
    """Check for an IPv4 or IPv6 address."""
    return is_ipv4(text) or is_ipv6(text)


def is_network(text: str) -> bool:
    """Check for a network without host bits, as in ``10.1.0.0/24``."""
    host, _, length = text.partition("/")
    if not (is_ip(host) and re.fullmatch("[0-9]{1,3}", length) and int(length) <= _BITS[IPAddress(host).version]):
        return False
    network = IPNetwork(text)
    return bool(network.ip == network.network)


def usable(cidr: IPNetwork) -> Range:
    """The host addresses of a network.

    Excluded are the network address, which is the subnet-router anycast address in IPv6 (RFC 4291, section 2.6.1), and
    the IPv4 broadcast address.
    """
    return Range(IPAddress(cidr.first + 1, cidr.version), IPAddress(cidr.last - (cidr.version == 4), cidr.version))


def overlap(some: Iterable[IPNetwork], others: Iterable[IPNetwork]) -> tuple[IPNetwork, IPNetwork] | None:
    """The first pair of overlapping networks, or None."""
    return next(((one, other) for one in some for other in others if one in other or other in one), None)
