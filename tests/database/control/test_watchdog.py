"""What systemd's watchdog is told: nothing, as soon as a client would not be answered or a loop stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidConfig, OvnhookError
from ovnhook.control import listener, probe, server
from ovnhook.control.listener import Listener
from ovnhook.control.loop import Loop
from ovnhook.control.server import ControlServer
from ovnhook.pki.keyfiles import AuthorityFiles
from tests.clock import Clock
from tests.database.control_host import with_authority
from tests.database.control_service import Control
from tests.database.hypervisors import soon
from tests.database.ovsdb_server import wait_for


@pytest.fixture
def clock() -> Clock:
    """One."""
    return Clock()


@pytest.fixture
def service(
    control: Control,
    directory: Path,
    make_port: Callable[[], int],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ControlServer]:
    """One that serves root, clients and newcomers, and looks after itself all the time."""
    monkeypatch.setattr(server, "_PROBE_INTERVAL", 0.05)
    monkeypatch.setattr(listener, "_PROBE_TIMEOUT", 2.0)
    monkeypatch.setattr(listener, "_GRACE", 0.5)
    files = AuthorityFiles(directory / "ca")
    config = with_authority(files, control.config, make_port)
    made = ControlServer(directory / "own" / "control.sock", config, clock)
    made.start()
    yield made
    made.stop()


def test_all_that_has_to_go_on(service: ControlServer, clock: Clock) -> None:
    """Loops and listeners are missed, each, when the time is over, and are there again when they have gone on."""
    for _ in range(3):
        clock.now += 61
        wait_for(lambda: service.liveness.stuck() == [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("which", "how"), [(0, "thread"), (1, "thread"), (2, "thread"), (1, "pool")])
def test_a_listener_that_answers_nobody(service: ControlServer, clock: Clock, which: int, how: str) -> None:
    """Because gRPC's own thread has died, as it does when no thread can be started; or because all threads are busy."""
    dead: Listener = service._listeners[which]

    def submit(*_: object) -> Future[None]:
        if how == "thread":
            raise RuntimeError("can't start new thread")
        return Future()

    dead._threads.submit = submit  # type: ignore[assignment,method-assign]
    wait_for(lambda: not dead.answers())
    clock.now += 61
    wait_for(lambda: service.liveness.stuck() == [dead.address])


def test_a_loop_that_stands_still(service: ControlServer, clock: Clock) -> None:
    """Is named, whatever the others do."""
    next(loop for loop in service._loops if loop.name == "sweeper").stop(soon())
    clock.now += 61
    wait_for(lambda: service.liveness.stuck() == ["sweeper"])


def test_a_step_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Is logged, and the next ones are taken."""
    beats: list[None] = []
    loop = Loop("failing", lambda: 1 // 0, 0.001)
    loop.beat = lambda: beats.append(None)
    loop.start()
    wait_for(lambda: len(beats) > 1)
    loop.stop(soon())
    assert "failing: a step failed: unexpected error" in caplog.text


def test_certificates_that_are_no_clients(service: ControlServer) -> None:
    """The probe is refused by TLS, which is an answer."""
    clients: Listener = service._listeners[1]
    assert clients._tls
    clients._tls = service._listeners[2]._tls
    assert clients.answers()


def test_nobody_there(directory: Path, make_port: Callable[[], int]) -> None:
    """Is no answer."""
    for where in (f"127.0.0.1:{make_port()}", f"{directory}/none"):
        assert not probe.answers(where, "/x", Deadline.after(5))


@pytest.mark.parametrize("wrong", ["listen", "enrolment", "ca"])
def test_a_start_that_fails(service: ControlServer, directory: Path, make_port: Callable[[], int], wrong: str) -> None:
    """Leaves nothing behind: what is right then starts."""
    taken = {"listen": service._config.listen, "enrolment": service._config.enrolment, "ca": "/nonexistent"}
    path = directory / "second" / "control.sock"
    free = replace(service._config, listen=f"127.0.0.1:{make_port()}", enrolment=f"127.0.0.1:{make_port()}")
    second = ControlServer(path, replace(free, **{wrong: taken[wrong]}))  # type: ignore[arg-type]
    with pytest.raises((OvnhookError, InvalidConfig)):
        second.start()
    assert not path.exists()
    third = ControlServer(path, free)
    third.start()
    assert third._listeners[0].answers()
    third.stop()
    third.stop()
    assert not path.exists()
