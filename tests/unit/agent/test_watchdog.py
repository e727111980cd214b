"""The agent's process and systemd's watchdog: its loops are the test's, and so is the clock."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("libvirt")

from lab.waiting import HANG, until
from ovnhook.agent import __main__ as agent
from ovnhook.base.config import Config
from ovnhook.base.liveness import Liveness
from tests.clock import Clock


class Loops:
    """The loops of an agent, of which each can be stopped; and how often the process looked at them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lock = threading.Lock()
        self.standing: set[str] = set()
        self.looks = threading.Semaphore(0)
        self.end = threading.Event()
        self.vswitch = self.database = self

    def loop(self, name: str, beat: Callable[[], None]) -> Any:
        """One of them."""

        def run() -> None:
            while not self.end.wait(0.001):
                with self.lock:  # a beat is over before its loop stands still
                    if name not in self.standing:
                        beat()

        return SimpleNamespace(
            **dict.fromkeys(("run", "serve_forever"), run),
            **dict.fromkeys(("stop", "shutdown"), self.end.set),
            northbound=self,
            problems=(),
            view=SimpleNamespace(run=self.end.wait, stop=self.end.set, networks=None, listen=lambda _: None),
            wake=None,
            check=None,
            on_scan=lambda _: None,
        )

    def keep_alive(self) -> bool:
        """As a database's."""
        self.looks.release()
        return False


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("")  # an abstract name of the kernel's choice
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + made.getsockname()[1:].decode())
        made.settimeout(60)
        yield made


def heard(systemd: socket.socket) -> list[bytes]:
    """All that it was told and has not read."""
    systemd.setblocking(False)
    found = []
    try:
        while True:
            found.append(systemd.recv(100))
    except BlockingIOError:
        systemd.settimeout(60)
    return found


def all_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check that there is a case for each loop."""
    assert {*names} == {*NAMES}
    return names


NAMES = ("hook", "reconcile", "node", "firewall", "gateway", "uplink", "networks", "leases", "names")


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_that_stands_still_starves_the_watchdog(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket, name: str
) -> None:
    """Whichever it is, and however well the others go on; if it goes on again nothing has happened."""
    loops = Loops()
    monkeypatch.setattr(agent, "_KEEP_ALIVE_INTERVAL", 0.002)
    monkeypatch.setattr(agent, "AGENT_SOCKET", tmp_path / "s")
    monkeypatch.setattr(agent, "load", Config)
    monkeypatch.setattr(agent, "Host", lambda *_: loops)
    monkeypatch.setattr(agent, "Liveness", lambda names: Liveness(all_of(names), loops.clock))
    monkeypatch.setattr(agent, "Reconciler", lambda *given: loops.loop("reconcile", given[-1]))
    monkeypatch.setattr(agent, "HostReporter", lambda *given: loops.loop("node", given[-1]))
    monkeypatch.setattr(agent, "HookServer", lambda *given: loops.loop("hook", given[-1]))
    monkeypatch.setattr(agent, "FirewallWatch", lambda *given: loops.loop("firewall", given[-1]))
    monkeypatch.setattr(agent, "GatewayHost", lambda *given: loops.loop("gateway", given[-1]))
    monkeypatch.setattr(agent, "UplinkWatch", lambda *given: loops.loop("uplink", given[-1]))
    monkeypatch.setattr(agent, "LibvirtNetworks", lambda *given: loops.loop("networks", given[-1]))
    monkeypatch.setattr(agent, "LeaseFile", lambda *given: loops.loop("leases", given[-1]))
    monkeypatch.setattr(agent, "NameService", lambda *given: loops.loop("names", given[-1]))
    seen: list[str] = []

    def play() -> None:
        try:
            assert systemd.recv(100) == b"READY=1"
            for _ in range(3):
                assert systemd.recv(100) == b"WATCHDOG=1"
            with loops.lock:
                loops.standing.add(name)
            look(2)
            loops.clock.now += 61
            look(2)  # one of them may have begun before
            assert look(20) == []
            loops.standing.clear()
            assert systemd.recv(100) == b"WATCHDOG=1"
            seen.append("all")
        finally:
            systemd.close()  # else the agent would wait until somebody reads what it tells
            os.kill(os.getpid(), signal.SIGTERM)

    def look(times: int) -> list[bytes]:
        """What systemd is told meanwhile. It has to be read: the agent waits when ten messages are queued (unix(7))."""
        told: list[bytes] = []

        def looked() -> bool:
            told.extend(heard(systemd))
            return loops.looks.acquire(timeout=0.01)

        while loops.looks.acquire(blocking=False):
            pass
        for _ in range(times):
            until(looked, HANG, "the process to look at its loops")
        return told + heard(systemd)

    player = threading.Thread(target=play)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    player.start()
    try:
        assert agent.main() == 0
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        player.join(60)
    assert seen == ["all"]
