"""Other settings of a host for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab import LabHost
from tests.cloud.world import CONFIG, LONG_DEADLINE

SHORT = 4.0
"""The shortest deadline there is, in seconds."""

REFUSING = 'on_unavailable = "refuse"\n'


@contextmanager
def changed_settings(host: LabHost, *, deadline: float = LONG_DEADLINE, more: str = "") -> Iterator[None]:
    """A host with other settings; the shortest deadline is for those who are sure to wait until it ends."""
    before = host.read(CONFIG)
    host.write(CONFIG, before.replace(f"deadline = {LONG_DEADLINE}", f"deadline = {deadline}") + more)
    host.daemon("agent").restart()
    try:
        yield
    finally:
        host.write(CONFIG, before)
        host.daemon("agent").restart()
