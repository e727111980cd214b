"""Rate limits of ports: their rows, which follow metadata and subnet, and are restored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ovnhook.base import uuids
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import as_map, as_set, map_of, set_of
from ovnhook.resources.limits import NONE, Limits
from ovnhook.resources.port.options import PortOptions
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import WEB, Hypervisors, attach, differing, domain, interface, soon
from tests.database.ovsdb_server import Server, wait_for
from tests.database.southbound_rows import add_chassis

ROWS = {"inbound": ("to-lport", "outport"), "outbound": ("from-lport", "inport")}


def asking(limits: Limits, subnet: str = "blue", tap: str = "vnet0") -> Domain:
    """A domain whose interface requests these limits."""
    one = interface(subnet=subnet, tap=tap)
    return domain(replace(one, request=replace(one.request, options=PortOptions(limits=limits))))


def meters(server: Server) -> dict[tuple[str, str], dict[str, Any]]:
    """Meters of all QoS rows, by direction and match; each is of one switch."""
    found = server.dump()
    referred = [uuid for row in found["Logical_Switch"].values() for _, uuid in set_of(row["qos_rules"])]
    assert sorted(referred) == sorted(found["QoS"])
    return {(row["direction"], row["match"]): map_of(row["bandwidth"]) for row in found["QoS"].values()}


def expected(port: str, **kbit: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Meters of a port."""
    rows = {way: (direction, f'{field} == "{port}"') for way, (direction, field) in ROWS.items()}
    return {rows[way]: {"rate": rate, "burst": max(600, rate * 8 // 10)} for way, rate in kbit.items()}


def test_they_follow_the_metadata(world: Hypervisors, hv1: DirectHost) -> None:
    """At a start, of a running domain, through a migration; nothing is left of a port without, or that is gone."""
    hv2 = world.host("hv2")
    both = asking(Limits("2M", "1M"))
    hv1.attach(both, soon())
    (port,) = world.ports
    assert meters(world.server) == expected(port.id, inbound=2000, outbound=1000)
    before = world.exact()
    hv1.attach(both, soon())
    assert world.exact() == before
    for limits, found in (
        (Limits("3M", "1M"), expected(port.id, inbound=3000, outbound=1000)),
        (Limits("", "500k"), expected(port.id, outbound=500)),
        (Limits(), {}),
        (Limits(NONE, "1M"), expected(port.id, outbound=1000)),
    ):
        wanted = asking(limits)
        assert len(differing(world, hv1, wanted)) == 1
        attach(hv1, wanted)
        assert meters(world.server) == found
        assert differing(world, hv1, wanted) == []
    hv2.announce(Domain(WEB, "web1"), soon())
    assert hv2.attach(asking(Limits(NONE, "1M"), tap=""), soon()).arrives
    hv2.finish_migration(WEB, soon())
    assert meters(world.server) == expected(port.id, outbound=1000)
    hv2.detach(both, soon())
    assert meters(world.server) == {}


def test_another_subnet(world: Hypervisors, hv1: DirectHost) -> None:
    """They move there with the port."""
    hv1.attach(asking(Limits("2M")), soon())
    hv1.attach(asking(Limits("2M"), "default"), soon())
    (port,) = world.ports
    assert port.subnet == "default"
    assert meters(world.server) == expected(port.id, inbound=2000)
    (switch,) = (row for row in world.server.dump()["Logical_Switch"].values() if set_of(row["qos_rules"]))
    assert switch["name"] == "default"


@pytest.fixture
def cloud(control: Control) -> Control:
    """A control service with a host and a subnet."""
    add_chassis(control.southbound, "hv1", options="")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default", "--limit-outbound", "1000k")
    return control


def create(control: Control, name: str, *options: str) -> str:
    """Create a client port, and return its ID."""
    made = control.done("port", "create", name, "--host", "hv1", *options, "--format", "json").json
    return str(made["id"])


def test_a_default_of_the_subnet(cloud: Control) -> None:
    """Each port has it as a limit of its own, unless it requests another; it changes for those that there are."""
    plain, own, free = (
        create(cloud, "plain"),
        create(cloud, "own", "--limit-inbound", "5M", "--limit-outbound", "3M"),
        create(cloud, "free", "--limit-outbound", NONE),
    )
    of_own = expected(own, inbound=5000, outbound=3000)
    assert meters(cloud.northbound) == expected(plain, outbound=1000) | of_own
    cloud.done("subnet", "set", "blue", "--limit-inbound", "4M")
    assert meters(cloud.northbound) == {
        **expected(plain, inbound=4000, outbound=1000),
        **of_own,
        **expected(free, inbound=4000),
    }
    shown = {row["domain_name"]: row for row in cloud.done("port", "list", "--format", "json").json}
    assert [
        (one["limit_inbound"], one["limit_outbound"]) for one in map(shown.get, ("plain", "own", "free")) if one
    ] == [
        ("4M", "1M"),
        ("5M", "3M"),
        ("4M", ""),
    ]
    cloud.done("subnet", "set", "blue", "--no-limit-inbound", "--no-limit-outbound")
    assert meters(cloud.northbound) == of_own
    create(cloud, "own", "--limit-inbound", "5M", "--limit-outbound", "3M")
    error, _ = cloud.refused(4, "port", "create", "own", "--host", "hv1", "--limit-inbound", "5M")
    assert 'limit-inbound="5M" limit-outbound="3M", not limit-inbound="5M"' in error
    error, _ = cloud.refused(2, "subnet", "set", "blue", "--limit-inbound", "fast")
    assert error.startswith("subnet blue: limit-inbound='fast': expected bits per second")
    for name in ("plain", "own", "free"):
        cloud.done("port", "delete", name)
    assert meters(cloud.northbound) == {}


def qos(control: Control, *operations: dict[str, Any]) -> None:
    """Change QoS rows by hand."""
    for done in control.northbound.transact(*({"table": "QoS", "where": [], **one} for one in operations)):
        assert done["count"] == 1


def forget(control: Control) -> None:
    """Delete the row."""
    switch = [["_uuid", "==", ["uuid", str(uuids.switch("blue"))]]]
    control.northbound.transact(
        {"op": "update", "table": "Logical_Switch", "where": switch, "row": {"qos_rules": as_set(())}}
    )


def leave(control: Control) -> None:
    """Delete a port, as a control service of an earlier version does."""
    switch = [["_uuid", "==", ["uuid", str(uuids.switch("blue"))]]]
    rows = control.northbound.dump()["Logical_Switch_Port"].items()
    (port,) = (uuid for uuid, row in rows if map_of(row["external_ids"])["ovnhook:kind"] == "port")
    mutations = [["ports", "delete", ["uuid", port]]]
    control.northbound.transact({"op": "mutate", "table": "Logical_Switch", "where": switch, "mutations": mutations})


def outdate(control: Control) -> None:
    """Write the settings of the subnet, but not its ports, as with a port that is created meanwhile."""
    switch = [["_uuid", "==", ["uuid", str(uuids.switch("blue"))]]]
    mutations = [
        ["external_ids", "delete", as_set(["ovnhook:limit-outbound"])],
        ["external_ids", "insert", as_map({"ovnhook:limit-outbound": "7M"})],
    ]
    control.northbound.transact({"op": "mutate", "table": "Logical_Switch", "where": switch, "mutations": mutations})


ACCIDENTS: dict[str, tuple[Callable[[Control], None], dict[str, int]]] = {
    "deleted": (forget, {"outbound": 1000}),
    "rate": (
        lambda control: qos(control, {"op": "update", "row": {"bandwidth": ["map", [["rate", 9]]]}}),
        {"outbound": 1000},
    ),
    "match": (lambda control: qos(control, {"op": "update", "row": {"match": "1"}}), {"outbound": 1000}),
    "subnet": (outdate, {"outbound": 7000}),
    "port": (leave, {}),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_what_differs_is_repaired(cloud: Control, accident: str, caplog: pytest.LogCaptureFixture) -> None:
    """By the control service, in seconds; the log says what it was."""
    port = create(cloud, "plain")
    happens, after = ACCIDENTS[accident]
    assert meters(cloud.northbound) == expected(port, outbound=1000)
    happens(cloud)
    assert meters(cloud.northbound) != expected(port, **after) or accident == "port"
    wait_for(lambda: meters(cloud.northbound) == expected(port, **after))
    wait_for(lambda: "limits" in caplog.text)
    assert "not repaired" not in caplog.text
