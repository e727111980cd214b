"""A clock that tests set."""

from __future__ import annotations


class Clock:
    """A clock whose time passes only when a test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Time in seconds."""
        return self.now
