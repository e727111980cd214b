"""Taps of domains in real Open vSwitch databases: bound, marked, plugged, and taken away again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from ovnhook.base.deadline import Deadline
from ovnhook.databases.vswitch import Binding
from ovnhook.domains.values import Domain, InterfaceType, Tap
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import (
    IDS,
    MACS,
    MAIL,
    WEB,
    Hypervisors,
    domain,
    interface,
    soon,
)
from tests.database.ovsdb_server import Server


def test_taps_that_libvirt_binds_are_left_to_it(world: Hypervisors, hv1: DirectHost) -> None:
    """A bridge's interface with an id of its own is libvirt's to plug: it is marked, once, and while it runs mended."""
    vswitch = world.vswitches["hv1"]
    before = vswitch.dump(versions=True)
    wanted = domain(interface(id=IDS[1], tap="vnet0"))
    hv1.attach(wanted, soon())
    assert vswitch.dump(versions=True) == before
    hv1.attach(wanted, soon(), running=True)
    assert hv1.vswitch.taps(soon()) == {"vnet0": Tap(IDS[1], str(WEB), MACS[0], ours=True)}
    rows = vswitch.dump(versions=True)
    hv1.attach(wanted, soon())
    assert vswitch.dump(versions=True) == rows


@pytest.mark.parametrize("end", [DirectHost.detach, DirectHost.roll_back])
def test_a_tap_that_libvirt_gave_up_goes_when_its_domain_does(
    world: Hypervisors, hv1: DirectHost, end: Callable[[DirectHost, Domain, Deadline], None]
) -> None:
    """It waits 5 seconds for Open vSwitch, and leaves what it asked for behind; another domain's stays."""
    vswitch = world.vswitches["hv1"]
    bridged = vswitch.dump()
    _plug_as_libvirt(vswitch, "vnet0", IDS[0])
    _plug_as_libvirt(vswitch, "vnet1", IDS[1], MAIL)
    end(hv1, domain(interface(id=IDS[1])), soon())
    assert hv1.vswitch.taps(soon()).keys() == {"vnet1"}
    end(hv1, replace(domain(interface(id=IDS[1])), uuid=MAIL), soon())
    assert vswitch.dump() == bridged


def test_taps_that_somebody_else_binds_at_the_same_time(
    world: Hypervisors, hv1: DirectHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a hook does that has given up waiting for its agent, which works on: again and again, and neither fails."""
    other = world.host("hv1").vswitch
    binding = Binding("vnet0", IDS[1], MACS[0], WEB)
    transact = hv1.vswitch.database.transact
    raced: list[Any] = []

    def race(operations: Sequence[Any], deadline: Deadline) -> Any:
        if len(raced) < 3 and any(operation["op"] == "insert" for operation in operations):
            raced.append(operations)
            other.bind([binding], deadline)
            try:
                return transact(operations, deadline)
            finally:
                other.unbind(WEB, deadline)
        return transact(operations, deadline)

    monkeypatch.setattr(hv1.vswitch.database, "transact", race)
    hv1.vswitch.bind([binding], soon())
    assert len(raced) == 3
    assert hv1.vswitch.taps(soon()).keys() == {"vnet0"}


def test_a_tap_of_type_ethernet_is_plugged_and_unplugged(world: Hypervisors, hv1: DirectHost) -> None:
    """libvirt attaches it to nothing: we make its port on the bridge, and take it away again."""
    vswitch = world.vswitches["hv1"]
    before = vswitch.dump()
    wanted = domain(replace(interface(tap="vnet-7.1"), kind=InterfaceType.ETHERNET))
    hv1.attach(wanted, soon())
    rows = vswitch.dump()
    (tap,) = (row for row in rows["Interface"].values() if row["name"] == "vnet-7.1")
    ids = dict(tap["external_ids"][1])
    assert (ids["iface-id"], ids["attached-mac"], ids["vm-id"]) == (world.ports[0].id, MACS[0], str(WEB))
    (port,) = (row for row in rows["Port"].values() if row["name"] == "vnet-7.1")
    (bridge,) = rows["Bridge"].values()
    assert port["_uuid"] in bridge["ports"][1]
    assert ["transient", "true"] in port["other_config"][1]
    hv1.detach(wanted, soon())
    assert vswitch.dump() == before


@pytest.mark.parametrize("kind", [InterfaceType.NETWORK, InterfaceType.BRIDGE])
def test_a_tap_with_an_id_of_libvirts_making_gets_ours(
    world: Hypervisors, hv1: DirectHost, kind: InterfaceType
) -> None:
    """A network's interface has a new id at each start: the tap is told our port's name."""
    vswitch = world.vswitches["hv1"]
    _plug_as_libvirt(vswitch, "vnet0", "made-up")
    wanted = domain(replace(interface(tap="vnet0"), kind=kind))
    hv1.attach(wanted, soon())
    (tap,) = (row for row in vswitch.dump()["Interface"].values() if row["name"] == "vnet0")
    assert dict(tap["external_ids"][1])["iface-id"] == world.ports[0].id


def _plug_as_libvirt(vswitch: Server, device: str, iface_id: str, owner: UUID = WEB) -> None:
    """What libvirt's ovs-vsctl leaves before the start hook."""
    ids = ["map", [["iface-id", iface_id], ["iface-status", "active"], ["vm-id", str(owner)]]]
    interface_row = {"name": device, "external_ids": ids}
    port_row = {"name": device, "interfaces": ["named-uuid", "i"]}
    join = ["ports", "insert", ["set", [["named-uuid", "p"]]]]
    vswitch.transact(
        {"op": "insert", "table": "Interface", "uuid-name": "i", "row": interface_row},
        {"op": "insert", "table": "Port", "uuid-name": "p", "row": port_row},
        {"op": "mutate", "table": "Bridge", "where": [["name", "==", "br-int"]], "mutations": [join]},
    )
