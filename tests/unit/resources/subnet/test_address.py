"""Which addresses a subnet gives, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources import ip
from ovnhook.resources.ip import Range
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.request import SubnetRequest, Underlay, parse
from ovnhook.resources.subnet.values import Subnet

BLUE = Subnet("blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"))


@st.composite
def subnets(draw: st.DrawFn) -> Subnet:
    """Subnets of /30 to /22, with any gateway, without ranges or with some that don't overlap."""
    cidr = IPNetwork(f"10.{draw(st.integers(0, 255))}.0.0/{draw(st.integers(22, 30))}")
    hosts = st.integers(cidr.first + 1, cidr.last - 1)
    ends = sorted(draw(st.sets(hosts, max_size=6)))
    ranges = tuple(Range(IPAddress(a), IPAddress(b)) for a, b in zip(ends[::2], ends[1::2], strict=False))
    subnet = Subnet("blue", cidr, IPAddress(draw(hosts)), ranges=ranges)
    return replace(subnet, resolvers=address.resolvers(subnet)) if draw(st.booleans()) else subnet


@given(subnets(), st.text())
def test_each_address_is_a_candidate_once(subnet: Subnet, seed: str) -> None:
    """All that the ranges hold and no other, none twice, and never the gateway or the resolver."""
    pools = subnet.ranges or (Range(subnet.cidr[1], subnet.cidr[-2]),)
    expected = {IPAddress(n) for pool in pools for n in range(int(pool.first), int(pool.last) + 1)}
    found = list(address.candidates(subnet, subnet.cidr, seed))
    assert len(found) == len(set(found))
    assert set(found) == expected - subnet.reserved


@given(subnets(), st.text())
def test_capacity_is_the_number_of_candidates(subnet: Subnet, seed: str) -> None:
    """What a full subnet is said to have is what it gave."""
    assert address.capacity(subnet) == len(list(address.candidates(subnet, subnet.cidr, seed)))


@given(subnets(), st.text())
def test_every_candidate_passes_the_check(subnet: Subnet, seed: str) -> None:
    """What we give by ourselves a user may ask for by name."""
    for candidate in address.candidates(subnet, subnet.cidr, seed):
        address.check(subnet, candidate)


@given(subnets(), st.text())
def test_the_order_is_the_seeds(subnet: Subnet, seed: str) -> None:
    """An interface whose lease was dropped is offered the same address again."""
    assert list(address.candidates(subnet, subnet.cidr, seed)) == list(address.candidates(subnet, subnet.cidr, seed))


def test_interfaces_begin_at_different_places() -> None:
    """Hosts that allocate at once seldom want the same address."""
    begins = {next(address.candidates(BLUE, BLUE.cidr, f"domain/{n}")) for n in range(100)}
    assert len(begins) > 70


@given(subnets(), st.integers(0, 2**32 - 1))
def test_the_check_is_of_host_addresses(subnet: Subnet, number: int) -> None:
    """The network's own address, the broadcast address, gateway, resolver and all that is outside are refused."""
    asked = IPAddress(number)
    assume(not subnet.cidr.first < number < subnet.cidr.last or asked in subnet.reserved)
    with pytest.raises(InvalidRequest) as caught:
        address.check(subnet, asked)
    assert str(asked) in caught.value.message
    assert "subnet blue" in caught.value.message


@pytest.mark.parametrize("asked", ["10.1.0.0", "10.1.0.255", "10.1.0.1", "10.1.1.5", "10.0.255.255", "fd00::5"])
def test_the_edges_of_the_check(asked: str) -> None:
    """The two ends, the gateway, the neighbours' addresses, the other family."""
    with pytest.raises(InvalidRequest, match=rf"address {asked}\b.*subnet blue"):
        address.check(BLUE, IPAddress(asked))


@pytest.mark.parametrize("asked", ["10.1.0.2", "10.1.0.254"])
def test_the_first_and_the_last_may_be_had(asked: str) -> None:
    """The addresses beside the two ends are a guest's."""
    address.check(BLUE, IPAddress(asked))


def test_an_address_outside_the_ranges_may_be_asked_for() -> None:
    """Ranges are for those that ask for none."""
    subnet = Subnet("blue", BLUE.cidr, BLUE.gateway, ranges=(Range(IPAddress("10.1.0.100"), IPAddress("10.1.0.199")),))
    address.check(subnet, IPAddress("10.1.0.7"))


def test_the_smallest_subnet_gives_its_one_address() -> None:
    """A /30 has two hosts, one of which is the gateway."""
    subnet = Subnet("tiny", IPNetwork("10.1.0.0/30"), IPAddress("10.1.0.1"))
    assert list(address.candidates(subnet, subnet.cidr, "any")) == [IPAddress("10.1.0.2")]


def test_ipv6() -> None:
    """Beside IPv4, with addresses of its own; all but the first may be asked for, the first million are given."""
    both = Subnet(
        "both", BLUE.cidr, BLUE.gateway, "gateway", cidr6=IPNetwork("fd00::/64"), gateway6=IPAddress("fd00::1")
    )
    assert address.capacity(both) == address.capacity(BLUE)
    for asked in ("fd00::2", "fd00::ffff:ffff:ffff:ffff", "10.1.0.2"):
        address.check(both, IPAddress(asked))
    for asked in ("fd00::", "fd00::1", "fd00:0:0:1::2"):
        with pytest.raises(InvalidRequest, match=rf"address {asked} is .*subnet both"):
            address.check(both, IPAddress(asked))
    found = set(address.candidates(both, both.cidr6, "any"))
    assert len(found) == address.MAX_ADDRESSES - 1
    assert (min(found), max(found)) == (IPAddress("fd00::2"), IPAddress("fd00::10:0"))
    ranged = replace(both, ranges=(Range(IPAddress("fd00::a0"), IPAddress("fd00::a1")),))
    assert set(address.candidates(ranged, both.cidr6, "any")) == {IPAddress("fd00::a0"), IPAddress("fd00::a1")}
    assert address.capacity(ranged) == 2
    assert set(address.candidates(ranged, both.cidr, "any")) == set(address.candidates(BLUE, BLUE.cidr, "any"))


@given(subnets())
def test_a_resolver(subnet: Subnet) -> None:
    """It has an address of its own that no range needs, if there is one, and leaves one for a guest; it keeps it."""
    bare = replace(subnet, resolvers=())
    found = address.resolvers(bare)
    made = replace(bare, resolvers=found)
    assert address.resolvers(made) == found
    hosts = {IPAddress(number) for number in range(subnet.cidr.first + 1, subnet.cidr.last)}
    ranges = {IPAddress(number) for pool in subnet.ranges for number in range(int(pool.first), int(pool.last) + 1)}
    beside = hosts - ranges - {subnet.gateway}
    if not found:
        assert address.capacity(bare) <= 1
        assert not (subnet.ranges and beside)
        return
    assert address.capacity(made) >= min(1, address.capacity(bare))
    assert found[0] in (beside or hosts) - {subnet.gateway}
    if beside:
        assert found[0] == min((one for one in beside if one > subnet.gateway), default=min(beside))


@pytest.mark.parametrize(
    ("cidrs", "settings", "expected"),
    [
        ("10.1.0.0/24", {}, "10.1.0.2"),
        ("10.1.0.0/24", {"gateway": "10.1.0.254"}, "10.1.0.1"),
        ("10.1.0.0/24", {"ranges": ("10.1.0.2-10.1.0.99",)}, "10.1.0.100"),
        ("10.1.0.0/24", {"ranges": ("10.1.0.2-10.1.0.254",)}, "10.1.0.2"),
        ("10.1.0.0/29", {}, "10.1.0.2"),
        ("10.1.0.0/30", {}, ""),
        ("10.1.0.0/30 fd00:1::/64", {}, "fd00:1::2"),
        ("fd00:1::/126", {}, "fd00:1::2"),
        ("10.1.0.0/24 fd00:1::/64", {"ranges": ("fd00:1::2-fd00:1::ffff",)}, "10.1.0.2 fd00:1::1:0"),
    ],
)
def test_where_the_resolver_is(cidrs: str, settings: dict[str, Any], expected: str) -> None:
    """After the gateway, outside of the ranges; in a network of one guest it is not."""
    cidr, _, cidr6 = cidrs.partition(" ")
    made = parse(SubnetRequest("blue", cidr, cidr6=cidr6, **settings), Underlay())
    assert " ".join(map(str, made.resolvers)) == expected


def test_a_resolver_beside_leases() -> None:
    """It has the first address that nobody has; where all are leased it has none."""
    taken = {IPAddress(f"10.1.0.{number}") for number in (2, 3, 5)}
    assert address.resolvers(BLUE, taken) == (IPAddress("10.1.0.4"),)
    assert address.resolvers(BLUE, {*map(IPAddress, BLUE.cidr)}) == ()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        *(("10.1.0.20", 4), ("10.1", 0), ("010.1.0.1", 0), ("10.1.0.20 ", 0), ("", 0)),
        *(("fd00::20", 6), ("FD00::0:20", 6), ("fe80::1%eth0", 0), ("fd00::20/64", 0), (":", 0), ("fd00::g", 0)),
    ],
)
def test_what_an_address_is(text: str, version: int) -> None:
    """As people write them, and nothing else."""
    assert (ip.is_ipv4(text), ip.is_ipv6(text)) == (version == 4, version == 6)
    assert ip.is_ip(text) == bool(version)


@given(subnets())
def test_usable_is_all_but_the_two_ends(subnet: Subnet) -> None:
    """The network's own address and the broadcast address are nobody's."""
    allowed = ip.usable(subnet.cidr)
    assert (allowed.first, allowed.last) == (subnet.cidr[1], subnet.cidr[-2])
