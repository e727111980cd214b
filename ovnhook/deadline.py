"""A moment after which waiting is over. Every wait in ovnhook is given one."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ovnhook.errors import Unavailable


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, which all processes of a host share.

    Attributes:
        at: seconds, as ``time.monotonic()`` counts them.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def half(self, most: float) -> Deadline:
        """The moment when half of the time left is over, `most` seconds from now at the latest."""
        return Deadline.after(min(most, self.remaining / 2))

    def check(self, what: str) -> None:
        """Raise Unavailable if the moment has passed; `what` says what was being done."""
        if not self.remaining:
            raise Unavailable(f"{what}: no time left")
