"""Routers that reach the outside through their gateway host: addresses, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists, Exhausted, InvalidRequest
from ovnhook.resources import tables
from ovnhook.resources.floating_ip import rules as floating_ips
from ovnhook.resources.kind import puts
from ovnhook.resources.kinds import complete
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.router import hostlink, rules
from ovnhook.resources.router.kind import ROUTER
from ovnhook.resources.router.request import ExternalGatewayRequest, parse
from ovnhook.resources.router.topology import network_rows
from ovnhook.resources.router.values import External, InterfaceAddress, Network, Router
from ovnhook.resources.state import Cloud, Registry
from ovnhook.resources.subnet.values import Subnet

ID = UUID(int=7)
REGISTRY = Registry(7, "", ID)
REQUEST = ExternalGatewayRequest("host")
ELSEWHERE = External("external", InterfaceAddress(IPAddress("203.0.113.10"), 24), IPAddress("203.0.113.1"))


def on_link(name: str, number: int) -> Router:
    """A router with the addresses of that number."""
    own = hostlink.external_gateway([])
    assert own.address
    assert own.address6
    return Router(
        name,
        replace(
            own,
            address=replace(own.address, ip=own.address.ip + number - 2),
            address6=replace(own.address6, ip=own.address6.ip + number - 2),
            mac=uuids.external_mac(ID, name),
        ),
    )


def subnet(name: str, router: str, cidr: str = "10.1.0.0/24") -> Subnet:
    """A subnet on a router."""
    return Subnet(name, IPNetwork(cidr), IPNetwork(cidr)[1], router)


def made(changes: Any) -> Router | None:
    """The router after changes."""
    (put,) = puts(ROUTER, changes)
    return put.new


def test_addresses_are_chosen() -> None:
    """The first ones of the link that no other router has, in both IP versions; without SNAT."""
    assert made(rules.create(parse("gateway", REQUEST), ID, Cloud(REGISTRY))) == on_link("gateway", 2)
    there = Cloud(REGISTRY, (on_link("a", 2), on_link("b", 4), Router("c", ELSEWHERE)))
    third = rules.create(parse("lab", REQUEST), ID, there)
    assert made(third) == on_link("lab", 3)
    four, six = on_link("lab", 3).external.addresses  # type: ignore[union-attr]
    assert (str(four), str(six)) == ("169.254.186.3/24", "fd6f:766e:686b::3/64")
    full = Cloud(REGISTRY, tuple(on_link(f"r{number}", number) for number in range(2, 255)))
    with pytest.raises(Exhausted, match="no addresses for another router"):
        rules.create(parse("lab", REQUEST), ID, full)


def test_a_router_keeps_its_addresses() -> None:
    """Nothing changes if it is requested again, with its addresses or without."""
    cloud = Cloud(REGISTRY, (on_link("a", 2), on_link("b", 3)))
    assert rules.create(parse("b", REQUEST), ID, cloud) == ()
    assert rules.update("b", {"physical_network": "host"}, ID, cloud) == ()
    own = ExternalGatewayRequest("host", "169.254.186.3/24", "169.254.186.1")
    assert rules.create(parse("b", own), ID, cloud) == ()
    with pytest.raises(AlreadyExists, match=r"169\.254\.186\.2 is that of router a"):
        rules.update("b", {"address": "169.254.186.2/24"}, ID, cloud)


def test_to_the_host_and_back() -> None:
    """Addresses of one network are not those of the other."""
    outside = Router("gateway", replace(ELSEWHERE, mac=uuids.external_mac(ID, "gateway")))
    host = on_link("gateway", 2)
    assert made(rules.update("gateway", {"physical_network": "host"}, ID, Cloud(REGISTRY, (outside,)))) == host
    back = {"physical_network": "external", "address": "203.0.113.10/24", "next_hop": "203.0.113.1"}
    assert made(rules.update("gateway", back, ID, Cloud(REGISTRY, (host,)))) == outside
    with pytest.raises(InvalidRequest, match="needs an address"):
        rules.update("gateway", {"physical_network": "external"}, ID, Cloud(REGISTRY, (host,)))
    none = vars(ExternalGatewayRequest())
    assert made(rules.update("gateway", none, ID, Cloud(REGISTRY, (host,)))) == Router("gateway")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": "203.0.113.10/24", "next_hop": "203.0.113.1"}, "are not those of physical network host"),
        ({"address": "169.254.186.9/24", "next_hop": "169.254.186.8"}, "are not those of physical network host"),
        ({"address6": "2001:db8::10/64", "next_hop6": "2001:db8::1"}, "are not those of physical network host"),
        ({"vlan": 7}, "has no VLAN"),
        ({"snat6": True}, "has no SNAT in OVN"),
        ({"no_snat": False}, "has no SNAT in OVN"),
    ],
)
def test_what_the_link_does_not_have(settings: dict[str, Any], message: str) -> None:
    """Refused rather than ignored."""
    with pytest.raises(InvalidRequest, match=message):
        rules.update("gateway", {"physical_network": "host", **settings}, ID, Cloud(REGISTRY))


def test_rows() -> None:
    """No NAT in OVN, and a default route of each IP version to the host."""
    network = Network(on_link("gateway", 2), (subnet("blue", "gateway"),))
    rows = list(network_rows(network).values())
    assert not [one for one in rows if one.table == tables.NAT]
    hops = {one.row["nexthop"] for one in rows if one.table == tables.ROUTE}
    assert hops == {"169.254.186.1", "fd6f:766e:686b::1"}


def test_subnets_that_a_host_could_not_tell_apart() -> None:
    """Subnets of two routers may overlap unless hosts have routes to both."""
    blue, red = subnet("blue", "a"), subnet("red", "b", "10.1.0.128/25")
    cloud = Cloud(REGISTRY, (on_link("a", 2), Router("b"), blue, red))
    with pytest.raises(AlreadyExists, match=r"overlaps with subnet .* of router"):
        complete(rules.update("b", {"physical_network": "host"}, ID, cloud), cloud)
    apart = Cloud(REGISTRY, (on_link("a", 2), Router("b"), blue, subnet("red", "b", "10.2.0.0/24")))
    assert complete(rules.update("b", {"physical_network": "host"}, ID, apart), apart)


def test_a_host_has_no_floating_ips() -> None:
    """Refused, with what they need."""
    cloud = Cloud(REGISTRY, (on_link("gateway", 2), subnet("blue", "gateway")))
    lease = Lease("blue", IPAddress("10.1.0.7"), uuid4(), "web1", "52:54:00:00:00:01", "web1", "hv1", "")
    with pytest.raises(InvalidRequest, match="router gateway reaches the outside through its host"):
        floating_ips.create("169.254.186.9", "web1", [lease], [], [], cloud)


def test_mac() -> None:
    """A unicast address that is locally administered, and no MAC of a router."""
    assert int(hostlink.MAC[:2], 16) & 0b11 == 0b10
    assert not hostlink.MAC.startswith("0a:")
