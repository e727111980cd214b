"""Networks of subnets: what a host's libvirt lacks of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ovnhook.domains import networkxml
from ovnhook.domains.networkxml import LibvirtNetwork, definition, subnet_network
from ovnhook.domains.subnetnetworks import NetworkPlan, PresentNetwork, plan

BLUE = subnet_network("blue", "br-int")
COMPLETE = PresentNetwork(BLUE, BLUE, is_persistent=True, is_autostarted=True)
NAT = networkxml.parse(
    b"<network><name>blue</name><uuid>b0b760f6-c243-4921-961b-fb38061dec03</uuid><forward mode='nat'/>"
    b"<bridge name='virbr0' stp='on' delay='0'/><ip address='192.168.122.1' netmask='255.255.255.0'/></network>"
)
"""A network of that name which libvirt's administrator has defined."""


def steps(planned: NetworkPlan) -> list[str]:
    """The steps of each change."""
    names = ("stop", "undefine", "define", "autostart", "start")
    return [" ".join([one.name, *(name for name in names if getattr(one, name))]) for one in planned.changes]


def test_a_definition_is_what_it_defines() -> None:
    """As libvirt gives it back: with other quotes, and attributes of a network that runs."""
    xml = definition(BLUE)
    assert networkxml.parse(xml.encode()) == BLUE
    given_back = xml.replace("<network>", "<network connections='1'>").replace('"', "'")
    assert networkxml.parse(given_back.encode()) == BLUE
    assert BLUE.is_of("blue")
    assert BLUE.leads_to("br-int")


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ((), ["blue define autostart start"]),
        ((COMPLETE,), []),
        ((replace(COMPLETE, live=None),), ["blue start"]),
        ((replace(COMPLETE, is_autostarted=False),), ["blue autostart"]),
        # undefined while it was active, or the other way round
        ((replace(COMPLETE, is_persistent=False, is_autostarted=False),), ["blue define autostart"]),
        ((replace(COMPLETE, stored=replace(BLUE, bridge="br0")),), ["blue define autostart"]),
        ((replace(COMPLETE, live=replace(BLUE, bridge="br0")),), ["blue stop start"]),
        ((replace(COMPLETE, stored=replace(BLUE, further=frozenset({"portgroup"}))),), ["blue define autostart"]),
        ((COMPLETE, PresentNetwork(replace(NAT, name="other"))), []),
    ],
)
def test_each_subnet_is_a_network(present: tuple[PresentNetwork, ...], expected: list[str]) -> None:
    planned = plan({"blue"}, present, "br-int")
    assert steps(planned) == expected
    assert planned.clashes == ()


def test_removed_with_the_subnet() -> None:
    """Also one that its administrator has stopped, or undefined."""
    assert steps(plan((), [COMPLETE], "br-int")) == ["blue stop undefine"]
    assert steps(plan((), [replace(COMPLETE, live=None)], "br-int")) == ["blue undefine"]
    assert steps(plan((), [replace(COMPLETE, is_persistent=False)], "br-int")) == ["blue stop"]


@pytest.mark.parametrize("live", [NAT, None])
def test_a_foreign_network_is_left_alone(live: LibvirtNetwork | None) -> None:
    assert plan({"blue"}, [PresentNetwork(NAT, live)], "br-int") == NetworkPlan((), ("blue",), ("blue",))
    assert plan((), [PresentNetwork(NAT, live)], "br-int") == NetworkPlan((), ("blue",))


def test_a_foreign_network_on_the_integration_bridge_is_as_good() -> None:
    own = replace(NAT, forward="bridge", bridge="br-int", openvswitch=True, further=frozenset({"portgroup"}))
    assert plan({"blue"}, [PresentNetwork(own)], "br-int") == NetworkPlan()


@pytest.mark.parametrize("copy", [replace(BLUE, name="copy"), replace(BLUE, uuid=NAT.uuid), replace(BLUE, subnet="")])
def test_a_copy_belongs_to_who_made_it(copy: LibvirtNetwork) -> None:
    """Its metadata came with the rest; who removes the metadata keeps the network."""
    assert not copy.is_of("blue")
    assert not copy.is_of("copy")
    assert plan((), [PresentNetwork(copy, copy)], "br-int") == NetworkPlan()
