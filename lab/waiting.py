"""Waiting with a deadline, by looking often."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.errors import WaitError

T = TypeVar("T")

INTERVAL = 0.02
"""Seconds between two cheap looks: at a file, or whether a process is there."""
PAUSES = 3
"""A wait pauses this many times as long as the look before took: looks are commands, and in guests dear ones."""
LONGEST = 1.0
"""Seconds that a wait pauses at most."""
HANG = 300.0
"""Seconds that nothing takes but what hangs, however busy the machine is: the bound of whatever is waited for."""


def until(look: Callable[[], T], timeout: float, what: str, detail: Callable[[], str] | None = None) -> T:
    """Call ``look`` again and again until it returns something true, and return that."""
    began = time.monotonic()
    deadline = began + timeout
    while True:
        found = look()
        now = time.monotonic()
        if found:
            return found
        if now >= deadline:
            more = f"\n{detail()}" if detail is not None else ""
            raise WaitError(f"waited {timeout:g} s for {what}{more}")
        time.sleep(min(max(INTERVAL, PAUSES * (now - began)), LONGEST))
        began = time.monotonic()


def accepts(path: Path) -> bool:
    """Whether a program accepts connections on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
