"""What a router may be, the changes that make, set and delete one, and where its gateways are."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, Unavailable
from ovnhook.resources.chassis import Node
from ovnhook.resources.kind import Put
from ovnhook.resources.kinds import complete
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.kind import GATEWAYS, NETWORK, ROUTER
from ovnhook.resources.router.request import ExternalGatewayRequest, parse, request_of
from ovnhook.resources.router.values import External, GatewayHosts, InterfaceAddress, Network, Router
from ovnhook.resources.state import Cloud, Registry
from ovnhook.resources.subnet.values import Subnet

LEG = ExternalGatewayRequest("external", "203.0.113.10/24", "203.0.113.1")
ID = UUID(int=7)
BARE = External("external", InterfaceAddress(IPAddress("203.0.113.10"), 24), IPAddress("203.0.113.1"))
EXTERNAL = replace(BARE, mac=uuids.external_mac(ID, "gateway"))
GATEWAY = Router("gateway", EXTERNAL)
BLUE = Subnet("blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"), "gateway")
SEVEN = Registry(7, "blue", ID)
CLOUD = Cloud(SEVEN, (GATEWAY, BLUE))
COUNTED = Put(REGISTRY, SEVEN, Registry(8, "blue", ID))


def test_make() -> None:
    """A router without a leg, with one, with one on a VLAN and without SNAT; and back to what was written."""
    assert parse("lab", ExternalGatewayRequest()) == Router("lab")
    assert parse("gateway", LEG) == Router("gateway", BARE)
    special = replace(LEG, vlan=42, no_snat=True)
    made = parse("gateway", special)
    assert made.external == replace(BARE, vlan=42, snat=False)
    assert [request_of(one) for one in (Router("lab"), GATEWAY, made)] == [
        ExternalGatewayRequest(),
        LEG,
        special,
    ]
    six = ExternalGatewayRequest("external", address6="2001:db8::10/64", next_hop6="2001:db8::1", snat6=True)
    made = parse("gateway", six)
    assert made.external
    assert made.external.addresses == (InterfaceAddress(IPAddress("2001:db8::10"), 64),)
    assert made.external.next_hops == (IPAddress("2001:db8::1"),)
    assert (made.external.has_snat(4), made.external.has_snat(6)) == (True, True)
    assert request_of(made) == six


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"physical_network": ""}, "router gateway: an external gateway needs a physical network"),
        ({"physical_network": "a:b"}, "physical network 'a:b'"),
        ({"address": ""}, "address '' is not of the form ADDRESS/LENGTH"),
        ({"address": "", "next_hop": ""}, "router gateway: an external gateway needs an address"),
        ({"address6": "203.0.113.10/24"}, "address '203.0.113.10/24' is not of the form ADDRESS/LENGTH, like 2001:db8"),
        ({"next_hop6": "2001:db8::1"}, "address '' is not of the form ADDRESS/LENGTH"),
        ({"address6": "2001:db8::10/64", "next_hop6": "fe80::1"}, "next hop fe80::1 is not a host address of"),
        ({"address": "203.0.113.10"}, "address '203.0.113.10' is not of the form"),
        ({"address": "203.0.113.10/33"}, "address 203.0.113.10/33"),
        ({"address": "203.0.113.10/31"}, "the network is too small for a router and a next hop"),
        ({"address": "203.0.113.0/24"}, "address 203.0.113.0/24 is not a host address"),
        ({"address": "203.0.113.255/24"}, "address 203.0.113.255/24 is not a host address"),
        ({"address": "fd00::1/64"}, "address 'fd00::1/64'"),
        ({"next_hop": ""}, "next hop '' is not an IPv4 address"),
        ({"next_hop": "203.0.114.1"}, "next hop 203.0.114.1 is not a host address of 203.0.113.0/24"),
        ({"next_hop": "203.0.113.10"}, "next hop 203.0.113.10 is the router's own address"),
        ({"vlan": 4095}, "invalid VLAN 4095"),
        ({"vlan": -1}, "invalid VLAN -1"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    """When the router is made, and in the same words when it is set."""
    with pytest.raises(InvalidRequest) as caught:
        parse("gateway", replace(LEG, **settings))
    assert message in caught.value.message
    with pytest.raises(InvalidRequest) as caught:
        router_rules.update("gateway", settings, ID, CLOUD)
    assert message in caught.value.message


@pytest.mark.parametrize("name", ["", "a b", "a:b", "-a", "a" * 64])
def test_names_that_are_refused(name: str) -> None:
    """They are subnets' rules: a colon is for our own rows."""
    with pytest.raises(InvalidRequest):
        parse(name, ExternalGatewayRequest())


def test_create() -> None:
    """Counted; nothing when it is there; refused when it is another, somebody else's, or its address is taken."""
    lab = Router("lab")
    assert router_rules.create(lab, ID, CLOUD) == (COUNTED, Put(ROUTER, None, lab))
    assert router_rules.create(GATEWAY, ID, CLOUD) == ()
    with pytest.raises(AlreadyExists, match="its physical network is external, not none"):
        router_rules.create(Router("gateway"), ID, CLOUD)
    with pytest.raises(AlreadyExists, match="a logical router 'lab' exists that is not ovnhook's"):
        router_rules.create(lab, ID, CLOUD, name_is_foreign=True)
    with pytest.raises(AlreadyExists, match=r"address 203\.0\.113\.10 is that of router gateway"):
        router_rules.create(replace(GATEWAY, name="lab"), ID, CLOUD)
    other = replace(GATEWAY, name="lab", external=replace(EXTERNAL, vlan=9))
    assert router_rules.create(other, ID, CLOUD)  # another network, then


def test_update() -> None:
    """Its subnets stay on it; the default router need not be there; another one must."""
    new = replace(GATEWAY, external=replace(EXTERNAL, vlan=5))
    changes = (COUNTED, Put(ROUTER, GATEWAY, new))
    assert router_rules.update("gateway", {"vlan": 5}, ID, CLOUD) == changes
    assert router_rules.update("gateway", {"vlan": 0}, ID, CLOUD) == ()
    assert router_rules.update("gateway", vars(ExternalGatewayRequest()), ID, CLOUD)[1] == Put(
        ROUTER, GATEWAY, Router("gateway")
    )
    assert router_rules.update("gateway", vars(LEG), ID, Cloud())[1] == Put(ROUTER, None, GATEWAY)
    with pytest.raises(NotFound, match="there is no router 'lab'"):
        router_rules.update("lab", vars(LEG), ID, CLOUD)
    with pytest.raises(InvalidRequest, match="'name' of a router can't be set"):
        router_rules.update("gateway", {"name": "x"}, ID, CLOUD)
    overlapping = router_rules.update("gateway", {"address": "10.9.0.1/8", "next_hop": "10.9.0.2"}, ID, CLOUD)
    with pytest.raises(AlreadyExists, match=r"subnet blue overlaps with the external network 10\.0\.0\.0/8"):
        complete(overlapping, CLOUD)
    assert complete(changes, CLOUD) == (
        *changes,
        Put(NETWORK, Network(GATEWAY, (BLUE,)), Network(new, (BLUE,))),
    )


def test_the_mac_address_outside() -> None:
    """Of this cloud, for every router; given to those that have another one, and kept whatever else is set."""
    legacy = replace(EXTERNAL, mac=uuids.external_mac(None, "gateway"))
    before = Cloud(Registry(7, "blue"), (Router("gateway", legacy), Router("inner"), BLUE))
    count, given = router_rules.derive_external_macs(ID, before)
    assert count == Put(REGISTRY, Registry(7, "blue"), Registry(8, "blue", ID))
    assert given == Put(ROUTER, Router("gateway", legacy), GATEWAY)
    assert router_rules.derive_external_macs(UUID(int=8), CLOUD) == ()
    assert router_rules.derive_external_macs(ID, Cloud()) == ()
    other = uuids.external_mac(UUID(int=8), "gateway")
    assert len({legacy.mac, EXTERNAL.mac, other, uuids.external_mac(ID, "lab")}) == 4
    assert {int(mac[:2], 16) & 0b11 for mac in (legacy.mac, EXTERNAL.mac, other)} == {0b10}
    _, made = router_rules.create(Router("lab", replace(BARE, vlan=9)), UUID(int=8), CLOUD)
    assert made == Put(ROUTER, None, Router("lab", replace(BARE, vlan=9, mac=uuids.external_mac(ID, "lab"))))


def test_delete() -> None:
    """Not while a subnet is on it."""
    with pytest.raises(FailedPrecondition, match="router gateway is in use by subnet blue"):
        router_rules.delete("gateway", CLOUD)
    assert router_rules.delete("gateway", Cloud(SEVEN, (GATEWAY,))) == (COUNTED, Put(ROUTER, GATEWAY, None))
    with pytest.raises(NotFound):
        router_rules.delete("lab", CLOUD)


def hosts(*names: str, down: Collection[str] = (), networks: Collection[str] = ("external",)) -> list[Node]:
    """Hosts that say that they are gateways, those in `down` with no link outside."""
    return [
        Node(name, is_gateway=True, physical_networks=frozenset(networks), uplinks_down=frozenset(networks))
        if name in down
        else Node(name, is_gateway=True, physical_networks=frozenset(networks))
        for name in names
    ]


def test_gateways() -> None:
    """The active one is first and stays there; who can't any more is out; the order differs by router."""
    names = [f"gw{number}" for number in range(4)]
    all_ = hosts(*names)
    first = router_rules.gateways(GATEWAY, all_, (), "")
    assert sorted(first) == names
    assert router_rules.gateways(GATEWAY, all_, first, "") == first
    assert router_rules.gateways(GATEWAY, all_, first, first[2]) == (first[2], first[0], first[1], first[3])
    assert router_rules.gateways(GATEWAY, all_[:2], first, "gw3") == tuple(host for host in first if host in names[:2])
    assert router_rules.gateways(GATEWAY, [*all_, *hosts("gw9")], first, "") == (*first, "gw9")
    others = [replace(GATEWAY, name=f"r{number}") for number in range(40)]
    assert len({router_rules.gateways(one, all_, (), "")[0] for one in others}) == len(names)


def test_who_can_be_a_gateway() -> None:
    """Who says so, and has a bridge for the router's network; none for a router that does not lead outside."""
    other, no_gateway = *hosts("gw2", networks=["else"]), Node("hv1", physical_networks=frozenset({"external"}))
    assert [node.name for node in router_rules.eligible_hosts(GATEWAY, [*hosts("gw1"), other, no_gateway])] == ["gw1"]
    assert router_rules.gateways(GATEWAY, [other, no_gateway], ("gw2", "hv1"), "gw2") == ()
    assert router_rules.eligible_hosts(Router("lab"), hosts("gw1")) == []


def test_an_uplink_that_is_down() -> None:
    """Puts a host behind the others, also the active one; when it is back it stays there."""
    order = ("a", "b", "c")
    assert router_rules.gateways(GATEWAY, hosts(*order, down=["a"]), order, "a") == ("b", "c", "a")
    assert router_rules.gateways(GATEWAY, hosts(*order), ("b", "c", "a"), "b") == ("b", "c", "a")
    assert router_rules.gateways(GATEWAY, hosts(*order, down=["a", "b"]), ("b", "c", "a"), "b") == ("c", "b", "a")
    assert router_rules.gateways(GATEWAY, hosts(*order, down=order), ("b", "c", "a"), "b") == ("b", "c", "a")
    assert router_rules.gateways(GATEWAY, hosts(*order, "d", down=["d"]), order, "a") == ("a", "b", "c", "d")
    elsewhere = replace(hosts("a", networks=["external", "else"])[0], uplinks_down=frozenset({"else"}))
    assert router_rules.gateways(GATEWAY, [elsewhere, *hosts("b")], ("a", "b"), "a") == ("a", "b")


@given(
    st.text(max_size=20),
    st.fixed_dictionaries(
        {
            "physical_network": st.text(max_size=16),
            "address": st.text("0123456789./:", max_size=18),
            "next_hop": st.text("0123456789.:", max_size=16),
            "vlan": st.integers(-(2**31), 2**31 - 1),
            "no_snat": st.booleans(),
        }
    ),
)
def test_anything_is_taken_or_refused(name: str, settings: dict[str, Any]) -> None:
    """Whatever is written, what is raised is for the person who wrote it."""
    with suppress(InvalidRequest):
        parse(name, ExternalGatewayRequest(**settings))
    for setting, value in settings.items():
        with suppress(InvalidRequest, AlreadyExists):
            router_rules.update("gateway", {setting: value}, ID, CLOUD)


def test_move() -> None:
    """The host comes first, the others stay in order; nothing when it is; refused when it can't."""
    three = ("a", "b", "c")
    assert router_rules.move(GATEWAY, hosts(*three), "b", three) == (
        Put(GATEWAYS, GatewayHosts("gateway", three), GatewayHosts("gateway", ("b", "a", "c"))),
    )
    assert router_rules.move(GATEWAY, hosts(*three), "a", three) == ()
    with pytest.raises(InvalidRequest, match="host 'x' is not a gateway of router gateway"):
        router_rules.move(GATEWAY, hosts(*three), "x", three)
    with pytest.raises(Unavailable, match="host b has no link to the physical network external that is up"):
        router_rules.move(GATEWAY, hosts(*three, down=["b"]), "b", three)
