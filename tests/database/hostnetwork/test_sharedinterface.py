"""A macvlan interface on an interface with the host's addresses, as its unit makes it, in namespaces."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.hostnetwork import sharedinterface
from ovnhook.hostnetwork.sharedinterface import DEVICE
from tests.database.hostnetwork.places import Place

UNIT = Path(__file__).parents[3] / "packaging/debian/ovnhook-hypervisor.ovnhook-macvlan@.service"
ROUTER = "0a:00:00:00:00:01"


@pytest.fixture
def places() -> Iterator[tuple[Place, Place]]:
    """A host with an address on its only interface, and one outside."""
    with Place(f"host{os.getpid()}") as host, Place(f"out{os.getpid()}") as outside:
        host.connect_to(outside, "eth0", "eth0")
        host.ip("address", "add", "203.0.113.5/24", "dev", "eth0")
        outside.ip("address", "add", "203.0.113.254/24", "dev", "eth0")
        yield host, outside


def start(host: Place) -> None:
    """Run the commands of the unit; the first one may fail."""
    for minus, command in re.findall(r"^ExecStart=(-?)/sbin/ip (.*)$", UNIT.read_text(), re.MULTILINE):
        try:
            host.ip(*command.replace("%I", "eth0").split())
        except subprocess.CalledProcessError:
            if not minus:
                raise


def lower(host: Place) -> str:
    """The interface below."""
    return host.call(lambda: sharedinterface.lower(Deadline.after(HANG)))


def set_mac(host: Place) -> bool:
    """Give it the router's MAC address."""
    return host.call(lambda: sharedinterface.set_mac(ROUTER, Deadline.after(HANG)))


def test_it_changes_nothing_of_the_host(places: tuple[Place, Place]) -> None:
    """Addresses and routes stay; it has none, and does not answer ARP requests at the router's MAC address."""
    host, outside = places
    assert (lower(host), set_mac(host)) == ("", False)
    before = host.ip("route")
    for _ in range(2):
        start(host)
        assert (lower(host), set_mac(host)) == ("eth0", True)
    assert host.ip("route") == before
    assert host.ip("-6", "route", "show", "dev", DEVICE) == ""
    (link,) = json.loads(host.ip("-json", "address", "show", "dev", DEVICE))
    assert (link["address"], link["addr_info"], "NOARP" in link["flags"]) == (ROUTER, [], True)
    server = host.listen("203.0.113.5")
    with server:
        assert outside.connect(server) == ("203.0.113.254", "203.0.113.254")
    (neighbour,) = json.loads(outside.ip("-json", "neigh", "show", "203.0.113.5"))
    assert neighbour["lladdr"] != ROUTER


def test_an_interface_of_that_name_that_is_another(places: tuple[Place, Place]) -> None:
    """It is left alone."""
    host, _ = places
    host.ip("link", "add", DEVICE, "type", "bridge")
    before = host.ip("link", "show", "dev", DEVICE)
    assert (lower(host), set_mac(host)) == ("", False)
    assert host.ip("link", "show", "dev", DEVICE) == before
