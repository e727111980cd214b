"""The interface for the external network: which one is taken, and on which bridge."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ovnhook.base.errors import FailedPrecondition
from ovnhook.setup import uplink


def link(name: str = "eth1", **values: Any) -> uplink.Link:
    return replace(uplink.Link(name, is_up=False, is_loopback=False, master="", addresses=()), **values)


def test_an_interface_is_read() -> None:
    said = [
        {},
        {
            "ifname": "eth1",
            "flags": ["BROADCAST", "UP", "LOWER_UP"],
            "master": "ovs-system",
            "addr_info": [
                {"family": "inet", "local": "203.0.113.5", "prefixlen": 24, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        },
    ]
    assert uplink.parse(json.dumps(said)) == link(is_up=True, master="ovs-system", addresses=("203.0.113.5/24",))


@pytest.mark.parametrize(
    ("found", "present"),
    [
        (link(), ""),
        (link(master="ovs-system"), "br-ex"),
        (link(addresses=("203.0.113.5/24",)), "br-ex"),  # what is done is not undone
        (link(addresses=("203.0.113.5/24", "2001:db8::5/64")), ""),  # they stay there
    ],
)
def test_a_free_interface_is_taken(found: uplink.Link, present: str) -> None:
    uplink.check(found, "br-ex", present)


@pytest.mark.parametrize(
    ("found", "present", "why"),
    [
        (link("lo", is_loopback=True), "", "is a loopback interface"),
        (link(master="bond0"), "", "is already in bond0"),
        (link(master="ovs-system"), "br-lan", "is already in br-lan"),
    ],
)
def test_an_interface_that_is_needed_is_refused(found: uplink.Link, present: str, why: str) -> None:
    with pytest.raises(FailedPrecondition, match=why):
        uplink.check(found, "br-ex", present)


@pytest.mark.parametrize(
    ("mappings", "bridge"),
    [("", "br-ex"), ("external:br-wan", "br-wan"), ("lan:br-lan, external:br-wan", "br-wan"), ("lan:br-lan", "br-ex")],
)
def test_the_bridge_for_the_network_outside(mappings: str, bridge: str) -> None:
    assert uplink.bridge_of(mappings) == bridge
