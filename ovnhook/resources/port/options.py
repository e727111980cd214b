"""Options of a port: source addresses beside its own, virtual addresses, port security, rate limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.base.labels import MAC
from ovnhook.resources import ip
from ovnhook.resources.limits import NO_LIMITS, Limits
from ovnhook.resources.subnet.values import Subnet, resolver_mac, server_mac

MAX_ALLOWED = 32
"""Allowed addresses of one port."""

MAX_VIRTUAL = 4
"""Virtual addresses of one port."""

_GROUP = 0x01  # of a MAC address's first octet (IEEE 802)
_NOBODY = "00:00:00:00:00:00"
_EXAMPLES = "expected addresses, networks and MAC addresses, like 10.9.0.0/24 52:54:00:aa:bb:09"


@dataclass(frozen=True)
class PortOptions:
    """Options of a port, as an interface requests them.

    Attributes:
        allowed: further source addresses, networks and MAC addresses, in canonical form and sorted.
        security: whether port security is on. Off: any source address.
        limits: requested rate limits, instead of those of the subnet.
        virtual: addresses that it may take over from other ports, sorted.
    """

    allowed: tuple[str, ...] = ()
    security: bool = True
    limits: Limits = NO_LIMITS
    virtual: tuple[IPAddress, ...] = ()

    def __str__(self) -> str:
        """The attributes of the metadata."""
        allowed = f'allowed-addresses="{" ".join(self.allowed)}"' if self.allowed else ""
        security = "" if self.security else 'port-security="off"'
        virtual = f'virtual-address="{" ".join(map(str, self.virtual))}"' if self.virtual else ""
        return " ".join(filter(None, (allowed, virtual, security, str(self.limits)))) or "none"

    @property
    def macs(self) -> tuple[str, ...]:
        """The allowed MAC addresses."""
        return tuple(word for word in self.allowed if MAC.fullmatch(word))

    @property
    def networks(self) -> tuple[str, ...]:
        """The allowed addresses and networks."""
        return tuple(word for word in self.allowed if not MAC.fullmatch(word))

    @property
    def takes_unknown(self) -> bool:
        """Frames to MAC addresses that no port of the subnet has are delivered to it: they may be its guest's."""
        return bool(self.macs) or not self.security

    def check(self, subnet: Subnet) -> None:
        """Raise InvalidRequest if an allowed address is the gateway's or the DNS resolver's of a subnet."""
        owners = {server_mac(subnet.name): "gateway", resolver_mac(subnet.name): "DNS resolver"}
        owners |= {str(gateway): "gateway" for gateway in subnet.gateways.values()}
        owners |= {str(resolver): "DNS resolver" for resolver in subnet.resolvers}
        for word in self.allowed:
            if word in owners:
                raise InvalidRequest(f"allowed address {word} is that of the {owners[word]} of subnet {subnet.name}")


DEFAULTS = PortOptions()
"""Options of an interface that requests none."""


def requested(where: str, allowed: Iterable[str], *, security: bool, limits: Limits = NO_LIMITS) -> PortOptions:
    """Options as requested.

    Args:
        where: domain, interface and setting, for errors.
        allowed: addresses, networks and MAC addresses.
        security: whether port security is on.
        limits: rate limits.

    Raises:
        InvalidRequest: invalid, or too many values.
    """
    words = {_canonical(where, word) for word in allowed}
    if len(words) > MAX_ALLOWED:
        raise InvalidRequest(f"{where}: {len(words)} allowed addresses: expected at most {MAX_ALLOWED}")
    if words and not security:
        raise InvalidRequest(
            f"{where}: allowed addresses and port security 'off', which allows any, exclude each other"
        )
    return PortOptions(tuple(sorted(words)), security, limits)


def virtual_addresses(where: str, texts: Iterable[str]) -> tuple[IPAddress, ...]:
    """Virtual addresses as requested.

    Args:
        where: domain, interface and setting, for errors.
        texts: the addresses.

    Raises:
        InvalidRequest: invalid, or too many values.
    """
    words = [*texts]
    for word in words:
        if not ip.is_ip(word):
            raise InvalidRequest(f"{where}: '{word[:80]}' is not an IP address")
    found = set(map(IPAddress, words))
    if len(found) > MAX_VIRTUAL:
        raise InvalidRequest(f"{where}: {len(found)} virtual addresses: expected at most {MAX_VIRTUAL}")
    return tuple(sorted(found))


def _canonical(where: str, word: str) -> str:
    """An allowed address as OVN writes it.

    OVN takes an address with a prefix length and host bits for that address alone (ovn-nb(5), port_security).
    """
    if MAC.fullmatch(mac := word.lower()):
        if int(mac[:2], 16) & _GROUP or mac == _NOBODY:
            raise InvalidRequest(f"{where}: '{word}' is not the MAC address of an interface")
        return mac
    if ip.is_network(word):
        return str(IPNetwork(word).cidr)
    if not ip.is_ip(word):
        host_bits = "/" in word and ip.is_ip(word.partition("/")[0])
        what = "not a network without host bits" if host_bits else "not an IP address, network or MAC address"
        raise InvalidRequest(f"{where}: '{word[:80]}' is {what}", _EXAMPLES)
    address = IPAddress(word)
    if address.is_multicast() or int(address) == 0:
        raise InvalidRequest(f"{where}: '{word}' is not the address of an interface")
    return str(address)
