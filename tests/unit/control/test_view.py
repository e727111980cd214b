"""The view that watchers are told of: what it costs, counted and not timed, and that it is right all the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.control import view as views
from ovnhook.control.service import shows
from ovnhook.control.services import SERVICES, leases, ports, routers, subnets
from ovnhook.control.view import View
from ovnhook.ovsdb.operation import Row, as_map
from ovnhook.ovsdb.replica import RowDifference
from ovnhook.resources import tables
from ovnhook.resources.lease.rows import lease_columns
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.rows import port_columns, port_ids
from ovnhook.resources.port.values import Port
from ovnhook.resources.registry import registry_columns
from ovnhook.resources.router.rows import router_ids
from ovnhook.resources.router.values import Router
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet.rows import subnet_ids
from ovnhook.resources.subnet.values import Subnet

MANY = 10_000
BLUE = Subnet(
    name="blue",
    cidr=IPNetwork("10.0.0.0/16"),
    gateway=IPAddress("10.0.0.1"),
    router="gateway",
    mtu=1442,
    cidr6=IPNetwork("fd00::/64"),
    gateway6=IPAddress("fd00::1"),
)


def lease(number: int, subnet: str = "blue", *, v6: bool = False, mac: str = "") -> Lease:
    """A lease of a domain of its own."""
    where = IPAddress(f"fd00::{number + 2:x}") if v6 else BLUE.cidr[number + 2]
    mac = mac or f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    return Lease(subnet, where, UUID(int=number), f"vm{number}", mac, f"vm{number}", "hv1", "run")


def port(number: int) -> Port:
    """The port of such a domain."""
    one = lease(number)
    return Port(f"if-{number}", "blue", one.mac, (one.address,), one.domain, one.domain_name, "hv1")


def row_of(one: Any) -> tuple[str, str, Row]:
    """Table, UUID and row of a value, as the database tells them."""
    match one:
        case Lease():
            return tables.DNS, str(one.uuid), lease_columns(one)
        case Port():
            columns = port_columns(one)
            row = {"name": columns["name"], "addresses": columns["addresses"], "up": True}
            return tables.PORT, str(one.uuid), {**row, "external_ids": as_map(port_ids(one))}
        case Subnet():
            return tables.SWITCH, str(one.uuid), {"external_ids": as_map(subnet_ids(one))}
        case Router():
            ids = as_map(router_ids(one))
            return tables.ROUTER, str(uuid5(UUID(int=1), one.name)), {"external_ids": ids}
        case Registry():
            return tables.DNS, "registry", {**registry_columns(one)}
    raise AssertionError(one)


def differ(old: Any, new: Any) -> RowDifference:
    """How a row changes from one value to another."""
    (table, uuid, _) = row_of(new if old is None else old)
    return RowDifference(table, uuid, None if new is None else row_of(new)[2])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each kind of row is parsed, and each kind of message made."""
    calls: Counter[str] = Counter()

    def counting(original: Callable[..., Any], what: str) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            calls[what] += 1
            return original(*given, **named)

        return counted

    for name in ("lease", "port", "subnet", "router", "registry"):
        kind = views._WATCHED[name]
        monkeypatch.setitem(views._WATCHED, name, replace(kind, read=counting(kind.read, f"read {name}")))
    for module in (leases, ports, routers, subnets):
        made = counting(module.message, f"made {module.__name__.rpartition('.')[2]}")
        monkeypatch.setattr(module, "message", made)
    return calls


@pytest.fixture(scope="module")
def view() -> View:
    """A subnet of 10,000 leases, on a router; each test leaves it as it was."""
    found = View(shows(SERVICES))
    found.apply([differ(None, one) for one in (BLUE, Router("gateway"), Registry(1, "blue"))])
    found.apply([differ(None, lease(number)) for number in range(MANY)])
    return found


def test_a_lease_costs_a_lease(view: View, counted: Counter[str]) -> None:
    """Made, changed, gone: one row is parsed, or none, and the lease and its subnet are shown anew."""
    once = {"made leases": 1, "made subnets": 1}
    made = lease(MANY)
    told = view.apply([differ(None, made)])
    assert [(one.type, one.WhichOneof("object")) for one in told] == [
        (one.UPDATED if one.HasField("subnet") else one.CREATED, one.WhichOneof("object")) for one in told
    ]
    assert [one.subnet.used for one in told if one.HasField("subnet")] == [MANY + 1]
    assert counted == {"read lease": 1, **once}
    counted.clear()
    (changed,) = view.apply([differ(made, lease(MANY, mac="52:54:00:ff:ff:ff"))])
    assert changed.lease.mac == "52:54:00:ff:ff:ff"
    assert counted == {"read lease": 1, **once}
    counted.clear()
    told = view.apply([differ(lease(MANY, mac="52:54:00:ff:ff:ff"), None)])
    assert [one.subnet.used for one in told if one.HasField("subnet")] == [MANY]
    assert counted == {"made subnets": 1}


def test_a_port_costs_a_port(view: View, counted: Counter[str]) -> None:
    """With the lease of its address."""
    told = view.apply([differ(None, port(7))])
    assert {one.WhichOneof("object") for one in told} == {"port", "lease"}
    assert counted == {"read port": 1, "made ports": 1, "made leases": 1}
    view.apply([differ(port(7), None)])


def test_a_subnet_costs_a_subnet(view: View, counted: Counter[str]) -> None:
    """However many leases are in it."""
    (table, uuid, _) = row_of(BLUE)
    new = {"external_ids": as_map({**subnet_ids(BLUE), "ovnhook:mtu": "1300"})}
    told = view.apply([RowDifference(table, uuid, new)])
    assert [(one.subnet.mtu, one.subnet.used, one.subnet.default) for one in told] == [(1300, MANY, True)]
    assert counted == {"read subnet": 1, "made subnets": 1, "made routers": 1}
    view.apply([RowDifference(table, uuid, row_of(BLUE)[2])])


def test_it_is_right_whatever_changes() -> None:
    """After any number of changes it is what a new view of the same rows is."""
    chance = random.Random(11)
    view, now = View(shows(SERVICES)), dict[str, Any]()
    choices: list[Any] = [BLUE, Router("gateway"), Registry(1, "blue"), Registry(2, "other")]
    choices += [lease(number) for number in range(5)] + [lease(number, v6=True) for number in range(3)]
    choices += [lease(number, mac="52:54:00:ff:ff:ff") for number in range(3)] + [port(number) for number in range(5)]
    for _ in range(600):
        some: Mapping[str, Any] = {row_of(one)[1]: one for one in chance.sample(choices, chance.randint(1, 3))}
        changes = []
        for uuid, one in some.items():
            new = None if uuid in now and chance.random() < 0.4 else one
            if now.get(uuid) == new:
                continue
            changes.append(differ(now.get(uuid), new))
            now[uuid] = new
            if new is None:
                del now[uuid]
        view.apply(changes)
        fresh = View(shows(SERVICES))
        fresh.apply([differ(None, one) for one in now.values()])
        assert [str(one) for one in view.existing()] == [str(one) for one in fresh.existing()]
    assert view._parts.keys() == {(row_of(one)[0], uuid) for uuid, one in now.items()}


def test_a_row_that_breaks(view: View, caplog: pytest.LogCaptureFixture) -> None:
    """It is gone for watchers, as it is from the lists, and comes back when it is well again."""
    (table, uuid, sound) = row_of(lease(3))
    broken = {**sound, "records": as_map({})}
    told = view.apply([RowDifference(table, uuid, broken)])
    assert [one.type for one in told if one.HasField("lease")] == [told[0].DELETED]
    assert "skipped: " in caplog.text
    told = view.apply([RowDifference(table, uuid, sound)])
    assert [one.subnet.used for one in told if one.HasField("subnet")] == [MANY]
