"""DHCP settings of a subnet: what is refused, and the options in the row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.ovsdb.operation import map_of
from ovnhook.resources.subnet import dhcpoptions
from ovnhook.resources.subnet.dhcp import DHCP_LEASE_TIME, Route
from ovnhook.resources.subnet.request import with_changes
from ovnhook.resources.subnet.rows import dhcp_options, read_subnet, subnet_rows
from ovnhook.resources.subnet.values import Subnet
from tests.unit.resources.subnet.subnet import BLUE, KNOWN, refused

SIX = Subnet("six", IPNetwork("fd00:6::/64"), IPAddress("fd00:6::1"), "gateway")
ALL = {
    "extra_dhcp_options": ("wpad=http://10.1.0.5/wpad.dat", "ntp_server=192.0.2.1,192.0.2.2", "tcp_ttl=64"),
    "search": ("Lab.Example", "example.org", "lab.example"),
    "routes": ("10.9.0.0/24=10.1.0.9", "192.0.2.7/32=10.1.0.9"),
    "lease_time": 7200,
    "boot_server": "10.1.0.5",
    "boot_file": "pxelinux.0",
    "ipxe": "http://10.1.0.5/boot.ipxe",
}


def options(subnet: Subnet) -> dict[str, str]:
    """The DHCPv4 options of a subnet."""
    (row,) = dhcp_options(subnet).values()
    return map_of(row["options"])


def test_all_settings() -> None:
    """In OVN's syntax; read from the row as they were, and gone again with empty values."""
    subnet = with_changes(BLUE, ALL, KNOWN)
    assert options(subnet).items() - options(BLUE).items() == {
        ("wpad", '"http://10.1.0.5/wpad.dat"'),
        ("ntp_server", "{192.0.2.1, 192.0.2.2}"),
        ("tcp_ttl", "64"),
        ("domain_search_list", '"lab.example,example.org"'),
        ("classless_static_route", "{10.9.0.0/24,10.1.0.9, 192.0.2.7/32,10.1.0.9, 0.0.0.0/0,10.1.0.1}"),
        ("lease_time", "7200"),
        ("next_server", "10.1.0.5"),
        ("tftp_server", '"10.1.0.5"'),
        ("bootfile_name", '"http://10.1.0.5/boot.ipxe"'),
        ("bootfile_name_alt", '"pxelinux.0"'),
    }
    assert read_subnet(subnet_rows(subnet)[subnet.uuid].row) == replace(subnet, default=False)
    none = {name: () if isinstance(value, tuple) else type(value)() for name, value in ALL.items()}
    assert with_changes(subnet, none, KNOWN) == BLUE
    assert BLUE.dhcp.lease_time == DHCP_LEASE_TIME


def test_booting() -> None:
    """Without a URL for iPXE the boot file is for all; a URL alone is for all, too."""
    plain = options(with_changes(BLUE, {"boot_server": "10.1.0.5", "boot_file": "pxelinux.0"}, KNOWN))
    assert (plain["bootfile_name"], plain["next_server"]) == ('"pxelinux.0"', "10.1.0.5")
    url = options(with_changes(BLUE, {"ipxe": "http://10.1.0.5/boot.ipxe"}, KNOWN))
    assert url["bootfile_name"] == '"http://10.1.0.5/boot.ipxe"'
    assert "next_server" not in url
    assert "bootfile_name_alt" not in {*plain, *url}


def test_a_chosen_default_route() -> None:
    """It is the router for clients without option 121, too; without a router and routes there is none."""
    changed = with_changes(BLUE, {"routes": ("0.0.0.0/0=10.1.0.9",)}, KNOWN)
    assert options(changed)["router"] == "10.1.0.9"
    assert "classless_static_route" not in options(changed)
    alone = replace(BLUE, router="")
    assert not {"router", "classless_static_route"} & options(alone).keys()
    assert options(replace(changed, router=""))["router"] == "10.1.0.9"


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"extra_dhcp_options": ("ntp_server",)}, "DHCP option 'ntp_server' is not of the form NAME=VALUE", ""),
        ({"extra_dhcp_options": ("color=blue",)}, "there is no DHCP option 'color'", "ntp_server"),
        ({"extra_dhcp_options": ("router=10.1.0.9",)}, "DHCP option router is a setting", "--route 0.0.0.0/0=ADDR"),
        ({"extra_dhcp_options": ("dns_server=10.1.0.9",)}, "DHCP option dns_server is a setting", "--dns"),
        ({"extra_dhcp_options": ("tcp_ttl=1", "tcp_ttl=1")}, "DHCP option tcp_ttl is there twice", ""),
        ({"extra_dhcp_options": ("ntp_server=time",)}, "value of DHCP option ntp_server: 'time'", "IPv4 addresses"),
        ({"extra_dhcp_options": ("ntp_server=",)}, "value of DHCP option ntp_server: ''", "IPv4 addresses"),
        ({"extra_dhcp_options": ("swap_server=10.1.0.1,10.1.0.2",)}, "value of DHCP option swap_server", "one IPv4"),
        ({"extra_dhcp_options": ("tcp_ttl=256",)}, "value of DHCP option tcp_ttl: '256'", "0 to 255"),
        ({"extra_dhcp_options": ("ethernet_encap=yes",)}, "value of DHCP option ethernet_encap: 'yes'", "0 to 1"),
        ({"extra_dhcp_options": ('wpad=a"b',)}, "invalid value of DHCP option wpad:", "quotation marks"),
        ({"extra_dhcp_options": ("wpad=a b",)}, "invalid value of DHCP option wpad:", "without spaces"),
        ({"search": ("a_b",)}, "search domain 'a_b' is not a DNS domain", "hyphens"),
        ({"search": ("",)}, "search domain '' is not a DNS domain", "hyphens"),
        ({"search": ("lab.de", "lab.dk")}, "search domains that end in lab.de and lab.dk can't be combined", "OVN"),
        ({"search": ("lab.de", "office.dk")}, "search domains that end in de and dk can't be combined", "OVN"),
        ({"search": tuple(f"a{'x' * 40}{n}.example" for n in range(5))}, "search domains of", "200 bytes"),
        ({"routes": ("10.9.0.0/24",)}, "route '10.9.0.0/24' is not of the form CIDR=ADDRESS", "IPv4"),
        ({"routes": ("fd00::/64=10.1.0.9",)}, "is not of the form CIDR=ADDRESS", "IPv4"),
        ({"routes": ("10.9.0.1/24=10.1.0.9",)}, "is not a network without host bits", ""),
        ({"routes": ("10.9.0.0/24=10.2.0.9",)}, "10.2.0.9 is not a host address of 10.1.0.0/24", ""),
        ({"routes": ("10.1.0.0/24=10.1.0.9",)}, "10.1.0.0/24 is the subnet itself", ""),
        ({"routes": ("10.9.0.0/24=10.1.0.9", "10.9.0.0/24=10.1.0.8")}, "there is another one to 10.9.0.0/24", ""),
        ({"routes": tuple(f"10.9.{n}.0/24=10.1.0.9" for n in range(13))}, "13 routes are too many", "12"),
        ({"lease_time": 60}, "invalid lease time of 60 s", "120 to 604800"),
        ({"lease_time": -1}, "invalid lease time of -1 s", "120 to 604800"),
        ({"boot_server": "tftp"}, "boot server 'tftp' is not an IPv4 address", ""),
        ({"boot_server": "10.1.0.5"}, "subnet blue: a boot server and a boot file need each other", "iPXE"),
        ({"boot_file": "pxelinux.0"}, "subnet blue: a boot server and a boot file need each other", "iPXE"),
        ({"ipxe": "boot.ipxe"}, "'boot.ipxe' is not a URL", ""),
        ({"ipxe": "http://10.1.0.5/\n"}, "invalid URL", "printable"),
        (
            {"extra_dhcp_options": (f"wpad={'x' * 200}", f"path_prefix={'x' * 64}")},
            "DHCP options of subnet blue have 305 bytes",
            "the maximum is 304 bytes",
        ),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str, hint: str) -> None:
    """With the value and what is right."""
    found = refused(InvalidRequest, with_changes, BLUE, changes, KNOWN)
    assert message in found[0]
    assert hint in found[1]


@pytest.mark.parametrize("name", [name for name in ALL if name != "search"])
def test_a_subnet_without_ipv4(name: str) -> None:
    """Only search domains are for it."""
    changes = {name: ALL[name]} | ({"boot_server": "10.1.0.5"} if name == "boot_file" else {})
    assert "subnet six has no IPv4 network" in refused(InvalidRequest, with_changes, SIX, changes, KNOWN)[0]
    assert with_changes(SIX, {"search": ("lab.example",)}, KNOWN).dhcp.search == ("lab.example",)


def test_options_of_a_newer_version() -> None:
    """They are kept in the settings, and are not handed to an OVN that may not know them."""
    newer = replace(BLUE, dhcp=replace(BLUE.dhcp, extra_dhcp_options=(("newer", "1"),)))
    assert read_subnet(subnet_rows(newer)[newer.uuid].row).dhcp == newer.dhcp
    assert options(newer) == options(BLUE)


def test_lengths() -> None:
    """As OVN encodes each type (RFC 2132; RFC 3442)."""
    same = dhcpoptions.length({})
    routes = [Route(IPNetwork(one), IPAddress("10.1.0.1")) for one in ("0.0.0.0/0", "10.0.0.0/8", "10.9.0.0/25")]
    for name, value, size in (
        ("lease_time", "7200", 4),
        ("mtu", "1442", 2),
        ("tcp_ttl", "64", 1),
        ("dns_server", "{10.1.0.1, 10.1.0.2}", 8),
        ("router", "10.1.0.1", 4),
        ("domain_name", '"lab.example"', 11),
        ("domain_search_list", '"lab.example,example.org"', 13 + 13),
        ("classless_static_route", dhcpoptions.static_routes(routes), 5 + 6 + 9),
    ):
        assert dhcpoptions.length({name: value}) == same + 2 + size
    assert dhcpoptions.length({"server_mac": "0a:00:00:00:00:01", "next_server": "10.1.0.5"}) == same
