"""Routes of guests: everything by a router with an external gateway, the router's other subnets by one without."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.ovsdb.operation import map_of
from ovnhook.resources.kind import Put, puts
from ovnhook.resources.kinds import complete
from ovnhook.resources.router import reach
from ovnhook.resources.router.kind import NETWORK, ROUTER
from ovnhook.resources.router.topology import network_rows
from ovnhook.resources.router.values import External, InterfaceAddress, Router
from ovnhook.resources.state import Cloud, cloud_of
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.request import with_changes
from ovnhook.resources.subnet.rows import dhcp_options
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.tables import ROUTER_PORT
from tests.unit.resources.subnet.subnet import KNOWN

INSIDE = Router("gateway")
OUTSIDE = Router(
    "gateway", External("external", InterfaceAddress(IPAddress("203.0.113.10"), 24), IPAddress("203.0.113.1"))
)


def subnet(number: int, *, isolated: bool = False, dual: bool = False) -> Subnet:
    """A subnet on the default router."""
    own = Subnet(
        f"s{number}", IPNetwork(f"10.{number}.0.0/24"), IPAddress(f"10.{number}.0.1"), "gateway", isolated=isolated
    )
    if not dual:
        return own
    return replace(own, cidr6=IPNetwork(f"fd00:{number}::/64"), gateway6=IPAddress(f"fd00:{number}::1"))


def cloud(router: Router, *subnets: Subnet) -> Cloud:
    """These subnets on one router."""
    return cloud_of(None, (router, *subnets))


def routes(found: Cloud, name: str) -> tuple[str | None, str | None]:
    """Router and static routes that DHCP has in a subnet."""
    one = found.subnet(name)
    assert one is not None
    row = next(row for row in dhcp_options(one).values() if ":" not in row["cidr"])
    options = map_of(row["options"])
    return options.get("router"), options.get("classless_static_route")


def test_with_an_external_gateway() -> None:
    """A default route, and no other; of an isolated subnet, too."""
    found = cloud(OUTSIDE, subnet(1), subnet(2, isolated=True), subnet(3))
    assert routes(found, "s1") == ("10.1.0.1", None)
    assert routes(found, "s2") == ("10.2.0.1", None)


def test_without_an_external_gateway() -> None:
    """Routes to the other subnets, except isolated ones; an isolated subnet and a lone one have none."""
    found = cloud(INSIDE, subnet(1), subnet(2, isolated=True), subnet(3), replace(subnet(4), router=""))
    assert routes(found, "s1") == (None, "{10.3.0.0/24,10.1.0.1}")
    assert routes(found, "s3") == (None, "{10.1.0.0/24,10.3.0.1}")
    assert routes(found, "s2") == routes(found, "s4") == (None, None)
    assert routes(cloud(INSIDE, subnet(1)), "s1") == (None, None)


def test_a_chosen_route() -> None:
    """It goes before one to the same network by the router, and does not remove the others."""
    chosen = with_changes(subnet(1), {"routes": ("10.3.0.0/24=10.1.0.9", "0.0.0.0/0=10.1.0.8")}, KNOWN)
    assert routes(cloud(INSIDE, chosen, subnet(2), subnet(3)), "s1") == (
        "10.1.0.8",
        "{0.0.0.0/0,10.1.0.8, 10.3.0.0/24,10.1.0.9, 10.2.0.0/24,10.1.0.1}",
    )


def test_ipv6() -> None:
    """Without an external gateway the advertised default route is the last choice, beside routes to other subnets."""

    def advertised(router: Router) -> dict[str, str]:
        found = cloud(router, subnet(1, dual=True), subnet(2, dual=True), subnet(3)).network("gateway")
        assert found is not None
        rows = (node.row for node in network_rows(found).values() if node.table == ROUTER_PORT)
        return next(map_of(row["ipv6_ra_configs"]) for row in rows if row["name"] == "subnet:s1:gateway")

    inside = advertised(OUTSIDE)  # its external gateway is of IPv4 only
    assert (inside["router_preference"], inside["route_info"]) == ("LOW", "MEDIUM-fd00:2::/64")
    both = External(
        "external", address6=InterfaceAddress(IPAddress("2001:db8::10"), 64), next_hop6=IPAddress("2001:db8::1")
    )
    assert not {"router_preference", "route_info"} & advertised(Router("gateway", both)).keys()


def test_changes_follow() -> None:
    """The subnets whose routes change with a router, or with another subnet, and only those."""
    before = cloud(INSIDE, subnet(1), subnet(2, isolated=True))
    changes = complete([Put(SUBNET, None, subnet(3))], before)
    assert [put.new and put.new.reachable for put in puts(SUBNET, changes)] == [
        (IPNetwork("10.1.0.0/24"),),
        (IPNetwork("10.3.0.0/24"),),
    ]
    changes = complete([Put(ROUTER, INSIDE, OUTSIDE)], before)
    assert [(put.old and put.old.name, put.new and put.new.reachable) for put in puts(SUBNET, changes)] == [
        ("s1", None),
        ("s2", None),
    ]
    changes = complete([Put(SUBNET, None, subnet(3, isolated=True))], before)
    assert [put.new and put.new.name for put in puts(SUBNET, changes)] == ["s3"]
    for router in (INSIDE, OUTSIDE):
        changes = complete([Put(SUBNET, None, subnet(3, dual=True))], cloud(router, subnet(1, dual=True)))
        (change,) = puts(NETWORK, changes)
        assert any("route_info" in str(operation) for operation in change.operations)


@pytest.mark.parametrize("count", [12, 13, 200])
def test_many_subnets(count: int) -> None:
    """They are summarised, so that the routes fit; each is covered, and nothing that is far from all of them."""
    networks = [IPNetwork(f"10.1.{number}.0/24") for number in range(count)]
    found = reach.summary(networks)
    assert len(found) <= reach.MAX_ROUTES
    assert all(any(one in other for other in found) for one in networks)
    assert all(one in IPNetwork("10.1.0.0/16") for one in found)
    assert (found == tuple(networks)) == (count == reach.MAX_ROUTES)
