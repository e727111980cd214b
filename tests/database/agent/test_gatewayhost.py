"""The agent of a gateway host: follows subnets, routers and the host's own network, in a namespace."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from netaddr import IPNetwork

from lab.waiting import HANG, until
from ovnhook.agent.gatewayhost import GatewayHost
from ovnhook.agent.hostview import NetworkListeners
from ovnhook.base.command import run, succeeds
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork.forwarding import ForwardingSettings
from ovnhook.hostnetwork.gatewaylink import GatewayLink
from ovnhook.hostnetwork.networkevents import NetworkEvents
from ovnhook.resources.hostvalues import HostRouter, HostSubnet
from ovnhook.resources.router import hostlink
from ovnhook.resources.router.values import Router
from tests.database.hostnetwork.places import Place

HOST = HostRouter.of(Router("gateway", hostlink.external_gateway([])))
BLUE = HostSubnet("blue", 1442, (IPNetwork("10.1.0.0/24"), IPNetwork("fd00:1::/64")), router="gateway")
RED = HostSubnet("red", 1442, (IPNetwork("10.2.0.0/24"),), router="other")


@dataclass
class Told:
    """Subnets and routers as a control service tells them."""

    known: HostNetworks | None = None
    changed: Callable[[], None] = lambda: None

    def listen(self, listeners: NetworkListeners) -> None:
        """See KnownNetworks."""
        self.changed = listeners.networks_changed

    def networks(self) -> HostNetworks | None:
        """See KnownNetworks."""
        return self.known

    def tell(self, *values: HostSubnet | HostRouter) -> None:
        """These are all now."""
        self.known = HostNetworks.of("hv1", values)
        self.changed()


@pytest.fixture
def host() -> Iterator[Place]:
    """A host with a link, and a default route."""
    with Place(f"{os.getpid()}-hostgw-agent") as host, Place(f"{os.getpid()}-hostgw-wire") as wire:
        host.connect_to(wire, "br-host", "eth0")
        host.connect_to(wire, "up0", "eth1")
        host.ip("address", "add", "203.0.113.10/24", "dev", "up0")
        host.ip("route", "add", "default", "via", "203.0.113.1")
        yield host


@contextmanager
def running(host: Place, told: Told, folder: Path) -> Iterator[GatewayHost]:
    """The agent's part runs on the host inside."""
    link = GatewayLink(ForwardingSettings(record=folder / "forwarding"), folder / "lock")
    part = host.call(lambda: GatewayHost(told, link))
    thread = threading.Thread(target=host.call, args=(part.run,), daemon=True)
    thread.start()
    try:
        yield part
    finally:
        part.stop()
        thread.join(HANG)
        assert not thread.is_alive()


def routes(host: Place) -> list[str]:
    """Networks that the host has a route to by our protocol number."""
    lines = [line for version in "46" for line in host.ip(f"-{version}", "route", "show", "proto", "111").splitlines()]
    return [line.split()[0] for line in lines]


def test_subnets_and_addresses_are_followed(host: Place, tmp_path: Path) -> None:
    """Routes to subnets whose router uses the host, and to no other; with the host's present address."""
    told = Told()
    with running(host, told, tmp_path) as part:
        until(lambda: part.state.is_present, HANG, "the link")
        assert routes(host) == []
        told.tell(BLUE, RED, HOST, HostRouter("other"))
        until(lambda: routes(host) == ["10.1.0.0/24", "fd00:1::/64"], HANG, "its routes")
        told.tell(RED, HOST, HostRouter("other"))
        until(lambda: routes(host) == [], HANG, "no routes")
        told.tell(BLUE, HOST)
        until(lambda: len(routes(host)) == 2, HANG, "its routes")
        host.ip("address", "add", "203.0.113.11/32", "dev", "lo")
        host.ip("route", "replace", "default", "via", "203.0.113.1", "src", "203.0.113.11")
        until(lambda: "src 203.0.113.11" in host.ip("route", "show", "10.1.0.0/24"), HANG, "the new address")
        told.known = None  # the control service is away
        host.ip("address", "del", "169.254.186.1/24", "dev", "br-host")
        until(lambda: "169.254.186.1" in host.ip("address", "show", "dev", "br-host"), HANG, "a repair")
        host.call(lambda: run("nft", "flush", "ruleset"))
        listed = ("nft", "list", "table", "inet", "ovnhook_gateway")
        until(lambda: host.call(lambda: succeeds(*listed)), HANG, "the packet filter")
        host.setting("ipv4/conf/br-host/forwarding", "0")
        until(lambda: host.setting("ipv4/conf/br-host/forwarding") == "1", HANG, "forwarding")
        assert part.problems == ()
        host.ip("route", "del", "default")
        until(lambda: part.problems != (), HANG, "a problem")
        assert part.check()[0].difference.what.startswith("it has no IPv4 default route")
        host.ip("link", "del", "br-host")
        told.changed()
        until(lambda: not part.state.is_present, HANG, "no link")
        assert part.problems == ()


def test_what_wakes_it(host: Place) -> None:
    """Not a guest's interface that comes and goes."""
    woken = threading.Event()
    events = host.call(lambda: NetworkEvents("ovnhook_gateway", lambda index: index < 0))

    def watch() -> None:
        events.wait(HANG)
        woken.set()

    thread = threading.Thread(target=watch)
    thread.start()
    with Place(f"{os.getpid()}-hostgw-guest") as guest:
        host.connect_to(guest, "vnet0", "eth0")
        host.ip("address", "add", "fe80::1/64", "dev", "vnet0", "nodad")
        host.call(lambda: run("nft", "add table inet other; delete table inet other"))
    assert not woken.is_set()
    host.ip("route", "add", "198.51.100.0/24", "via", "203.0.113.9")
    assert woken.wait(HANG)
    thread.join()
    events.close()
