"""The agent's view of its host, with real databases and control services."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

pytest.importorskip("libvirt")

from lab.waiting import HANG, until
from ovnhook.agent import hostview, reconcile
from ovnhook.agent.control import HostStream
from ovnhook.agent.hostview import HostView, ViewListeners
from ovnhook.api import calls
from ovnhook.api.calls import Calls
from ovnhook.base.config import Config
from ovnhook.base.errors import Unavailable
from ovnhook.control.server import ControlServer
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import DEFAULT, MACS, MAIL, WEB, Hypervisors, domain, interface, soon
from tests.database.ovsdb_server import Server
from tests.database.reconciling import ONE, TWO, ReconcilingAgent, agent, lose_port

__all__ = ["agent"]  # the fixture

Serve = Callable[[str], ControlServer]


@pytest.fixture
def serve(world: Hypervisors, southbound: Server, directory: Path) -> Iterator[Serve]:
    """Function that starts control services by the name of their socket."""
    made: list[ControlServer] = []

    def start(name: str) -> ControlServer:
        config = Config(northbound=world.server.remote, southbound=southbound.remote)
        made.append(ControlServer(directory / name / "control.sock", config))
        made[-1].start()
        return made[-1]

    world.create_router()
    yield start
    for one in made:
        one.stop()


@pytest.fixture
def view(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostView]:
    """The view of hv1, that asks the control services `one` and `two`."""
    monkeypatch.setattr(hostview, "_LAST_PAUSE", 0.2)
    servers = [str(directory / name / "control.sock") for name in ("one", "two")]
    listeners = ViewListeners(synced=lambda: None, changed=lambda _: None, requested=lambda _: None)
    made = HostView(HostStream(Calls(servers, tuple)), lambda _: "hv1", listeners)
    threading.Thread(target=made.run, daemon=True).start()
    yield made
    made.stop()


def domains(view: HostView) -> set[UUID]:
    """Domains that it has ports of."""
    return {uuid for uuid, _ in view.inventory("hv1", soon()).ports}


def is_away(view: HostView) -> str:
    """Why it can't say anything, or ""."""
    try:
        view.inventory("hv1", soon().within(0))
    except Unavailable as error:
        return error.message
    return ""


def test_it_follows_the_database(
    world: Hypervisors, hv1: DirectHost, hv2: DirectHost, serve: Serve, view: HostView
) -> None:
    """What concerns the host, and no other's."""
    serve("one")
    hv1.attach(ONE, soon())
    hv2.attach(TWO, soon())
    until(lambda: domains(view) == {WEB}, HANG, "the domain")
    found = view.inventory("hv1", soon())
    assert found.lease_indexes.keys() == {WEB}
    assert [(lease.domain, lease.hostname) for lease in found.leases.values()] == [(WEB, "web1")]
    assert found.mtus[DEFAULT.name] == DEFAULT.mtu
    hv1.detach(ONE, soon())
    until(lambda: domains(view) == set(), HANG, "the port to be gone")
    assert view.inventory("hv1", soon()).lease_indexes.keys() == {WEB}


def test_a_control_service_that_is_restarted(hv1: DirectHost, serve: Serve, view: HostView) -> None:
    """There is no view while it is away, and then one of what has happened meanwhile."""
    first = serve("one")
    hv1.attach(ONE, soon())
    until(lambda: domains(view) == {WEB}, HANG, "the domain")
    first.stop()
    until(lambda: "/one/control.sock" in is_away(view), HANG, "the view to be away")
    assert "is not running" in is_away(view)
    hv1.attach(TWO, soon())
    hv1.detach(ONE, soon())
    serve("one")
    until(lambda: not is_away(view), HANG, "the view to be back")
    assert domains(view) == {MAIL}


def test_another_control_host_takes_over(hv1: DirectHost, serve: Serve, view: HostView) -> None:
    """Whichever of them is there."""
    first, second = serve("one"), serve("two")
    until(lambda: domains(view) == set(), HANG, "the view")
    first.stop()
    hv1.attach(ONE, soon())
    until(lambda: not is_away(view) and domains(view) == {WEB}, HANG, "the domain")
    serve("one")
    second.stop()
    hv1.detach(ONE, soon())
    until(lambda: not is_away(view) and domains(view) == set(), HANG, "the port to be gone")


def test_a_control_service_that_has_no_answer(
    serve: Serve, view: HostView, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since it does not reach the database: it is given up soon, for another one."""
    monkeypatch.setattr(calls, "_FIRST_RESPONSE", 0.2)
    lonely = ControlServer(directory / "one" / "control.sock", Config(northbound=f"unix:{directory}/nobody"))
    lonely.start()
    try:
        until(lambda: "did not answer within 0.2 s" in is_away(view), HANG, "the silence to be noticed")
        serve("two")
        until(lambda: not is_away(view), HANG, "the other one")
    finally:
        lonely.stop()


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


def test_a_scan_while_the_control_service_is_away(agent: ReconcilingAgent) -> None:
    """Fails and says why; nothing is touched."""
    agent.service.stop()
    taps = agent.host.vswitch.taps(soon())
    agent.libvirt.seen.clear()
    until(lambda: bool(is_away(agent.reconciler.view)), HANG, "the view to be away")
    for _ in range(3):
        assert agent.reconciler.scan() <= 10
    with pytest.raises(Unavailable, match="the control service is not running at "):
        agent.reconciler.check(repair=True)
    assert agent.host.vswitch.taps(soon()) == taps
    assert agent.problems == []
