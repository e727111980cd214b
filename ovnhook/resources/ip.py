"""IP addresses and networks as people write them, and their host addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netaddr import INET_PTON, IPAddress, IPNetwork, valid_ipv4, valid_ipv6


@dataclass(frozen=True)
class Range:
    """Addresses from first to last, both included."""

    first: IPAddress
    last: IPAddress

    def __str__(self) -> str:
        """As a user writes it: ``10.0.0.10-10.0.0.99``."""
        return f"{self.first}-{self.last}"


def is_ipv4(text: str) -> bool:
    """Whether a text is an IPv4 address as people write it: four numbers with dots between."""
    return bool(text) and text.isascii() and bool(valid_ipv4(text, INET_PTON))


def is_ipv6(text: str) -> bool:
    """Whether a text is an IPv6 address (RFC 4291, section 2.2), without a zone."""
    return bool(text) and text.isascii() and bool(valid_ipv6(text))


def is_ip(text: str) -> bool:
    """Whether a text is an address of either kind."""
    return is_ipv4(text) or is_ipv6(text)


def usable(cidr: IPNetwork) -> Range:
    """The addresses of a network that hosts can have.

    All but its own, which in IPv6 is every router's (RFC 4291, section 2.6.1), and the IPv4 broadcast address.
    """
    return Range(IPAddress(cidr.first + 1, cidr.version), IPAddress(cidr.last - (cidr.version == 4), cidr.version))


def overlap(some: Iterable[IPNetwork], others: Iterable[IPNetwork]) -> tuple[IPNetwork, IPNetwork] | None:
    """The first of some networks that shares addresses with one of others, and that one."""
    return next(((one, other) for one in some for other in others if one in other or other in one), None)
