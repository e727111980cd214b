"""The control service under systemd: a process, its notifications, and a listener that answers nobody."""

from __future__ import annotations

import mmap
import resource
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.waiting import HANG
from tests.database.control_process import ControlProcess
from tests.database.control_service import Control
from tests.database.ovsdb_server import wait_for

CLOCK = """\
import mmap, os, struct, time
with open(os.environ["AHEAD"], "rb") as file:
    ahead = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
true = time.monotonic
time.monotonic = lambda: true() + struct.unpack_from("d", ahead)[0]
"""
"""A sitecustomize (module site of Python) that lets the test say how far the clock of the process is ahead."""

STEP = 20.0  # seconds, less than a loop may stand still


class WatchedProcess:
    """A control service whose clock is the test's, and what it has told systemd."""

    def __init__(self, control: Control, directory: Path) -> None:
        where = directory / "ahead"
        where.write_bytes(bytes(8))
        (directory / "sitecustomize.py").write_text(CLOCK)
        with where.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), 8)
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(str(directory / "systemd"))
        self._systemd.settimeout(0.2)
        path = directory / "own" / "control.sock"
        self.service = ControlProcess(
            path,
            control.config,
            NOTIFY_SOCKET=str(directory / "systemd"),
            AHEAD=str(where),
            PYTHONPATH=f"{directory}:{Path(__file__).parents[3]}",
        )
        self.withheld = f"stuck: {path}: the watchdog will restart the service"

    def heard(self) -> bytes:
        """What it tells systemd next, or nothing for now."""
        try:
            return self._systemd.recv(100)
        except TimeoutError:
            return b""

    def advance(self, seconds: float) -> None:
        """Let its clock be further ahead."""
        struct.pack_into("d", self._ahead, 0, struct.unpack_from("d", self._ahead)[0] + seconds)

    def limit_files(self, most: int) -> None:
        """Let it open no file, and no connection, beyond so many."""
        _, hard = resource.prlimit(self.service.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.service.process.pid, resource.RLIMIT_NOFILE, (most, hard))

    def times_withheld(self) -> int:
        """How often it has found that its listener, and nothing else, stands still."""
        return self.service.journal.read_text().count(self.withheld)

    def close(self) -> None:
        """End it."""
        self.service.stop()
        self._systemd.close()


@pytest.fixture
def process(control: Control, directory: Path) -> Iterator[WatchedProcess]:
    """One."""
    (directory / "own").mkdir(exist_ok=True)
    made = WatchedProcess(control, directory)
    yield made
    made.close()


def test_a_listener_that_accepts_nobody(process: WatchedProcess) -> None:
    """It starves the watchdog, though every loop goes on, until it accepts again."""
    assert process.heard() == b"READY=1"
    wait_for(lambda: process.heard() == b"WATCHDOG=1")
    process.limit_files(0)
    end = time.monotonic() + HANG
    while not process.times_withheld():
        assert time.monotonic() < end
        if process.heard() == b"WATCHDOG=1":
            process.advance(STEP)
    while process.heard():  # what was said before; nothing follows, for nobody is accepted
        pass
    assert process.times_withheld() == 1
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    process.limit_files(min(most, 1024))
    wait_for(lambda: process.heard() == b"WATCHDOG=1")
