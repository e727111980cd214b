"""Replacement of select(2) by poll(2) in the library `ovs`.

Its poller uses select(2), which is limited to file descriptors up to 1023. A control service with many client
connections has higher ones, and its next connection to a database would raise ValueError.
"""

from __future__ import annotations

import select
from typing import Protocol

import ovs.poller


class _HasFile(Protocol):
    def fileno(self) -> int: ...


class Poll:
    """Replacement of `ovs.poller.SelectPoll`. Like it, registering a descriptor again adds events."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, file: int | _HasFile, events: int) -> None:
        """Add events of a descriptor."""
        number = file if isinstance(file, int) else file.fileno()
        self._events[number] = self._events.get(number, 0) | events

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        """Wait for events; the timeout is in milliseconds, negative for none."""
        found = select.poll()
        for number, events in self._events.items():
            found.register(number, events)
        return found.poll(timeout)


ovs.poller.SelectPoll = Poll
