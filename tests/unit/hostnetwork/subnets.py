"""Subnets of one router, as a host knows them."""

from __future__ import annotations

from netaddr import IPAddress, IPNetwork

from ovnhook.resources.hostvalues import HostName, HostResolver, HostSubnet

BLUE = HostSubnet(
    name="blue",
    mtu=1442,
    networks=(IPNetwork("10.1.0.0/24"), IPNetwork("fd00:1::/64")),
    router="default",
    dns_domain="Lab.example",
    resolver=HostResolver("dns:blue", "0a:00:00:00:00:01", (IPAddress("10.1.0.2"), IPAddress("fd00:1::2"))),
)
GREEN = HostSubnet(
    name="green",
    mtu=1442,
    networks=(IPNetwork("10.2.0.0/23"),),
    router="default",
    resolver=HostResolver("dns:green", "0a:00:00:00:00:02", (IPAddress("10.2.0.2"),)),
)
SMALL = HostSubnet(name="small", mtu=1442, networks=(IPNetwork("10.3.0.0/30"),), router="default")
"""It has no address left for a DNS server."""

SUBNETS = {one.name: one for one in (BLUE, GREEN, SMALL)}
SCOPE = "router/default"


def name(subnet: str, hostname: str, address: str) -> HostName:
    """A host name."""
    return HostName(subnet, hostname, IPAddress(address))
