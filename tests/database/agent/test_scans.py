"""When the agent scans, with a real control service: after changes in its stream, and not because of its own work."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import UUID

import pytest

pytest.importorskip("libvirt")

from lab.waiting import HANG, until
from ovnhook.agent import reconcile
from ovnhook.agent.control import ControlService
from ovnhook.api.calls import Calls
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import MACS, WEB, Hypervisors, domain, interface, soon
from tests.database.reconciling import ONE, ReconcilingAgent, agent, lose_port

__all__ = ["agent"]  # the fixture


@pytest.fixture
def running(agent: ReconcilingAgent, monkeypatch: pytest.MonkeyPatch) -> ReconcilingAgent:
    """An agent whose reconciler is at work, and scans for a reason only."""
    monkeypatch.setattr(reconcile, "_SCAN_INTERVAL", float("inf"))
    scanned = threading.Event()
    agent.libvirt.after_list = scanned.set
    threading.Thread(target=agent.reconciler.run, daemon=True).start()
    agent.catch_up()
    assert scanned.wait(HANG)
    return agent


def test_a_port_that_somebody_deletes(world: Hypervisors, running: ReconcilingAgent) -> None:
    """It is seen in the stream, and repaired without waiting for the next scan."""
    lose_port(world, WEB, MACS[0])
    until(lambda: MACS[0] in world.addresses, HANG, "the port to be there again")


def test_what_the_agent_does_needs_no_scan(running: ReconcilingAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy it is: its own starts and stops are no news to it."""
    asked: list[str] = []
    monkeypatch.setattr(running.reconciler._agenda, "scan_after_change", lambda: asked.append("own"))
    for number in range(10):
        other = domain(interface(MACS[2]), uuid=UUID(int=number + 1), name=f"vm{number}")
        with running.locks.hold(other.uuid, soon()):
            running.host.attach(other, soon())
        running.catch_up()
        with running.locks.hold(other.uuid, soon()):
            running.host.detach(other, soon())
            running.host.release_leases(other.uuid, soon())
        running.catch_up()
    assert asked == []


def test_a_scan_without_differences(agent: ReconcilingAgent, hv2: DirectHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs the control service no call and its database no transaction, also while other hosts' domains start."""
    before = [*agent.host.calls.made]
    agent.catch_up()
    asked: list[object] = []
    hv2.attach(domain(interface(MACS[2]), uuid=UUID(int=1), name="other"), soon())
    monkeypatch.setattr(agent.host.northbound.database, "transact", lambda *_: asked.append("transaction"))
    for _ in range(3):
        agent.reconciler.scan()
        agent.clock.ahead += 60
    assert agent.reconciler.check(repair=True) == []
    assert (agent.host.calls.made, asked) == (before, [])


def test_a_scan_while_the_control_service_is_away(agent: ReconcilingAgent) -> None:
    """Fails and says why; nothing is touched."""
    agent.service.stop()
    taps = agent.host.vswitch.taps(soon())
    agent.libvirt.seen.clear()
    until(lambda: agent.is_blind, HANG, "the view to be away")
    for _ in range(3):
        assert agent.reconciler.scan() <= 10
    with pytest.raises(Unavailable, match="the control service is not running at "):
        agent.reconciler.check(repair=True)
    assert agent.host.vswitch.taps(soon()) == taps
    assert agent.problems == []


@pytest.mark.parametrize("migrating", [True, False])
def test_a_migration_that_another_host_requests(
    world: Hypervisors, agent: ReconcilingAgent, directory: Path, *, migrating: bool
) -> None:
    """The agent allows it while libvirt carries it out, though no scan is due; otherwise it is refused."""
    agent.libvirt.migrating = {WEB} if migrating else set()
    agent.catch_up()
    destination = ControlService(Calls([str(directory / "run" / "control.sock")], tuple))
    if migrating:
        destination.announce(ONE, "hv2", soon())
    else:
        with pytest.raises(Unavailable, match="hv1"):
            destination.announce(ONE, "hv2", Deadline.after(2))
    (port,) = (port for port in world.ports if port.domain == WEB)
    assert (port.host, port.moving_to) == ("hv1", "hv2" if migrating else "")
