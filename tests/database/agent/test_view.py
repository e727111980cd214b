"""The agent's view of its host, with real databases and control services."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from lab.waiting import HANG, until
from ovnhook.agent import hostview
from ovnhook.agent.control import HostStream
from ovnhook.agent.hostview import HostView, NetworkListeners, ViewListeners
from ovnhook.api import calls
from ovnhook.api.calls import Calls
from ovnhook.base.config import Config
from ovnhook.base.errors import Unavailable
from ovnhook.control.server import ControlServer
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import DEFAULT, MACS, MAIL, WEB, Hypervisors, domain, interface, soon
from tests.database.ovsdb_server import Server

ONE, TWO = domain(interface(MACS[0])), domain(interface(MACS[1]), uuid=MAIL, name="mail")

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
def scopes() -> queue.SimpleQueue[str]:
    """Name scopes that have changed, as the view has told its listeners."""
    return queue.SimpleQueue()


@pytest.fixture
def view(directory: Path, scopes: queue.SimpleQueue[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[HostView]:
    """The view of hv1, that asks the control services `one` and `two`."""
    monkeypatch.setattr(hostview, "_LAST_PAUSE", 0.2)
    servers = [str(directory / name / "control.sock") for name in ("one", "two")]
    listeners = ViewListeners(synced=lambda: None, changed=lambda _: None, requested=lambda _: None)
    made = HostView(HostStream(Calls(servers, tuple)), lambda _: "hv1", listeners)
    made.listen(NetworkListeners(networks_changed=lambda: None, names_changed=scopes.put))
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


def test_names_follow_leases(
    hv1: DirectHost, hv2: DirectHost, serve: Serve, view: HostView, scopes: queue.SimpleQueue[str]
) -> None:
    """Listeners are told of each change of a scope in which the host has ports, and have its names then."""
    serve("one")
    until(lambda: view.networks() is not None, HANG, "the view")

    def changed() -> list[str]:
        """Host names after the next change."""
        scope = scopes.get(timeout=HANG)
        return sorted(one.hostname for one in view.names(scope))

    hv2.attach(TWO, soon())
    hv1.attach(ONE, soon())
    assert changed() == ["mail", "web1"]
    hv2.detach(TWO, soon())  # which keeps the lease
    hv2.update_leases(replace(TWO, name="post", id=-1), soon())
    assert changed() == ["post", "web1"]
    hv2.release_leases(MAIL, soon())
    assert changed() == ["web1"]
    networks = view.networks()
    assert networks
    assert networks.scopes == {networks.subnets[DEFAULT.name].scope}
    hv1.detach(ONE, soon())
    assert changed() == []
    assert scopes.empty()


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
