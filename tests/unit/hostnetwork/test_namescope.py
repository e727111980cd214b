"""Wanted state of a name scope."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPNetwork

from ovnhook.hostnetwork.namescope import NameScope, host_files, reverse_zones
from ovnhook.resources.hostvalues import HostResolver
from tests.unit.hostnetwork.subnets import BLUE, GREEN, SCOPE, SMALL, SUBNETS, name


def test_there_is_an_interface_in_each_subnet_with_a_server() -> None:
    """With the addresses of both IP versions; a subnet without one still has names."""
    scope = NameScope.of(SCOPE, SUBNETS.values())
    assert [one.port for one in scope.interfaces] == ["dns:blue", "dns:green"]
    assert scope.interfaces[0].addresses == (IPNetwork("10.1.0.2/24"), IPNetwork("fd00:1::2/64"))
    assert scope.interfaces[0].networks == BLUE.networks
    assert scope.networks == (*GREEN.networks, *SMALL.networks, *BLUE.networks) or len(scope.networks) == 4
    assert scope.domains == ("lab.example",)


def test_names_of_interfaces_are_valid_and_differ() -> None:
    """The kernel takes 15 characters."""
    scope = NameScope.of(SCOPE, SUBNETS.values())
    devices = [scope.upstream_device, *(one.device for one in scope.interfaces)]
    assert len(set(devices)) == 3
    assert all(len(one) <= 15 for one in devices)
    assert NameScope.of("subnet/blue", [BLUE]).id != scope.id


def test_the_order_of_subnets_does_not_matter() -> None:
    """Else a server would be replaced for nothing."""
    assert NameScope.of(SCOPE, [GREEN, BLUE]) == NameScope.of(SCOPE, [BLUE, GREEN])


@pytest.mark.parametrize(
    "domain", ["a\nserver=1.2.3.4", "a/b", "a b", "-a", "a..b", "a" * 64, ".".join(["a" * 60] * 5)]
)
def test_a_domain_that_is_none_is_left_out(domain: str) -> None:
    """It would be read as another setting, or stop the server."""
    subnet = replace(BLUE, dns_domain=domain)
    assert NameScope.of(SCOPE, [subnet]).domains == ()
    assert host_files([name("blue", "web1", "10.1.0.20")], {"blue": subnet}) == {"10.1.0.20": "10.1.0.20 web1\n"}


def test_an_address_outside_the_subnet_is_left_out() -> None:
    """A server has none that is of no use there."""
    resolver = HostResolver("dns:green", "0a:00:00:00:00:02", BLUE.resolver.addresses if BLUE.resolver else ())
    assert NameScope.of(SCOPE, [replace(GREEN, resolver=resolver)]).interfaces == ()


def test_each_address_has_a_file() -> None:
    """The name with the domain comes first: it is the one of reverse records."""
    names = [
        name("blue", "web1", "10.1.0.20"),
        name("blue", "web1", "fd00:1::20"),
        name("green", "web1", "10.2.0.21"),
        name("gone", "web2", "10.9.0.1"),
        name("green", "bad name", "10.2.0.22"),
    ]
    assert host_files(names, SUBNETS) == {
        "10.1.0.20": "10.1.0.20 web1.lab.example web1\n",
        "fd00:1::20": "fd00:1::20 web1.lab.example web1\n",
        "10.2.0.21": "10.2.0.21 web1\n",
    }


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("10.1.0.0/24", ["0.1.10.in-addr.arpa"]),
        ("10.2.0.0/23", ["0.2.10.in-addr.arpa", "1.2.10.in-addr.arpa"]),
        ("10.3.0.4/31", ["4.0.3.10.in-addr.arpa", "5.0.3.10.in-addr.arpa"]),
        ("fd00:1::/64", ["0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"]),
        ("fd00:1::/63", ["0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa", "1.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"]),
    ],
)
def test_reverse_zones(network: str, zones: list[str]) -> None:
    """Neither more nor less than the network."""
    assert list(reverse_zones([IPNetwork(network)])) == zones
