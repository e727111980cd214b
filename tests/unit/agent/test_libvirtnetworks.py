"""Networks of subnets in libvirt's test driver, which defines, starts and removes networks as libvirtd does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

pytest.importorskip("libvirt")  # which PyPI's newest needs libvirt's headers for

import libvirt

from lab.waiting import HANG, until
from ovnhook.agent import libvirtevents
from ovnhook.agent.libvirtnetworks import LibvirtNetworks
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.domains.inventory import HostNetworks
from ovnhook.resources.hostvalues import HostSubnet
from ovnhook.resources.subnet.values import isolated_subnet

ISOLATED = isolated_subnet(UUID("b0b760f6-c243-4921-961b-fb38061dec03"))
"""The subnet of a single domain."""
FOREIGN = "<network><name>green</name><bridge name='virbr7'/></network>"


def _state(network: libvirt.virNetwork) -> str:
    states = {"active": network.isActive(), "persistent": network.isPersistent(), "autostart": network.autostart()}
    return " ".join(name for name, is_so in states.items() if is_so)


class NetworkHost:
    """A host's networks, and subnets that the test has."""

    def __init__(self, connection: libvirt.virConnect) -> None:
        self.connection = connection
        self.subnets: set[str] | None = {"blue"}
        self.networks = LibvirtNetworks(Config(), self.known, lambda: None)

    def known(self) -> HostNetworks | None:
        """The subnets, as the control service tells them."""
        if self.subnets is None:
            return None
        return HostNetworks({name: HostSubnet(name, 1442) for name in (*self.subnets, ISOLATED)})

    def scan(self) -> None:
        """Compare and change until nothing is left to do."""
        self.networks.scan()
        self.networks.scan()

    @property
    def states(self) -> dict[str, str]:
        """Names and states of all networks but the driver's own."""
        return {one.name(): _state(one) for one in self.connection.listAllNetworks() if one.name() != "default"}

    def look_up(self, name: str) -> libvirt.virNetwork:
        """A network."""
        return self.connection.networkLookupByName(name)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[NetworkHost]:
    """A host without networks of subnets."""
    monkeypatch.setattr(libvirtevents, "_URI", "test:///default")
    # Missing in libvirt's test driver.
    monkeypatch.setattr(libvirt, "VIR_NETWORK_XML_INACTIVE", 0)
    for missing in ("setKeepAlive", "registerCloseCallback"):
        monkeypatch.setattr(libvirt.virConnect, missing, lambda *_: 0)
    libvirtevents._start_loop()
    connection = libvirt.open("test:///default")
    made = NetworkHost(connection)
    yield made
    for network in connection.listAllNetworks():
        if network.name() != "default":
            if network.isActive():
                network.destroy()
            if network.name() in made.states:
                network.undefine()


COMPLETE = "active persistent autostart"


def test_follow_the_subnets(host: NetworkHost) -> None:
    host.subnets = None  # not known yet
    host.scan()
    assert host.states == {}
    host.subnets = {"blue", "red"}
    host.scan()
    assert host.states == {"blue": COMPLETE, "red": COMPLETE}
    assert host.look_up("blue").UUID() == uuids.network("blue").bytes
    assert "urn:ovnhook:network:1" in host.look_up("blue").XMLDesc()
    host.subnets = {"red"}
    host.scan()
    assert host.states == {"red": COMPLETE}
    host.subnets = None  # the control service is away
    host.scan()
    assert host.states == {"red": COMPLETE}


def test_restore_what_a_user_changes(host: NetworkHost) -> None:
    host.scan()
    host.look_up("blue").destroy()
    host.scan()
    assert host.states == {"blue": COMPLETE}
    host.look_up("blue").destroy()
    host.look_up("blue").undefine()
    host.scan()
    assert host.states == {"blue": COMPLETE}
    host.look_up("blue").setAutostart(0)
    host.scan()
    assert host.states == {"blue": COMPLETE}
    assert host.networks.problems == ()


def test_a_foreign_network_is_reported(host: NetworkHost) -> None:
    host.connection.networkDefineXML(FOREIGN)
    host.subnets = {"green"}
    host.scan()
    assert host.states == {"green": "persistent"}
    assert host.networks.foreign == ("default", "green")  # the driver has a NAT network default, as libvirt has
    (problem,) = host.networks.problems
    assert problem == "libvirt network 'green' is not subnet green: rename it, or 'virsh net-undefine green'"
    assert [str(one.difference) for one in host.networks.check()] == ["libvirt network 'green' is not subnet green"]
    host.look_up("green").undefine()
    host.scan()
    assert host.states == {"green": COMPLETE}
    assert host.networks.problems == ()


def test_a_change_that_fails_is_reported_and_blocks_no_other(
    host: NetworkHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here another network has the UUID."""
    taken = f"<network><name>copy</name><uuid>{uuids.network('blue')}</uuid><bridge name='virbr8'/></network>"
    host.connection.networkDefineXML(taken)
    host.subnets = {"blue", "red"}
    for _ in range(3):
        monkeypatch.setattr(host.networks._failures, "_clock", lambda: float("inf"))
        host.networks.scan()
    assert host.states == {"copy": "persistent", "red": COMPLETE}
    (problem,) = host.networks.problems
    assert problem.startswith("libvirt network 'blue' can't be changed: ")
    assert "copy" in problem


def test_switched_off(host: NetworkHost) -> None:
    """Also while nobody knows the subnets."""
    host.scan()
    host.subnets = None
    host.networks = LibvirtNetworks(Config(libvirt_networks=False), host.known, lambda: None)
    host.scan()
    assert host.states == {}


def test_events_cause_scans(host: NetworkHost) -> None:
    thread = threading.Thread(target=host.networks.run)
    thread.start()
    try:
        until(lambda: host.states == {"blue": COMPLETE}, HANG, "the network")
        host.look_up("blue").destroy()
        until(lambda: host.states == {"blue": COMPLETE}, HANG, "the network to be started again")
    finally:
        host.networks.stop()
        thread.join()
