"""One host whose only network interface is that of the external network, too, set up over ssh."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.machines import installation
from tests.machines.nested_guest import NestedGuest
from tests.machines.virtual_machine import VirtualMachine
from tests.machines.wire import INTERNET, ROUTER
from tests.packages.machine import packages

ADDRESS = "192.0.2.200"
INIT = f"ovnhook node init --all-in-one --external-interface eth0 --external-cidr {ADDRESS}/24 --next-hop {ROUTER}"
MONITOR = "ip -o monitor address route >/run/monitor 2>&1 &"


@pytest.fixture(scope="module")
def host(machines: Callable[..., list[VirtualMachine]]) -> VirtualMachine:
    """A host that is set up; since before its first command it notes what changes of addresses and routes."""
    (machine,) = machines("hv1")
    machine.run(MONITOR)
    installation.install(machine, packages())
    installation.init(machine, INIT)
    return machine


def test_network_of_the_host(host: VirtualMachine) -> None:
    """Set-up over ssh leaves the address, the default route and the connection of a shared interface as they were."""
    assert re.findall(r"^Deleted .*\beth0\b.*$", host.run("cat /run/monitor"), re.MULTILINE) == []
    assert host.is_connected()
    assert f"inet {host.address}/24" in host.run("ip address show dev eth0")
    assert "macvlan mode bridge" in host.run("ip -details link show dev ovnhook-ex")
    assert "inet" not in host.run("ip address show dev ovnhook-ex")
    assert installation.init(host, INIT) == []
    assert installation.denied(host) == []


def test_guests_reach_the_internet(host: VirtualMachine) -> None:
    """Guests reach the Internet by a shared interface, with the router's address; the next hop answers."""
    guest = NestedGuest("web1", host)
    guest.define()
    guest.start()
    guest.reaches(INTERNET)
    assert ADDRESS in guest.run(f"nc -w 60 {INTERNET} 7 </dev/null")
    assert ROUTER in host.run(f"ovn-sbctl --bare --columns=ip find MAC_Binding ip={ROUTER}")
    assert "next hop" not in host.run("ovnhook status", check=False)
