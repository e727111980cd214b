"""poll(2) in place of select(2) for the library `ovs`.

Its poller uses select(2), which takes no file descriptor above 1023. A control service whose clients hold many
connections has such descriptors, and would fail with ValueError at its next connection to a database.
"""

from __future__ import annotations

import select
from typing import Protocol

import ovs.poller


class _HasFile(Protocol):
    def fileno(self) -> int: ...


class Poll:
    """Takes the place of `ovs.poller.SelectPoll`, which adds up the events of a descriptor; poll(2) replaces them."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, file: int | _HasFile, events: int) -> None:
        """Wait for events of a descriptor, beside those that are waited for already."""
        number = file if isinstance(file, int) else file.fileno()
        self._events[number] = self._events.get(number, 0) | events

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        """Wait, for so many milliseconds at most; without end if it is negative."""
        found = select.poll()
        for number, events in self._events.items():
            found.register(number, events)
        return found.poll(timeout)


ovs.poller.SelectPoll = Poll
