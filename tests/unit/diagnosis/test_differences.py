"""What is found to differ, and what is not: of a host that is as it should be, with one thing changed at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress

from ovnhook.diagnosis.differences import compare, domains_without_port
from ovnhook.diagnosis.values import (
    Attach,
    CancelMigration,
    Detach,
    Difference,
    Domains,
    FinishMigration,
    ManualRepair,
    ReleaseLeases,
    Running,
    Unplug,
    UpdateLeases,
)
from ovnhook.domains.inventory import HostObject, Inventory
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType, Tap
from ovnhook.resources.hostvalues import HostSubnet
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Owner, Port

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
GONE = UUID("7d1c2a35-86b4-4f10-b1a4-5f8a3c1be5d2")
MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
ADDRESS = IPAddress("10.1.0.5")
FREE = IPAddress("10.1.0.9")

INTERFACE = Interface(MAC, InterfaceType.BRIDGE, InterfaceRequest(hostname="web1"), "if-1", "vnet0")
WEB1 = Domain(WEB, "web1", 1, (INTERFACE,), (MAC,))
PORT = Port("if-1", "blue", MAC, (ADDRESS,), WEB, "web1", "hv1")
LEASE = Lease("blue", ADDRESS, WEB, "web1", MAC, "web1", "hv1", "hv1/1")
LEASE_INDEX = LeaseIndex(WEB, "web1", "hv1", ((MAC, "blue", ADDRESS),))


@dataclass
class HostState:
    """A host with one domain that has all it should have."""

    ports: list[Port]
    lease_indexes: list[LeaseIndex]
    leases: list[Lease]
    taps: dict[str, Tap]
    running: dict[UUID, Running]
    defined: dict[UUID, Domain]
    others: list[HostObject] = field(default_factory=list)

    @property
    def inventory(self) -> Inventory:
        """What the control service says of it."""
        return Inventory.of("hv1", [*self.ports, *self.lease_indexes, *self.leases, *self.others])

    def differences(self) -> list[Difference]:
        """What is found."""
        return [*compare("hv1", self.inventory, self.taps, Domains(self.running, self.defined))]

    def stop(self) -> None:
        """The domain is off, as after a release."""
        self.running, self.ports, self.taps = {}, [], {}

    def has(self, **changes: Any) -> None:
        """What the domain holds is otherwise."""
        self.lease_indexes = [replace(LEASE_INDEX, **changes)]


@pytest.fixture
def host() -> HostState:
    """As it should be."""
    taps = {"vnet0": Tap("if-1", str(WEB), MAC, ours=True), "vnet7": Tap("x", "", "", ours=False)}
    running = {WEB: Running(WEB1, frozenset({"vnet0"}))}
    return HostState([PORT], [LEASE_INDEX], [LEASE], taps, running, {WEB: WEB1})


def only(host: HostState) -> Difference:
    """The one difference that there is."""
    (found,) = host.differences()
    assert str(found)
    assert str(found.repair)
    return found


def test_nothing_differs(host: HostState) -> None:
    """While it runs, and when it is off."""
    assert host.differences() == []
    host.stop()
    assert host.differences() == []


@pytest.mark.parametrize(
    ("port", "what"),
    [
        (replace(PORT, id="if-2"), "its port is if-2 instead of if-1"),
        (replace(PORT, addresses=(FREE,)), "has addresses 10.1.0.9 instead of the leased 10.1.0.5"),
        (replace(PORT, addresses=()), "has addresses none instead of the leased 10.1.0.5"),
        (replace(PORT, intact=False), "columns of port if-1 were changed"),
    ],
)
def test_a_port_that_was_changed(host: HostState, port: Port, what: str) -> None:
    """The domain is attached again, as it runs."""
    host.ports = [port]
    found = only(host)
    assert what in found.what
    assert (found.domain, found.interface, found.repair) == ("web1", MAC, Attach(WEB1))


def test_a_port_that_is_missing(host: HostState) -> None:
    """It is asked for wherever it is: another host's is left there."""
    host.ports = []
    assert only(host).repair == Attach(WEB1)
    host.others = [replace(PORT, host="hv2")]
    found = only(host)
    assert "its port if-1 is bound to hv2" in found.what
    assert isinstance(found.repair, ManualRepair)


def test_what_has_to_be_asked_for() -> None:
    """Domains that run here, of which an interface has no port here: it may have one elsewhere."""
    domains = Domains({WEB: Running(WEB1), GONE: Running(Domain(GONE, "bare"))}, {GONE: Domain(GONE, "bare")})
    assert domains_without_port(Inventory(), domains) == [WEB1]
    assert domains_without_port(Inventory.of("hv1", [replace(PORT, host="hv2")]), domains) == [WEB1]
    assert domains_without_port(Inventory.of("hv1", [PORT]), domains) == []


def test_what_is_read_anew_counts() -> None:
    """Instead of what was known before; the rest stays."""
    before = Inventory.of("hv1", [PORT, LEASE, HostSubnet("blue", 1442)])
    port = replace(PORT, addresses=(FREE,))
    now = before.updated(Inventory.of("hv1", [port, replace(PORT, mac=OTHER, host="hv2"), LEASE_INDEX]))
    assert now.ports == {(WEB, MAC): port}
    assert now.ports_elsewhere.keys() == {(WEB, OTHER)}
    assert (now.lease_indexes, now.leases, now.mtus) == ({WEB: LEASE_INDEX}, before.leases, {"blue": 1442})


def test_an_mtu_above_the_subnets(host: HostState) -> None:
    """The domain was started before the subnet's became smaller."""
    host.running = {WEB: Running(replace(WEB1, interfaces=(replace(INTERFACE, mtu=1500),)), frozenset({"vnet0"}))}
    host.others = [HostSubnet("blue", 1500)]
    assert host.differences() == []
    host.others = [HostSubnet("blue", 1442)]
    assert isinstance(only(host).repair, ManualRepair)


@pytest.mark.parametrize("taps", [{}, {"vnet0": Tap("if-2", str(WEB), MAC, ours=True)}])
def test_a_tap_that_is_not_bound(host: HostState, taps: dict[str, Tap]) -> None:
    """To its port, or to anything."""
    host.taps = taps
    assert only(host).repair == Attach(WEB1)


@pytest.mark.parametrize("leases", [[], [replace(LEASE, domain=GONE)], [replace(LEASE, hostname="old")]])
def test_a_lease_of_a_running_domain(host: HostState, leases: list[Lease]) -> None:
    """It is missing, or somebody else's, or has another host name."""
    host.leases = leases
    assert Attach(WEB1) in [found.repair for found in host.differences()]


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({}, True),
        ({"host": "hv2"}, False),
        ({"kept_by": Owner.CLIENT}, False),
    ],
)
def test_a_port_of_a_domain_that_does_not_run(host: HostState, changed: dict[str, Any], differs: bool) -> None:
    """Only this host's, and none that a client keeps."""
    host.stop()
    host.ports = [replace(PORT, **changed)]
    repairs = [found.repair for found in host.differences()]
    assert repairs == ([Detach(Domain(WEB, "web1", macs=(MAC,)))] if differs else [])


def test_an_interface_that_is_not_there(host: HostState) -> None:
    """Its port goes, and its lease if the definition does not have it."""
    bare = replace(WEB1, interfaces=(), macs=())
    host.running = {WEB: Running(replace(bare, defined_only_macs=(MAC,)))}
    host.taps = {}
    assert [found.what for found in host.differences()] == ["port if-1 exists, but the interface does not"]
    host.ports = []
    assert host.differences() == []
    host.running = {WEB: Running(bare)}
    found = only(host)
    assert (found.what, found.repair) == ("it has a lease, but the interface does not exist", Attach(bare))


def test_a_domain_whose_metadata_makes_no_sense(host: HostState) -> None:
    """Nothing of it is touched."""
    host.running = {WEB: Running(Domain(WEB, "web1"), frozenset({"vnet0"}), is_valid=False)}
    assert host.differences() == []


def test_a_definition(host: HostState) -> None:
    """It is gone, or has another interface, or another name."""
    host.stop()
    renamed = replace(WEB1, name="web2")
    host.defined = {WEB: renamed}
    assert (only(host).domain, only(host).repair) == ("web2", UpdateLeases(renamed))
    other = replace(WEB1, macs=(OTHER,))
    host.defined = {WEB: other}
    assert (only(host).interface, only(host).repair) == (MAC, UpdateLeases(other))
    host.defined = {}
    assert only(host).repair == ReleaseLeases(WEB)
    host.has(host="hv2")
    assert host.differences() == []
    host.has(kept_by=Owner.CLIENT)
    assert host.differences() == []


def test_migrations_that_nobody_finished(host: HostState) -> None:
    """To here and from here, ended well or not; one that goes on is left alone."""
    run = host.running[WEB]
    moving = {"holdings": [replace(LEASE_INDEX, host="hv2", moving_to="hv1")]}
    host.lease_indexes, host.ports, host.leases = moving["holdings"], [replace(PORT, host="hv2", moving_to="hv1")], []
    assert only(host).repair == FinishMigration(WEB)
    host.running = {WEB: replace(run, paused=True)}
    assert host.differences() == []
    host.running, host.taps = {}, {}
    assert only(host).repair == Detach(Domain(WEB, "web1"))

    host.has(moving_to="hv2")
    host.leases, host.ports = [LEASE], [replace(PORT, moving_to="hv2")]
    assert Detach(Domain(WEB, "web1")) in [found.repair for found in host.differences()]
    host.running, host.taps = {WEB: replace(run, migrates=True)}, {"vnet0": Tap("if-1", str(WEB), MAC, ours=True)}
    assert host.differences() == []
    host.running = {WEB: run}
    assert only(host).repair == CancelMigration(WEB)


def test_what_a_crash_left_in_open_vswitch(host: HostState) -> None:
    """Only what we bound, or what is of an interface with a lease, and only if the device is no more that domain's."""
    host.taps["vnet1"] = Tap("if-9", str(GONE), OTHER, ours=True)
    assert only(host).repair == Unplug("vnet1", host.taps["vnet1"])
    host.taps["vnet1"] = Tap("if-9", str(GONE), OTHER, ours=False)
    assert host.differences() == []
    host.taps["vnet1"] = Tap("if-9", str(WEB), OTHER, ours=False)
    assert host.differences() == []
    host.taps["vnet1"] = Tap("if-9", str(WEB), MAC, ours=False)
    assert only(host).repair == Unplug("vnet1", host.taps["vnet1"])


def test_what_is_left_to_the_administrator(host: HostState) -> None:
    """Settings of a port that are not ovnhook's, and a bandwidth that limits nothing: each with a command."""
    port = replace(PORT, foreign=("enabled=false", "options:qos_max_rate=1", "type=localport"))
    host.ports = [port]
    assert [str(one.repair) for one in host.differences()] == [
        "manual: ovn-nbctl clear Logical_Switch_Port if-1 enabled",
        "manual: ovn-nbctl remove Logical_Switch_Port if-1 options qos_max_rate",
        "manual: ovn-nbctl lsp-set-type if-1 ''",
    ]
    host.ports = [PORT]
    run = host.running[WEB]
    host.running = {WEB: replace(run, domain=replace(WEB1, interfaces=(replace(INTERFACE, unlimited=1000),)))}
    hint = f"virsh domiftune web1 {MAC} --inbound 1000,1000 --live --config"
    assert str(only(host).repair) == f"manual: {hint}"
