"""Routes as ip-route(8) prints them."""

from __future__ import annotations

import json

from netaddr import IPAddress, IPNetwork

from ovnhook.hostnetwork import routes
from ovnhook.hostnetwork.routes import GuestRoute

FOUR = [
    {
        "dst": "default",
        "gateway": "203.0.113.1",
        "dev": "ens3",
        "protocol": "dhcp",
        "prefsrc": "203.0.113.10",
        "flags": [],
    },
    {"dst": "default", "dev": "old0", "metric": 200, "flags": ["dead", "linkdown"]},
    {"dst": "default", "nexthops": [{"dev": "wan0", "flags": []}, {"dev": "wan1", "flags": ["dead"]}], "flags": []},
    {"dst": "128.0.0.0/1", "dev": "tun0", "flags": []},
    {"dst": "203.0.113.0/24", "dev": "ens3", "protocol": "kernel", "scope": "link", "flags": []},
    {"dst": "198.51.100.7", "dev": "wg0", "flags": []},
    {"dst": "169.254.0.0/16", "dev": "ens3", "flags": []},
    {"type": "blackhole", "dst": "192.0.2.0/24", "flags": []},
    {"dst": "169.254.186.0/24", "dev": "br-host", "protocol": "kernel", "flags": []},
    {"dst": "10.1.0.0/24", "gateway": "169.254.186.2", "dev": "br-host", "protocol": "111", "prefsrc": "203.0.113.10"}
    | {"metrics": [{"mtu": 1442}]},
    {"dst": "10.9.0.0/24", "gateway": "169.254.186.2", "dev": "br-host", "protocol": "static", "flags": []},
]
SIX = [
    {"dst": "default", "gateway": "fe80::1", "dev": "ens3", "protocol": "ra", "flags": []},
    {"dst": "2001:db8::/64", "dev": "ens3", "protocol": "ra", "flags": []},
    {"dst": "fe80::/64", "dev": "ens3", "flags": []},
    {"dst": "fd6f:766e:686b::/64", "dev": "br-host", "flags": []},
    {"dst": "fd00:1::/64", "gateway": "fd6f:766e:686b::2", "dev": "br-host", "protocol": "111"}
    | {"metrics": [{"mtu": 1442}]},
]
BLUE = GuestRoute(IPNetwork("10.1.0.0/24"), IPAddress("169.254.186.2"), 1442, IPAddress("203.0.113.10"))
BLUE6 = GuestRoute(IPNetwork("fd00:1::/64"), IPAddress("fd6f:766e:686b::2"), 1442)


def test_routes() -> None:
    """Uplinks are what default routes use, also halves of one; networks are what the host reaches by itself."""
    found = routes.parse({4: json.dumps(FOUR), 6: json.dumps(SIX)})
    assert found.uplinks == {4: ("ens3", "wan0", "tun0"), 6: ("ens3",)}
    assert {str(network): interface for network, interface in found.networks.items()} == {
        "203.0.113.0/24": "ens3",
        "198.51.100.7/32": "wg0",
        "2001:db8::/64": "ens3",
    }
    assert found.guests == {BLUE, BLUE6}
    assert found.has_ipv6_link
    nothing = routes.parse({4: "", 6: "[ ]"})
    assert (nothing.uplinks, nothing.networks, nothing.has_ipv6_link) == ({4: (), 6: ()}, {}, False)


def test_changes() -> None:
    """Only what differs; a route with another source is replaced."""
    assert routes.changes({BLUE, BLUE6}, [BLUE6, BLUE]) == []
    moved = GuestRoute(BLUE.network, BLUE.via, 1400, IPAddress("203.0.113.11"))
    assert routes.changes({BLUE, BLUE6}, [moved]) == [
        "route del fd00:1::/64 dev br-host proto 111",
        "route replace 10.1.0.0/24 via 169.254.186.2 dev br-host src 203.0.113.11 mtu 1400 proto 111",
    ]


def test_the_hosts_own_address() -> None:
    """Of the default route, else the first one."""
    assert routes.source_address('[{"dst":"192.0.2.1","prefsrc":"203.0.113.10"}]') == IPAddress("203.0.113.10")
    assert routes.source_address("[]") is None
    rows = [
        {},
        {"ifname": "br-host", "addr_info": [{"local": "169.254.186.1"}]},
        {"ifname": "ens3", "addr_info": [{"local": "203.0.113.10"}]},
    ]
    assert routes.first_address(json.dumps(rows)) == IPAddress("203.0.113.10")
    assert routes.first_address("[]") is None
