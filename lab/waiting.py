"""Polling with a timeout."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.errors import WaitError

T = TypeVar("T")

INTERVAL = 0.02
"""Seconds between two cheap polls: of a file, or whether a process is there."""
PAUSES = 3
"""A wait pauses this many times as long as the poll before took: many are commands, and those in guests slow ones."""
LONGEST = 1.0
"""Maximum pause, in seconds."""
HANG = 300.0
"""Timeout of all waits, in seconds: only a hang exceeds it, however busy the machine is."""


def until(
    poll: Callable[[], T],
    timeout: float,
    what: str,
    detail: Callable[[], str] | None = None,
    *,
    longest: float = LONGEST,
) -> T:
    """Poll until something true is returned, and return that: ``until(path.exists, HANG, "the socket")``.

    Args:
        poll: returns what is waited for, or something false.
        timeout: seconds.
        what: the name of what is waited for, for the error.
        detail: returns more for the error.
        longest: seconds that a pause has at most; a measurement wants short ones.

    Raises:
        WaitError: the time is over.
    """
    began = time.monotonic()
    deadline = began + timeout
    while True:
        found = poll()
        now = time.monotonic()
        if found:
            return found
        if now >= deadline:
            more = f"\n{detail()}" if detail is not None else ""
            raise WaitError(f"waited {timeout:g} s for {what}{more}")
        time.sleep(min(max(INTERVAL, PAUSES * (now - began)), longest))
        began = time.monotonic()


def accepts(path: Path) -> bool:
    """Return whether a program accepts connections on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
