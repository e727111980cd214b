"""Settings of a subnet: those that are given, the defaults of others, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources.ip import Range
from ovnhook.resources.subnet.request import SubnetRequest, Underlay, parse, with_changes
from ovnhook.resources.subnet.values import Subnet
from tests.unit.resources.subnet.subnet import BLUE, KNOWN, refused


def test_what_is_not_said() -> None:
    """It is on the default router at its first address, addresses come from everywhere, the MTU from the underlay."""
    made = parse(SubnetRequest("blue", "10.1.0.0/24"), KNOWN)
    assert made == replace(BLUE, default=False, mtu=1442)


def test_what_is_said() -> None:
    """Every setting; ranges are put in order, names of DNS are lower case."""
    made = parse(
        SubnetRequest(
            "blue",
            "10.1.0.0/24",
            gateway="10.1.0.254",
            ranges=("10.1.0.100-10.1.0.110", "10.1.0.20-10.1.0.20"),
            dns=("192.0.2.53", "10.1.0.53"),
            dns_domain="Lab.Example",
            mtu=1400,
            default=True,
            router="lab",
        ),
        KNOWN,
    )
    assert made == Subnet(
        "blue",
        IPNetwork("10.1.0.0/24"),
        IPAddress("10.1.0.254"),
        router="lab",
        ranges=(
            Range(IPAddress("10.1.0.20"), IPAddress("10.1.0.20")),
            Range(IPAddress("10.1.0.100"), IPAddress("10.1.0.110")),
        ),
        dns=(IPAddress("192.0.2.53"), IPAddress("10.1.0.53")),
        dns_domain="lab.example",
        mtu=1400,
        default=True,
        resolvers=(IPAddress("10.1.0.1"),),
        records_until=0,
    )


@pytest.mark.parametrize(
    ("cidr", "message", "hint"),
    [
        ("10.1.0.7/24", "10.1.0.7/24 has host bits set", "did you mean 10.1.0.0/24?"),
        ("10.0.0.0/11", "is too large", "/12"),
        ("0.0.0.0/0", "is too large", "/12"),
        ("10.1.0.0/31", "too small", "/30"),
        ("10.1.0.1/32", "too small", "/30"),
        ("127.1.0.0/24", "is loopback", "10.0.0.0/8"),
        ("169.254.7.0/24", "is link-local", ""),
        ("169.240.0.0/12", "is link-local", ""),
        ("224.1.0.0/24", "is multicast", ""),
        ("240.0.0.0/24", "is reserved", ""),
        ("255.255.255.0/24", "is reserved", ""),
        ("0.0.0.0/24", "this network", ""),
        ("fd00::7/64", "fd00::7/64 has host bits set", "did you mean fd00::/64?"),
        ("fd00::/48", "is too large", "/64"),
        ("fd00::/127", "too small", "/126"),
        ("fd00::/129", "ADDRESS/LENGTH", ""),
        ("fd00::%eth0/64", "ADDRESS/LENGTH", ""),
        ("fe80::/64", "is link-local", "fd00::/8"),
        ("ff02::/64", "is multicast", ""),
        ("::/64", "is reserved", ""),
        ("::ffff:10.1.0.0/120", "is reserved", ""),
        ("10.1.0.0", "ADDRESS/LENGTH", "did you mean 10.1.0.0/24?"),
        ("10.1.0.9", "ADDRESS/LENGTH", "did you mean 10.1.0.0/24?"),
        ("10.1/16", "ADDRESS/LENGTH", ""),
        ("10.1.0.0/33", "ADDRESS/LENGTH", ""),
        ("10.1.0.0/-1", "ADDRESS/LENGTH", ""),
        ("10.1.0.0/255.255.255.0", "ADDRESS/LENGTH", ""),
        ("10.1.0.0/٢٤", "ADDRESS/LENGTH", ""),
        ("010.1.0.0/24", "ADDRESS/LENGTH", ""),
        ("blue", "'blue'", ""),
        ("", "''", ""),
    ],
)
def test_networks_that_are_refused(cidr: str, message: str, hint: str) -> None:
    """Each with its reason."""
    said, advice = refused(InvalidRequest, parse, SubnetRequest("blue", cidr), KNOWN)
    assert said.startswith("network ")
    assert message in said
    assert hint in advice


@pytest.mark.parametrize("cidr", ["10.0.0.0/12", "10.1.0.0/30", "203.0.113.0/24", "fd00::/64", "fd00::/126"])
def test_networks_that_are_taken(cidr: str) -> None:
    """The largest, the smallest, public ones."""
    assert str(parse(SubnetRequest("blue", cidr), KNOWN).cidr) == cidr


@pytest.mark.parametrize("name", ["", "-blue", "blue-", "blue red", "bl/ue", "a" * 64, "blüe", "blue\n"])
def test_names_that_are_refused(name: str) -> None:
    """What would be a nuisance in a command or a URL."""
    said, advice = refused(InvalidRequest, parse, SubnetRequest(name, "10.1.0.0/24"), KNOWN)
    assert " ".join(name.split()) in said
    assert "letters" in advice


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gateway": "10.1.1.1"}, "gateway 10.1.1.1 is not a host address of 10.1.0.0/24"),
        ({"gateway": "10.1.0.0"}, "gateway 10.1.0.0 is not a host address"),
        ({"gateway": "10.1.0.255"}, "gateway 10.1.0.255 is not a host address"),
        ({"gateway": "first"}, "gateway 'first' is not an IP address"),
        ({"gateway": "fd00::1"}, "gateway fd00::1 is not a host address of 10.1.0.0/24"),
        ({"cidr6": "10.2.0.0/24"}, "networks 10.1.0.0/24 and 10.2.0.0/24: expected IPv4 and IPv6, in this order"),
        ({"cidr6": "fd00::1/64"}, "network fd00::1/64 has host bits set"),
        ({"cidr6": "fd00::"}, "network 'fd00::' is not of the form ADDRESS/LENGTH, like fd00:1::/64"),
        ({"cidr6": "fd00::/64", "router": ""}, "network fd00::/64 needs a router"),
        ({"cidr6": "fd00::/64", "mtu": 1279}, "MTU 1279 is too small for IPv6"),
        ({"ranges": ("fd00::5-fd00::9",)}, "range fd00::5-fd00::9 is not in a network of subnet blue"),
        ({"ranges": ("10.1.0.5-fd00::9",)}, "range 10.1.0.5-fd00::9 is not in a network of subnet blue"),
        ({"cidr6": "fd00::/64", "ranges": ("fd00::1-fd00::20:0",)}, "range fd00::1-fd00::20:0 is too large"),
        ({"dns": ("10.1.0.53", "dns.example")}, "DNS server 'dns.example' is not an IP address"),
        ({"dns": ("",)}, "DNS server '' is not"),
        ({"ranges": ("10.1.0.10",)}, "range '10.1.0.10' is not of the form FIRST-LAST"),
        ({"ranges": ("10.1.0.10-99",)}, "range '10.1.0.10-99': '99' is not an IP address"),
        ({"ranges": ("10.1.0.99-10.1.0.10",)}, "range 10.1.0.99-10.1.0.10: the first address is after the last"),
        ({"ranges": ("10.1.0.250-10.1.0.255",)}, "10.1.0.255 is not a host address"),
        ({"ranges": ("10.1.0.0-10.1.0.9",)}, "10.1.0.0 is not a host address"),
        ({"ranges": ("10.0.0.9-10.1.0.9",)}, "10.0.0.9 is not a host address"),
        (
            {"ranges": ("10.1.0.10-10.1.0.20", "10.1.0.20-10.1.0.30")},
            "ranges 10.1.0.10-10.1.0.20 and 10.1.0.20-10.1.0.30 overlap",
        ),
        ({"ranges": ("10.1.0.1-10.1.0.1",)}, "no address for a guest"),
        ({"dns_domain": "-x"}, "domain '-x' is not a DNS domain"),
        ({"dns_domain": "a..b"}, "domain 'a..b' is not"),
        ({"dns_domain": 'a"b'}, "is not a DNS domain"),
        ({"dns_domain": "a." * 127 + "aa"}, "is not a DNS domain"),
        ({"dns_domain": "lab.example."}, "is not a DNS domain"),
        ({"mtu": 575}, "invalid MTU 575"),
        ({"mtu": -1}, "invalid MTU -1"),
        ({"mtu": 9001}, "invalid MTU 9001"),
        ({"mtu": 1443}, "MTU 1443 exceeds that of the underlay, 1442 bytes"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    """When the subnet is made, and in the same words when it is set."""
    assert message in refused(InvalidRequest, parse, SubnetRequest("blue", "10.1.0.0/24", **settings), KNOWN)[0]
    assert message in refused(InvalidRequest, with_changes, BLUE, settings, KNOWN)[0]


@pytest.mark.parametrize("setting", ["name", "cidr", "used", "colour"])
def test_what_can_not_be_set(setting: str) -> None:
    """The name and the network stay; the refusal says what can be set."""
    said, advice = refused(InvalidRequest, with_changes, BLUE, {setting: "x"}, KNOWN)
    assert f"'{setting}'" in said
    assert "gateway, ranges, dns" in advice


def test_an_unknown_underlay_sets_no_limit() -> None:
    """It can't be known here, so what the user says of it is believed; what is not said is as usual."""
    assert parse(SubnetRequest("blue", "10.1.0.0/24", mtu=8942), Underlay()).mtu == 8942
    assert parse(SubnetRequest("blue", "10.1.0.0/24"), Underlay()).mtu == 1442
    assert parse(SubnetRequest("blue", "10.1.0.0/24"), Underlay(65000, known=True)).mtu == 9000


def test_empty_settings_go_back() -> None:
    """To what they were if they had never been given."""
    full = parse(
        SubnetRequest("blue", "10.1.0.0/24", "10.1.0.9", ("10.1.0.20-10.1.0.30",), ("10.1.0.53",), "x.example", 1300),
        KNOWN,
    )
    empty = {"gateway": "", "ranges": (), "dns": (), "dns_domain": "", "mtu": 0}
    bare = parse(SubnetRequest("blue", "10.1.0.0/24"), KNOWN)
    assert with_changes(full, empty, KNOWN) == replace(bare, resolvers=full.resolvers)
    assert with_changes(full, {}, KNOWN) == full


def test_ipv6() -> None:
    """Beside IPv4 and alone; the router has the first address, DNS servers are told to those who can reach them."""
    both = parse(SubnetRequest("both", "10.1.0.0/24", cidr6="fd00:1::/64", dns=("10.1.0.53", "fd00:1::53")), KNOWN)
    assert both.gateways == {
        IPNetwork("10.1.0.0/24"): IPAddress("10.1.0.1"),
        IPNetwork("fd00:1::/64"): IPAddress("fd00:1::1"),
    }
    assert [both.servers(version) for version in (4, 6)] == [(IPAddress("10.1.0.53"),), (IPAddress("fd00:1::53"),)]
    bare = with_changes(both, {"dns": ()}, KNOWN)
    assert [bare.servers(version) for version in (4, 6)] == [(IPAddress("10.1.0.2"),), (IPAddress("fd00:1::2"),)]
    earlier = replace(bare, records_until=None)
    assert [earlier.servers(version) for version in (4, 6)] == [(IPAddress("10.1.0.1"),), (IPAddress("fd00:1::1"),)]
    four = with_changes(both, {"dns": ("192.0.2.53",)}, KNOWN)
    assert [four.servers(version) for version in (4, 6)] == [(IPAddress("192.0.2.53"),), ()]
    alone = parse(SubnetRequest("six", "fd00:6::/64", gateway="fd00:6::ff"), KNOWN)
    assert alone.gateways == {IPNetwork("fd00:6::/64"): IPAddress("fd00:6::ff")}
    assert alone.servers(4) == ()
    assert with_changes(both, {"cidr6": ""}, KNOWN).gateways == {both.cidr: both.gateway}


@given(
    st.text(max_size=20),
    st.text("0123456789./- :", max_size=20),
    st.fixed_dictionaries(
        {
            "gateway": st.text("0123456789.:", max_size=16),
            "ranges": st.tuples(st.text("0123456789.- ", max_size=32)),
            "dns": st.tuples(st.text(max_size=16)),
            "dns_domain": st.text(max_size=16),
            "mtu": st.integers(-(2**31), 2**31 - 1),
        }
    ),
)
def test_anything_is_taken_or_refused(name: str, cidr: str, settings: dict[str, Any]) -> None:
    """Whatever is written, what is raised is for the person who wrote it."""
    for wanted in (SubnetRequest(name, cidr, **settings), SubnetRequest("blue", "10.1.0.0/24", **settings)):
        with suppress(InvalidRequest):
            parse(wanted, KNOWN)
    for setting, value in settings.items():
        with suppress(InvalidRequest):
            with_changes(BLUE, {setting: value}, KNOWN)
