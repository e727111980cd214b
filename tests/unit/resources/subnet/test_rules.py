"""Changes that create, set and delete a subnet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound
from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.kinds import complete
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.registry import FORMAT, REGISTRY
from ovnhook.resources.router.kind import NETWORK, ROUTER
from ovnhook.resources.router.values import External, InterfaceAddress, Network, Router
from ovnhook.resources.state import Cloud, Registry, cloud_of
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet import rules as subnet_rules
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.request import SubnetRequest, Underlay, with_changes
from ovnhook.resources.subnet.values import DnsRecords, Subnet
from tests.unit.resources.subnet.subnet import BLUE, KNOWN, refused

GREEN = Subnet(
    "green",
    IPNetwork("10.2.0.0/24"),
    IPAddress("10.2.0.1"),
    "gateway",
    resolvers=(IPAddress("10.2.0.2"),),
    records_until=0,
)
SEVEN = Registry(7, "blue", format=FORMAT)
GATEWAY = Router("gateway")
CLOUD = cloud_of(SEVEN, (GATEWAY, BLUE, GREEN))
CLOUD_OF_BLUE = cloud_of(SEVEN, (GATEWAY, BLUE))


def create(
    wanted: SubnetRequest, underlay: Underlay, cloud: Cloud, *, name_is_foreign: bool = False
) -> tuple[Change, ...]:
    """All changes with which a subnet is created."""
    return complete(subnet_rules.create(wanted, underlay, cloud, name_is_foreign=name_is_foreign), cloud)


def update(
    old: Subnet, new: Subnet, cloud: Cloud, named: Mapping[str, str], leases: Sequence[Lease]
) -> tuple[Change, ...]:
    """All changes with which a subnet is updated."""
    return complete(subnet_rules.update(old, new, cloud, named, leases), cloud)


def delete(subnet: Subnet, cloud: Cloud, leases: Sequence[Lease], ports: Sequence[str]) -> tuple[Change, ...]:
    """All changes with which a subnet is deleted."""
    return complete(subnet_rules.delete(subnet, cloud, leases, ports), cloud)


def lease(address: str, name: str = "web1") -> Lease:
    """A lease in blue."""
    return Lease("blue", IPAddress(address), UUID(int=1), name, "52:54:00:00:00:01", name, "hv1", "hv1/1")


def test_the_resolver_makes_way_for_the_gateway() -> None:
    """It takes the next address that is not leased; also in a new network."""
    asked = with_changes(BLUE, {"gateway": "10.1.0.2", "cidr6": "fd00:1::/64"}, KNOWN)
    moved = replace(asked, resolvers=(IPAddress("10.1.0.4"), IPAddress("fd00:1::2")))
    changes = update(BLUE, asked, CLOUD_OF_BLUE, {}, [lease("10.1.0.3")])
    assert Put(SUBNET, BLUE, moved) in changes
    back = with_changes(moved, {"gateway": "", "cidr6": ""}, KNOWN)
    changes = update(moved, back, cloud_of(SEVEN, (GATEWAY, moved)), {}, [])
    assert Put(SUBNET, moved, replace(BLUE, resolvers=(IPAddress("10.1.0.4"),))) in changes


def test_a_subnet_of_an_earlier_version_is_the_same() -> None:
    """Creating it again changes nothing, whatever address its resolver has, or none yet."""
    for resolvers in ((), (IPAddress("10.1.0.77"),)):
        cloud = cloud_of(SEVEN, (GATEWAY, replace(BLUE, resolvers=resolvers)))
        assert create(SubnetRequest("blue", "10.1.0.0/24"), KNOWN, cloud) == ()


def test_create_beside_agents_without_resolvers() -> None:
    """In rows of the format of earlier versions the subnet is as they would make it."""
    earlier = cloud_of(replace(SEVEN, format=1), (GATEWAY, BLUE))
    changes = create(SubnetRequest("green", "10.2.0.0/24"), KNOWN, earlier)
    assert Put(SUBNET, None, replace(GREEN, resolvers=(), records_until=None)) in changes


def test_create_counts() -> None:
    """Each change of subnets counts the registry on, so that two at a time can't both be."""
    wanted = SubnetRequest("green", "10.2.0.0/24")
    assert create(wanted, KNOWN, cloud_of(SEVEN, (GATEWAY, BLUE))) == (
        Put(REGISTRY, SEVEN, replace(SEVEN, serial=8)),
        Put(SUBNET, None, GREEN),
        Put(SUBNET, BLUE, BLUE),  # its guests get a route to the other one
        Put(NETWORK, Network(GATEWAY, (BLUE,)), Network(GATEWAY, (BLUE, GREEN))),
    )
    made = replace(GREEN, default=True)
    assert create(replace(wanted, default=True), KNOWN, Cloud()) == (
        Put(REGISTRY, None, Registry(1, "green", format=FORMAT)),
        Put(SUBNET, None, made),
        Put(ROUTER, None, Router("gateway")),
        Put(NETWORK, None, Network(GATEWAY, (made,))),
    )
    alone = replace(GREEN, router="")
    assert create(replace(wanted, router=""), KNOWN, CLOUD_OF_BLUE)[1:] == (Put(SUBNET, None, alone),)


@pytest.mark.parametrize(
    "wanted",
    [
        SubnetRequest("blue", "10.1.0.0/24"),
        SubnetRequest("blue", "10.1.0.0/24", default=True),
        SubnetRequest("blue", "10.1.0.0/24", mtu=1400),
    ],
)
def test_create_what_is_already_so(wanted: SubnetRequest) -> None:
    """Nothing is done; an MTU that follows the underlay is not compared with what the underlay is today."""
    assert create(wanted, Underlay(1422), cloud_of(SEVEN, (replace(BLUE, mtu=1400), GREEN))) == ()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (SubnetRequest("blue", "10.3.0.0/24"), "its network is 10.1.0.0/24, not 10.3.0.0/24"),
        (SubnetRequest("blue", "10.1.0.0/24", mtu=1400), "its MTU is 1442, not 1400"),
        (SubnetRequest("blue", "10.1.0.0/24", dns=("10.1.0.53",)), "its DNS server is none, not 10.1.0.53"),
        (
            SubnetRequest("blue", "10.1.0.0/24", gateway="10.1.0.9", router=""),
            "its gateway is 10.1.0.1, not 10.1.0.9, its router is gateway, not none",
        ),
        (
            SubnetRequest("blue", "10.1.0.0/24", ranges=("10.1.0.2-10.1.0.3",), dns_domain="x"),
            "its range is all of it, not 10.1.0.2-10.1.0.3, its DNS domain is none, not x",
        ),
    ],
)
def test_create_something_else_under_that_name(wanted: SubnetRequest, message: str) -> None:
    """The refusal says what is different, and nothing else."""
    said, _ = refused(AlreadyExists, create, wanted, KNOWN, CLOUD)
    assert said == f"subnet blue exists with different settings: {message}"


def test_create_what_exists_as_the_default() -> None:
    """A subnet that is not the default is not what was asked for."""
    said, _ = refused(AlreadyExists, create, SubnetRequest("green", "10.2.0.0/24", default=True), KNOWN, CLOUD)
    assert said.endswith("its default is no, not yes")


@pytest.mark.parametrize("cidr", ["10.1.0.0/24", "10.1.0.128/25", "10.0.0.0/12"])
def test_create_an_overlap(cidr: str) -> None:
    """The same network, a part of it, one around it."""
    said, _ = refused(AlreadyExists, create, SubnetRequest("red", cidr), KNOWN, CLOUD)
    assert said.startswith(f"network {cidr} overlaps with subnet ")


def test_create_a_second_default() -> None:
    """The present one is named, and how to have it."""
    wanted = SubnetRequest("red", "10.3.0.0/24", default=True)
    said, advice = refused(AlreadyExists, create, wanted, KNOWN, CLOUD)
    assert said == "subnet blue is the default subnet already"
    assert "ovnhook subnet set red --default" in advice


def test_create_under_a_name_of_somebody_elses() -> None:
    """OVN lets two switches have one name; people would mix them up."""
    said, _ = refused(AlreadyExists, create, SubnetRequest("red", "10.3.0.0/24"), KNOWN, Cloud(), name_is_foreign=True)
    assert said == "a logical switch 'red' exists that is not ovnhook's"


def test_update() -> None:
    """Settings, the default, both, neither."""
    other = replace(GREEN, mtu=1400)
    assert update(GREEN, GREEN, CLOUD, {}, []) == ()
    assert update(GREEN, other, CLOUD, {}, []) == (
        Put(REGISTRY, SEVEN, replace(SEVEN, serial=8)),
        Put(SUBNET, GREEN, other),
        Put(NETWORK, Network(GATEWAY, (BLUE, GREEN)), Network(GATEWAY, (BLUE, other))),
    )
    assert update(GREEN, replace(GREEN, default=True), CLOUD, {}, []) == (
        Put(REGISTRY, SEVEN, replace(SEVEN, serial=8, default_subnet="green")),
    )
    both = replace(other, default=True)
    assert update(GREEN, both, CLOUD, {}, []) == (
        Put(REGISTRY, SEVEN, replace(SEVEN, serial=8, default_subnet="green")),
        Put(SUBNET, GREEN, both),
        Put(NETWORK, Network(GATEWAY, (BLUE, GREEN)), Network(GATEWAY, (BLUE, both))),
    )


def test_ipv6_that_comes_and_goes() -> None:
    """It may come to a subnet that is in use; to go, no guest may have an address of it."""
    asked = with_changes(BLUE, {"cidr6": "fd00:1::/64"}, KNOWN)
    both = replace(asked, resolvers=(*BLUE.resolvers, IPAddress("fd00:1::2")))
    assert Put(SUBNET, BLUE, both) in update(BLUE, asked, CLOUD, {}, [lease("10.1.0.8")])
    with_it = cloud_of(SEVEN, (GATEWAY, both, GREEN))
    said, _ = refused(
        FailedPrecondition, update, both, BLUE, with_it, {}, [lease("10.1.0.8"), lease("fd00:1::8", "mail")]
    )
    assert said == "address fd00:1::8 of fd00:1::/64 is leased to domain mail (52:54:00:00:00:01)"
    assert Put(SUBNET, both, BLUE) in update(both, BLUE, with_it, {}, [lease("10.1.0.8")])
    wanted = SubnetRequest("red", "10.3.0.0/24", cidr6="fd00:1::/64")
    assert refused(AlreadyExists, create, wanted, KNOWN, with_it)[0].startswith("network fd00:1::/64 overlaps")


def test_update_to_a_leased_gateway() -> None:
    """The domain that has it is named."""
    new = replace(BLUE, gateway=IPAddress("10.1.0.9"))
    said, advice = refused(
        FailedPrecondition, update, BLUE, new, CLOUD, {}, [lease("10.1.0.8"), lease("10.1.0.9", "mail")]
    )
    assert said == "gateway 10.1.0.9 is leased to domain mail (52:54:00:00:00:01)"
    assert "10.1.0.9" in advice


def test_update_to_ranges_without_the_leases() -> None:
    """Leases outside stay."""
    new = with_changes(BLUE, {"ranges": ("10.1.0.20-10.1.0.30",)}, KNOWN)
    leases = [lease("10.1.0.8")]
    changes = update(BLUE, new, CLOUD, dns.records(leases, ""), leases)
    assert [change.kind for change in changes] == [REGISTRY, SUBNET, NETWORK]


def test_update_of_the_domain() -> None:
    """The names of all that is leased end with it; what nobody has any more goes."""
    leases = [lease("10.1.0.8"), lease("10.1.0.9", "mail")]
    before = {**dns.records(leases, "old.example"), "stale": "10.1.0.7"}
    changes = update(BLUE, replace(BLUE, dns_domain="new.example"), CLOUD, before, leases)
    need, change = (one for one in changes if one.kind is DNS_RECORDS)
    assert need == Need(DNS_RECORDS, DnsRecords("blue", before))
    assert change == Put(
        DNS_RECORDS, DnsRecords("blue", before), DnsRecords("blue", dns.records(leases, "new.example"))
    )


def test_update_to_no_default() -> None:
    """There is one until it is deleted."""
    refused(InvalidRequest, update, BLUE, replace(BLUE, default=False), CLOUD, {}, [])


def test_delete() -> None:
    """The default goes with the default subnet."""
    assert delete(GREEN, CLOUD, [], []) == (
        Put(REGISTRY, SEVEN, replace(SEVEN, serial=8)),
        Put(SUBNET, BLUE, BLUE),
        Put(NETWORK, Network(GATEWAY, (BLUE, GREEN)), Network(GATEWAY, (BLUE,))),
        Put(SUBNET, GREEN, None),
    )
    assert delete(BLUE, CLOUD_OF_BLUE, [], []) == (
        Put(REGISTRY, SEVEN, replace(SEVEN, serial=8, default_subnet="")),
        Put(NETWORK, Network(GATEWAY, (BLUE,)), None),
        Put(SUBNET, BLUE, None),
        Put(ROUTER, GATEWAY, None),
    )


def test_another_router() -> None:
    """The subnet leaves the one and joins the other; one that has some of its addresses refuses it."""
    lab = Router("lab")
    cloud = cloud_of(SEVEN, (GATEWAY, lab, BLUE, GREEN))
    moved = replace(GREEN, router="lab")
    assert update(GREEN, moved, cloud, {}, [])[2:] == (
        Put(SUBNET, BLUE, BLUE),
        Put(NETWORK, Network(GATEWAY, (BLUE, GREEN)), Network(GATEWAY, (BLUE,))),
        Put(NETWORK, Network(lab), Network(lab, (moved,))),
    )
    assert update(moved, GREEN, cloud_of(SEVEN, (GATEWAY, lab, BLUE, moved)), {}, [])[2:] == (
        Put(SUBNET, BLUE, BLUE),
        Put(NETWORK, Network(lab, (moved,)), Network(lab)),
        Put(NETWORK, Network(GATEWAY, (BLUE,)), Network(GATEWAY, (BLUE, GREEN))),
    )
    taken = Subnet("red", IPNetwork("10.2.0.0/16"), IPAddress("10.2.0.1"), "lab")
    crowded = cloud_of(SEVEN, (GATEWAY, lab, BLUE, GREEN, taken))
    assert "overlaps with subnet red" in refused(AlreadyExists, update, GREEN, moved, crowded, {}, [])[0]
    assert refused(NotFound, update, GREEN, moved, CLOUD, {}, [])[0] == "there is no router 'lab'"


def test_the_external_network_is_no_subnet() -> None:
    """A router that has an address outside can't have the same network inside."""
    external = External("external", InterfaceAddress(IPAddress("10.2.0.1"), 16), IPAddress("10.2.0.9"))
    cloud = cloud_of(SEVEN, (Router("gateway", external),))
    said, _ = refused(AlreadyExists, create, SubnetRequest("green", "10.2.9.0/24"), KNOWN, cloud)
    assert (
        said == "network 10.2.9.0/24 of subnet green overlaps with the external network 10.2.0.0/16 of router gateway"
    )


def test_delete_what_is_in_use() -> None:
    """What uses it is named: a few of the domains, or the ports that have no lease."""
    leases = [lease(f"10.1.0.{n}", f"web{n}") for n in range(2, 9)]
    said, advice = refused(FailedPrecondition, delete, BLUE, CLOUD, leases, ["x"])
    assert said == "subnet blue is in use by domains web2, web3, web4, web5, web6 and 2 more"
    assert "ovnhook lease list --subnet blue" in advice
    assert "by domain web1" in refused(FailedPrecondition, delete, BLUE, CLOUD, [lease("10.1.0.8")], [])[0]
    assert "by ports a, b, without" in refused(FailedPrecondition, delete, BLUE, CLOUD, [], ["b", "a"])[0]


def test_find() -> None:
    """By its whole name."""
    assert subnet_rules.find("green", CLOUD) == GREEN
    assert refused(NotFound, subnet_rules.find, "gree", CLOUD) == (
        "there is no subnet 'gree'",
        "ovnhook subnet list",
    )
