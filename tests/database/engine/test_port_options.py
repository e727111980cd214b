"""Allowed addresses and port security of ports of domains and clients: written, kept, and repaired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ovnhook.base import uuids
from ovnhook.base.errors import InvalidRequest
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import as_map, key, map_of, mutate, set_of, update
from ovnhook.resources import tables
from ovnhook.resources.port.options import DEFAULTS, PortOptions
from ovnhook.resources.subnet.values import resolver_mac, server_mac
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import MACS, WEB, Hypervisors, attach, differing, domain, interface, soon
from tests.database.southbound_rows import add_chassis

NESTED = "52:54:00:aa:bb:09"
ALLOWED = PortOptions(("10.9.0.0/24", NESTED, "fd00:9::1"))
OFF = PortOptions(security=False)


def asking(options: PortOptions, tap: str = "vnet0") -> Domain:
    """A domain whose interface has these options."""
    one = interface(subnet="blue", address="10.1.0.20", tap=tap)
    return domain(replace(one, request=replace(one.request, options=options)))


def row(world: Hypervisors) -> dict[str, Any]:
    """The domain's port."""
    return world.server.dump()["Logical_Switch_Port"][str(uuids.port(WEB, MACS[0]))]


def columns(world: Hypervisors) -> tuple[list[str], list[str]]:
    """Addresses and port security of the domain's port, without link-local networks."""
    security = [
        " ".join(word for word in entry.split() if not word.startswith("f") or word.startswith("fd"))
        for entry in set_of(row(world)["port_security"])
    ]
    return sorted(set_of(row(world)["addresses"])), sorted(security)


OWN = f"{MACS[0]} 10.1.0.20"
WRITTEN = {
    DEFAULTS: ([OWN], [OWN]),
    PortOptions(("10.9.0.0/24",)): ([OWN], [f"{OWN} 10.9.0.0/24"]),
    ALLOWED: ([OWN, "unknown"], [f"{OWN} 10.9.0.0/24 fd00:9::1", f"{NESTED} 10.1.0.20 10.9.0.0/24 fd00:9::1"]),
    OFF: ([OWN, "unknown"], []),
}


def test_they_follow_the_metadata(world: Hypervisors, hv1: DirectHost) -> None:
    """Of each start, and at once of a domain that runs; a scan finds that they differ."""
    hv1.attach(asking(ALLOWED), soon())
    assert columns(world) == WRITTEN[ALLOWED]
    before = world.exact()
    hv1.attach(asking(ALLOWED), soon())
    assert world.exact() == before
    for options, found in WRITTEN.items():
        wanted = asking(options)
        (difference,) = differing(world, hv1, wanted)
        assert f"instead of {options}" in difference
        attach(hv1, wanted)
        assert columns(world) == found
        assert [port.options for port in world.ports] == [options]
        assert [port.intact for port in world.ports] == [True]
        assert differing(world, hv1, wanted) == []
    hv1.detach(asking(OFF), soon())
    hv1.attach(asking(DEFAULTS), soon())
    assert columns(world) == WRITTEN[DEFAULTS]
    assert not {key for key in map_of(row(world)["external_ids"]) if "security" in key or "allowed" in key}


@pytest.mark.parametrize("options", [ALLOWED, OFF], ids=str)
def test_a_migration_keeps_them(world: Hypervisors, hv1: DirectHost, hv2: DirectHost, options: PortOptions) -> None:
    """Announced, started at the destination, finished."""
    wanted = asking(options, tap="")
    hv1.attach(wanted, soon())
    hv2.announce(Domain(WEB, "web1"), soon())
    assert columns(world) == WRITTEN[options]
    assert hv2.attach(wanted, soon()).arrives
    assert columns(world) == WRITTEN[options]
    hv2.finish_migration(WEB, soon())
    assert columns(world) == WRITTEN[options]
    assert [(port.host, port.options) for port in world.ports] == [("hv2", options)]


@pytest.mark.parametrize("options", [ALLOWED, OFF], ids=str)
@pytest.mark.parametrize("change", [("port_security", "52:54:00:00:00:77"), ("addresses", "52:54:00:00:00:77")])
def test_manual_changes(world: Hypervisors, hv1: DirectHost, options: PortOptions, change: tuple[str, str]) -> None:
    """They are found, and replaced by what the metadata says."""
    wanted = asking(options)
    hv1.attach(wanted, soon())
    column, value = change
    world.server.transact(update(tables.PORT, key(uuids.port(WEB, MACS[0])), {column: value}))
    assert differing(world, hv1, wanted)
    attach(hv1, wanted)
    assert columns(world) == WRITTEN[options]
    assert differing(world, hv1, wanted) == []


def test_settings_of_somebody_else(world: Hypervisors, hv1: DirectHost) -> None:
    """They are kept by all that is done, and found, each with the command that removes it."""
    wanted = asking(ALLOWED)
    hv1.attach(wanted, soon())
    row_of_it = key(uuids.port(WEB, MACS[0]))
    (before,) = world.ports
    options = [["options", "insert", as_map({"qos_max_rate": "1000"})]]
    world.server.transact(update(tables.PORT, row_of_it, {"enabled": False}), mutate(tables.PORT, row_of_it, options))
    settings = ("enabled=false", "options:qos_max_rate=1000")
    found = [f"port {before.id} has the setting {one}, which is not ovnhook's" for one in settings]
    assert differing(world, hv1, wanted) == found
    there = world.exact()
    attach(hv1, wanted)
    assert world.exact() == there
    world.server.transact(update(tables.PORT, row_of_it, {"port_security": ""}))
    attach(hv1, wanted)
    assert columns(world) == WRITTEN[ALLOWED]
    assert differing(world, hv1, wanted) == found


@pytest.mark.parametrize(
    ("word", "owner"),
    [
        ("10.1.0.1", "gateway"),
        (server_mac("blue"), "gateway"),
        (resolver_mac("blue"), "DNS resolver"),
    ],
)
def test_addresses_of_the_subnet_itself(world: Hypervisors, hv1: DirectHost, word: str, owner: str) -> None:
    """A guest must not have them; the message names domain, interface and value."""
    with pytest.raises(InvalidRequest) as refused:
        hv1.attach(asking(PortOptions((word,))), soon())
    where = f"domain web1: interface {MACS[0]}: allowed address {word}"
    assert refused.value.message == f"{where} is that of the {owner} of subnet blue"
    assert world.ports == []


def test_a_client_port(control: Control) -> None:
    """Created by the command with either; shown; the same again succeeds, another one is refused."""
    add_chassis(control.southbound, "hv1", options="")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    base = ("port", "create", "box", "--host", "hv1")
    allowed = (*base, "--allowed-address", "10.9.0.0/24", "--allowed-address", NESTED.upper())
    control.done(*allowed)
    shown = control.done("port", "show", "box", "--format", "json").json
    assert (shown["allowed_addresses"], shown["port_security_off"]) == (["10.9.0.0/24", NESTED], False)
    control.done(*allowed)
    error, _ = control.refused(4, *base, "--no-port-security")
    assert error.endswith(f'its configuration is allowed-addresses="10.9.0.0/24 {NESTED}", not port-security="off"')
    control.done("port", "delete", "box")
    control.done(*base, "--no-port-security")
    assert control.done("port", "show", "box", "--format", "json").json["port_security_off"]
    control.done(*base, "--no-port-security")
    error, _ = control.refused(2, *base, "--no-port-security", "--allowed-address", "10.9.0.1")
    assert error.startswith("domain box: interface 0: allowed addresses: ")
