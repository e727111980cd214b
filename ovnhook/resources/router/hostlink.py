"""The link between routers and the hosts through which they reach the outside. Pure.

The physical network `HOST` is a bridge without an interface, on each gateway host. The host has the same addresses
and the same MAC on each of them, so a failover changes nothing for the router: its MAC bindings stay valid. Each router
has addresses of its own on the link. The host masquerades; OVN does no SNAT there.
"""

from __future__ import annotations

from collections.abc import Collection

from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import Exhausted
from ovnhook.resources import ip
from ovnhook.resources.router.values import HOST, External, InterfaceAddress

BRIDGE = "br-host"
"""Bridge of each gateway host for it."""

MAC = "02:6f:76:6e:68:6b"
"""MAC address of all hosts on the link."""

LINKS = {4: IPNetwork("169.254.186.0/24"), 6: IPNetwork("fd6f:766e:686b::/64")}
"""Network of the link by IP version. The IPv6 one is not link-local: a host uses its address towards guests, which are
behind the router."""

_MAX_ROUTERS = 253  # hosts of the smaller network, without the next hop


def host_address(version: int) -> InterfaceAddress:
    """Address of all hosts on the link, the first one: the routers' next hop."""
    return InterfaceAddress(ip.usable(LINKS[version]).first, LINKS[version].prefixlen)


def external_gateway(taken: Collection[IPAddress]) -> External:
    """External gateway of another router, with the first free addresses.

    Args:
        taken: external addresses of the other routers.

    Raises:
        Exhausted: there are none.
    """
    hops = {version: host_address(version).ip for version in LINKS}
    for number in range(1, _MAX_ROUTERS + 1):
        own = {version: IPAddress(int(hop) + number, version) for version, hop in hops.items()}
        if not any(one in taken for one in own.values()):
            four, six = (InterfaceAddress(own[version], LINKS[version].prefixlen) for version in (4, 6))
            return External(HOST, four, hops[4], snat=False, address6=six, next_hop6=hops[6])
    raise Exhausted(
        f"physical network {HOST} has no addresses for another router: it has those of {_MAX_ROUTERS}",
        "ovnhook router list",
    )
