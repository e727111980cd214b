"""The agent's reconciler on real databases; libvirt's answers are the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("libvirt")

from lab.waiting import HANG
from ovnhook.agent import reconcile
from ovnhook.agent.control import AttachResult
from ovnhook.agent.hookoperation import HookOperation
from ovnhook.agent.hypervisor import DomainState
from ovnhook.base import uuids
from ovnhook.base.errors import Conflict, Unavailable
from ovnhook.databases.vswitch import Binding
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import Row
from tests.database.hypervisors import MACS, MAIL, WEB, Hypervisors, domain, soon
from tests.database.reconciling import ONE, ReconcilingAgent, agent, lose_port, xml

__all__ = ["agent"]  # the fixture


def macs(world: Hypervisors) -> set[str]:
    """Of the ports that there are."""
    return {port.mac for port in world.ports}


def test_a_slow_scan_repairs_as_well(world: Hypervisors, agent: ReconcilingAgent) -> None:
    """However long libvirt takes: what is repaired is read again just before."""
    agent.libvirt.after_list = lambda: agent.clock.sleep(45)
    lose_port(world, WEB, MACS[0])
    agent.scan()
    assert macs(world) == {MACS[1]}  # seen once
    agent.scan()
    assert macs(world) == {MACS[0], MACS[1]}


def test_what_is_not_so_any_more_is_not_repaired(world: Hypervisors, agent: ReconcilingAgent) -> None:
    """A domain that has ended since the scan gets no port."""
    lose_port(world, WEB, MACS[0])
    agent.scan()
    agent.libvirt.after_list = lambda: agent.libvirt.seen.pop(WEB)
    agent.scan()
    assert macs(world) == {MACS[1]}


@pytest.mark.parametrize("stubborn", [WEB, MAIL], ids=["first", "last"])
def test_one_that_fails_holds_up_no_other(
    world: Hypervisors, agent: ReconcilingAgent, monkeypatch: pytest.MonkeyPatch, stubborn: UUID
) -> None:
    """Whichever stands first; it is said once, told to others when it stays so, and repaired when that is possible."""
    attach, tries = agent.host.attach, []

    def fail(one: Domain, *given: Any, **more: Any) -> Any:
        if one.uuid == stubborn:
            tries.append(one)
            raise Conflict("rows changed")
        return attach(one, *given, **more)

    monkeypatch.setattr(agent.host, "attach", fail)
    for one, mac in ((WEB, MACS[0]), (MAIL, MACS[1])):
        lose_port(world, one, mac)
    agent.scan()
    agent.scan()
    assert macs(world) == {MACS[0], MACS[1]} - {MACS[0] if stubborn == WEB else MACS[1]}
    assert agent.problems == []
    for _ in range(4):
        agent.scan()
    assert len(tries) == 5
    assert len(agent.problems) == 1
    monkeypatch.setattr(agent.host, "attach", attach)
    agent.scan()
    agent.scan()
    assert macs(world) == {MACS[0], MACS[1]}
    assert agent.problems == []


def test_a_repair_that_repairs_nothing_is_none(
    world: Hypervisors, agent: ReconcilingAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read again after it, and not said to be repaired."""
    lose_port(world, WEB, MACS[0])
    monkeypatch.setattr(agent.host, "attach", lambda *_, **__: AttachResult())
    (found,) = agent.repair()
    assert (found.repaired, found.error) == (False, "the difference persists after the repair")


def test_silence_about_one_domain_holds_up_no_other(world: Hypervisors, agent: ReconcilingAgent) -> None:
    """Nothing is done for that one, whatever it may lack or have too much; it is named."""
    for one, mac in ((WEB, MACS[0]), (MAIL, MACS[1])):
        lose_port(world, one, mac)
    agent.libvirt.silent = {WEB: "web1"}
    agent.scan()
    agent.scan()
    assert macs(world) == {MACS[1]}
    assert agent.problems == ["domain web1: libvirt does not answer for it"]
    assert [str(one) for one in agent.differences()] == ["domain web1: libvirt does not answer for it"]
    agent.libvirt.silent = {}
    agent.scan()
    agent.scan()
    assert macs(world) == {MACS[0], MACS[1]}
    assert agent.problems == []


def test_a_qemu_that_hangs_is_named(world: Hypervisors, agent: ReconcilingAgent) -> None:
    """What it lacks is repaired all the same: that is no matter of QEMU's."""
    lose_port(world, WEB, MACS[0])
    agent.libvirt.seen[WEB] = replace(agent.libvirt.seen[WEB], hangs=True)
    agent.scan()
    agent.scan()
    assert macs(world) == {MACS[0], MACS[1]}
    assert agent.problems == ["domain web1: its QEMU does not answer libvirt"]


def test_one_that_cannot_be_read_holds_up_no_other(world: Hypervisors, agent: ReconcilingAgent) -> None:
    """XML of a domain that is none, or more than can be one."""
    lose_port(world, MAIL, MACS[1])
    agent.libvirt.seen[WEB] = DomainState(live=b"<domain>")
    agent.scan()
    agent.scan()
    assert macs(world) == {MACS[0], MACS[1]}
    (said,) = agent.problems
    assert "not the XML of a libvirt domain" in said


def test_the_hooks_work_is_not_undone(world: Hypervisors, agent: ReconcilingAgent) -> None:
    """Not while it is at work on the domain, nor by what was seen before."""
    agent.libvirt.seen.pop(WEB)
    before = world.exact()
    with agent.locks.hold(WEB, soon()):
        found = agent.repair()
    assert {one.error for one in found} == {f"domain {WEB} is busy: another operation is in progress"}
    agent.libvirt.after_list = lambda: agent.locks.record_request(WEB, HookOperation.PREPARE)
    assert world.exact() == before


def test_a_domain_that_starts_is_not_asked_about(world: Hypervisors, agent: ReconcilingAgent) -> None:
    """A question would wait for other hooks, and libvirt's other work for the question; when it has started it is."""
    lose_port(world, WEB, MACS[0])
    agent.scan()
    agent.locks.record_request(WEB, HookOperation.PREPARE)
    assert agent.locks.in_transition().keys() == {WEB}
    agent.libvirt.domain = lambda *_, **__: pytest.fail("it was asked")  # type: ignore[method-assign]
    agent.scan()
    assert macs(world) == {MACS[1]}
    assert {one.error for one in agent.repair()} == {"libvirt is starting or stopping it"}
    del agent.libvirt.domain
    agent.locks.end_transition(WEB)
    agent.scan()
    agent.scan()
    assert macs(world) == {MACS[0], MACS[1]}


def test_a_check_does_not_wait_for_ever(agent: ReconcilingAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a scan that does not end, for example."""
    monkeypatch.setattr(reconcile, "_CHECK_TIMEOUT", 0.05)
    held = threading.Event()
    done = threading.Event()

    def wait() -> None:
        held.set()
        done.wait(HANG)

    agent.libvirt.after_list = wait
    scan = threading.Thread(target=agent.reconciler.scan)
    scan.start()
    assert held.wait(HANG)
    try:
        with pytest.raises(Unavailable, match="another scan of this host is in progress"):
            agent.repair()
    finally:
        done.set()
        scan.join(HANG)


def lease(world: Hypervisors) -> Any:
    """The row of the first domain's lease, as a condition."""
    (found,) = (one for one in world.leases if one.domain == WEB)
    return ["_uuid", "==", ["uuid", str(found.uuid)]]


def update(table: str, where: Any, **row: Any) -> Row:
    """An operation that changes a row."""
    return {"op": "update", "table": table, "where": [where], "row": row}


def change(world: Hypervisors, *operations: Row) -> None:
    """Change rows of the northbound database."""
    world.server.transact(*operations)


def ids(where: Any, table: str = "DNS", **values: str) -> Row:
    """An operation that sets keys of a row's external_ids."""
    pairs = {f"ovnhook:{key.replace('_', '-')}": value for key, value in values.items()}
    mutations = [["external_ids", "delete", ["set", [*pairs]]], ["external_ids", "insert", ["map", [*pairs.items()]]]]
    return {"op": "mutate", "table": table, "where": [where], "mutations": mutations}


PORT: Any = ["_uuid", "==", ["uuid", str(uuids.port(WEB, MACS[0]))]]
LEASE_INDEX: Any = ["_uuid", "==", ["uuid", str(uuids.domain(WEB))]]
ACCIDENTS: dict[str, Callable[[Hypervisors, ReconcilingAgent], object]] = {
    "port deleted": lambda world, _: lose_port(world, WEB, MACS[0]),
    "port security off": lambda world, _: change(world, update("Logical_Switch_Port", PORT, port_security=["set", []])),
    "port renamed": lambda world, _: change(world, update("Logical_Switch_Port", PORT, name="other")),
    "lease deleted": lambda world, _: change(world, {"op": "delete", "table": "DNS", "where": [lease(world)]}),
    "lease renamed": lambda world, _: change(
        world, update("DNS", lease(world), records=["map", [["other", world.addresses[MACS[0]]]]])
    ),
    "domain destroyed": lambda world, agent: agent.libvirt.seen.update({WEB: DomainState(definition=xml(ONE))}),
    "domain undefined": lambda world, agent: agent.libvirt.seen.pop(WEB),
    "domain renamed": lambda world, agent: agent.libvirt.seen.update(
        {WEB: DomainState(definition=xml(replace(ONE, name="www")))}
    ),
    "unplugged": lambda world, agent: agent.libvirt.seen.update(
        {WEB: DomainState(live=xml(domain()), definition=xml(domain()))}
    ),
    "going nowhere": lambda world, _: change(
        world, ids(LEASE_INDEX, moving_to="hv2"), ids(PORT, "Logical_Switch_Port", moving_to="hv2")
    ),
    "tap of another port": lambda world, agent: agent.host.vswitch.database.transact(
        [
            {
                "op": "mutate",
                "table": "Interface",
                "where": [["name", "==", "vnet0"]],
                "mutations": [
                    ["external_ids", "delete", ["set", ["iface-id"]]],
                    ["external_ids", "insert", ["map", [["iface-id", "wrong"]]]],
                ],
            }
        ],
        soon(),
    ),
    "tap left over": lambda world, agent: agent.host.vswitch.bind(
        [Binding("vnet9", "gone", "52:54:00:00:00:99", UUID(int=9))], soon()
    ),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("by", ["check", "scan"])
def test_every_accident_is_repaired(world: Hypervisors, agent: ReconcilingAgent, accident: str, by: str) -> None:
    """What a scan sees is seen by key as well, before the repair and, if it failed, after it."""
    assert agent.differences() == []
    ACCIDENTS[accident](world, agent)
    assert agent.differences() != []
    if by == "check":
        assert [one.error for one in agent.repair() if not one.repaired] == []
    else:
        for _ in range(4):
            agent.scan()
    if agent.differences() and by == "check":  # what the first repair has made visible
        assert [one.error for one in agent.repair() if not one.repaired] == []
    assert agent.differences() == []
