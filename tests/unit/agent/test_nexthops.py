"""Next hops that never answer: asked, and reported after a while."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress

from ovnhook.agent.nexthops import NextHops
from ovnhook.base.errors import OvnhookError
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork import arprequest
from ovnhook.hostnetwork.arprequest import ArpRequest
from ovnhook.resources.chassis import NextHop
from ovnhook.resources.hostvalues import HostRouter
from ovnhook.resources.router.values import InterfaceAddress
from tests.clock import Clock

ROUTER = HostRouter(
    "gateway",
    "external",
    addresses=(InterfaceAddress(IPAddress("203.0.113.10"), 24), InterfaceAddress(IPAddress("2001:db8::10"), 64)),
    next_hops=(IPAddress("203.0.113.1"), IPAddress("2001:db8::1")),
    mac="0a:00:00:00:00:01",
)
OTHERS = (
    HostRouter("alone"),
    replace(ROUTER, name="elsewhere", physical_network="lan"),
    replace(ROUTER, name="through-host", physical_network="host"),
)
HOP = NextHop("gateway", "203.0.113.1")
BRIDGES = {"external": "br-ex", "host": "br-host"}


def test_a_request() -> None:
    """As RFC 826 has it, with a tag in a VLAN."""
    request = ArpRequest("0a:00:00:00:00:01", IPAddress("203.0.113.10"), IPAddress("203.0.113.1"))
    body = "0806000108000604" + "0001" + "0a0000000001" + "cb00710a" + "000000000000" + "cb007101"
    assert request.frame().hex() == "ffffffffffff" + "0a0000000001" + body
    assert replace(request, vlan=7).frame().hex() == "ffffffffffff" + "0a0000000001" + "81000007" + body


def test_a_next_hop_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked at each heartbeat, reported from the third on, and no more when it has answered."""
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr(arprequest, "send", lambda one, *places: sent.append((str(one.target), *places)))
    clock = Clock()
    networks = HostNetworks(routers={one.name: one for one in (ROUTER, *OTHERS)})
    hops = NextHops(lambda: networks, "br-int", clock)
    assert hops.of(BRIDGES) == [HOP]
    for problems in (0, 0, 1):
        hops.ask([HOP], BRIDGES)
        assert len(hops.problems) == problems
        clock.now += 30
    assert sent == [("203.0.113.1", "localnet:gateway", "br-ex", "br-int")] * 3
    assert hops.problems[0].startswith(
        "next hop 203.0.113.1 of router gateway has never answered ARP requests from 0a:00:00:00:00:01: "
    )
    hops.ask([], BRIDGES)
    assert hops.problems == ()
    hops.ask([HOP], BRIDGES)
    assert hops.problems == ()


def test_a_host_that_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No router, no bridge, or none of ovn-controller's ports: nobody is asked."""

    def send(*_: object) -> None:
        raise OvnhookError("no such port")

    monkeypatch.setattr(arprequest, "send", send)
    unknown = NextHops(lambda: None, "br-int")
    assert unknown.of(BRIDGES) == []
    unknown.ask([HOP], BRIDGES)
    known = NextHops(lambda: HostNetworks(routers={"gateway": ROUTER}), "br-int")
    known.ask([HOP], {})
    known.ask([HOP], BRIDGES)
    assert (unknown.problems, known.problems) == ((), ())
