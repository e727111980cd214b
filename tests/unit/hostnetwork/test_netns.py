"""State of network interfaces, and the commands that change it."""

from __future__ import annotations

import json

from netaddr import IPNetwork

from ovnhook.hostnetwork.netns import DeviceState, changes, parse_links

OUTPUT = json.dumps(
    [
        {"ifname": "lo", "flags": ["LOOPBACK"], "mtu": 65536, "address": "00:00:00:00:00:00", "addr_info": []},
        {},
        {
            "ifname": "eth0",
            "flags": ["BROADCAST", "UP"],
            "mtu": 1500,
            "address": "0a:00:00:00:00:01",
            "addr_info": [{"local": "10.1.0.2", "prefixlen": 24}, {"local": "fd00:1::2", "prefixlen": 64}, {}],
        },
    ]
)
ADDRESSES = frozenset({IPNetwork("10.1.0.2/24"), IPNetwork("fd00:1::2/64")})
WANTED = DeviceState(is_up=True, mac="0a:00:00:00:00:01", mtu=1500, addresses=ADDRESSES)


def test_links_are_read() -> None:
    """As ip(8) prints them."""
    links = parse_links(OUTPUT)
    assert links["eth0"] == WANTED
    assert not links["lo"].is_up
    assert parse_links("") == {}


def test_what_is_as_wanted_is_not_changed() -> None:
    """A repeated look costs no packet."""
    assert changes("eth0", WANTED, WANTED) == ""
    assert changes("eth0", WANTED, DeviceState(is_up=True, mac="", mtu=1500, addresses=ADDRESSES)) == ""


def test_addresses_are_set_last() -> None:
    """IPv6 addresses would go with a change of the interface, and are used at once."""
    present = DeviceState(
        is_up=True, mac="0a:00:00:00:00:02", mtu=1500, addresses=frozenset({IPNetwork("10.9.0.1/24")})
    )
    assert changes("eth0", present, WANTED).splitlines() == [
        "address delete 10.9.0.1/24 dev eth0",
        "link set dev eth0 down address 0a:00:00:00:00:01 mtu 1500",
        "link set dev eth0 addrgenmode none",
        "link set dev eth0 up",
        "address replace 10.1.0.2/24 dev eth0",
        "address replace fd00:1::2/64 dev eth0 nodad",
    ]


def test_a_missing_address_is_added() -> None:
    """Without an interruption of the others."""
    present = DeviceState(is_up=True, mac=WANTED.mac, mtu=1500, addresses=frozenset({IPNetwork("10.1.0.2/24")}))
    assert changes("eth0", present, WANTED) == "address replace fd00:1::2/64 dev eth0 nodad\n"
