"""Calls that end in time, with a libvirt of the test's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lab.waiting import HANG
from ovnhook.agent.libvirtcalls import LibvirtCalls, NoAnswer


class ClosableConnection:
    """A connection that may end."""

    def __init__(self) -> None:
        self.is_open = True

    def isAlive(self) -> bool:  # noqa: N802
        """As libvirt's."""
        return self.is_open

    def close(self) -> int:
        """As libvirt's."""
        self.is_open = False
        return 0


class SilentLibvirt:
    """Answers at once, but about what it is to be silent about until it is let go on."""

    def __init__(self) -> None:
        self.connections: list[ClosableConnection] = []
        self.go_on = threading.Event()
        self.answered = threading.Semaphore(0)
        self.calls: LibvirtCalls[ClosableConnection] = LibvirtCalls(self.connect, self.answered.release)
        self.refuses = self.hangs = False

    def connect(self) -> ClosableConnection:
        """Open a connection."""
        if self.hangs:
            self.go_on.wait(60)
        if self.refuses:
            raise OSError("no libvirt")
        self.connections.append(ClosableConnection())
        return self.connections[-1]

    def ask(self, subject: str, *, silent: bool = False) -> str:
        """Ask about something."""

        def answer(_: ClosableConnection) -> str:
            if silent:
                self.go_on.wait(60)
            return f"{subject} is well"

        # A machine may be slow; what hangs does for ever.
        self.calls.timeout = 0.05 if silent or self.hangs else 60
        return self.calls.call(subject, answer)


@pytest.fixture
def libvirt() -> Iterator[SilentLibvirt]:
    """As above."""
    made = SilentLibvirt()
    yield made
    made.go_on.set()


def threads() -> int:
    """Threads that call libvirt."""
    return sum(thread.name == "libvirt call" for thread in threading.enumerate())


def test_one_thread_and_one_connection_do_for_all(libvirt: SilentLibvirt) -> None:
    """As long as everything is answered."""
    before = threads()
    assert {libvirt.ask(f"vm{number}") for number in range(100)} == {f"vm{number} is well" for number in range(100)}
    assert len(libvirt.connections) == 1
    assert threads() == before + 1


def test_silence_about_one_delays_no_other(libvirt: SilentLibvirt) -> None:
    """Nor is it asked about again before it has answered; then it is."""
    with pytest.raises(NoAnswer, match="libvirt does not answer"):
        libvirt.ask("stuck", silent=True)
    before = threads()
    for _ in range(100):
        with pytest.raises(NoAnswer):
            libvirt.ask("stuck", silent=True)
        assert libvirt.ask("fine") == "fine is well"
    assert threads() <= before + 1
    libvirt.go_on.set()
    assert libvirt.answered.acquire(timeout=HANG)
    assert libvirt.ask("stuck") == "stuck is well"


def test_late_calls_have_a_limit(libvirt: SilentLibvirt) -> None:
    """So that libvirt's workers are not all ours; those that were late are reused or end."""
    before = threads()
    for number in range(50):
        with pytest.raises(NoAnswer):
            libvirt.ask(f"stuck{number}", silent=True)
    assert threads() == before + 5
    with pytest.raises(NoAnswer, match="5 other calls are blocked"):
        libvirt.ask("fine")
    libvirt.go_on.set()
    for _ in range(5):
        assert libvirt.answered.acquire(timeout=HANG)
    assert libvirt.ask("fine") == "fine is well"
    for thread in threading.enumerate():
        if thread.name == "libvirt call" and threads() > before + 1:
            thread.join(1)
    assert sum(one.is_open for one in libvirt.connections) == 1


def test_a_connection_that_does_not_open(libvirt: SilentLibvirt) -> None:
    """A second one would not either: all calls fail at once, by one thread that waits."""
    libvirt.hangs = True
    before = threads()
    for number in range(20):
        with pytest.raises(NoAnswer):
            libvirt.ask(f"vm{number}")
    assert threads() == before + 1
    libvirt.hangs = False
    libvirt.go_on.set()
    assert libvirt.answered.acquire(timeout=HANG)
    assert libvirt.ask("vm1") == "vm1 is well"


def test_a_connection_that_ended_is_opened_anew(libvirt: SilentLibvirt) -> None:
    """And what libvirt says against it is said to who calls."""
    libvirt.ask("vm1")
    libvirt.connections[0].is_open = False
    libvirt.refuses = True
    with pytest.raises(OSError, match="no libvirt"):
        libvirt.ask("vm1")
    libvirt.refuses = False
    assert libvirt.ask("vm1") == "vm1 is well"
    assert len(libvirt.connections) == 2
