"""Deadlines on the monotonic clock. Every wait in ovnhook has one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ovnhook.base.errors import Unavailable

_NEGLIGIBLE = 0.05  # seconds: shorter steps are left out of messages


def _now() -> float:
    return time.monotonic()


@dataclass(frozen=True)
class Deadline:
    """A deadline of an operation and its steps, valid in all processes of a host.

    Example::

        deadline = Deadline.after(2.5)
        rows = database.transact(operations, deadline.within(1.0))  # one step: at most 1 s, never past the deadline

    Attributes:
        at: time of expiry, as ``time.monotonic()``.
        started_at: start of the operation.
        waited: seconds waited for each step, by its name; shared with the deadlines of steps.
    """

    at: float
    started_at: float = field(default_factory=_now, compare=False)
    waited: dict[str, float] = field(default_factory=dict, compare=False)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """Deadline of a step: `seconds` from now, and not after this one."""
        return Deadline(min(self.at, time.monotonic() + seconds), self.started_at, self.waited)

    def half(self, most: float) -> Deadline:
        """Deadline of a step: half of the time left, and at most `most` seconds."""
        return self.within(min(most, self.remaining / 2))

    @contextmanager
    def waiting(self, step: str) -> Iterator[None]:
        """Count the time until the end of the block as waited for a step."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.waited[step] = self.waited.get(step, 0.0) + time.monotonic() - start

    def check(self, step: str) -> None:
        """Raise Unavailable if the deadline has passed."""
        if not self.remaining:
            raise Unavailable(f"{step}: deadline exceeded{self.time_spent()}")

    def time_spent(self) -> str:
        """Time spent per step, as the end of an error message; "" if negligible."""
        own = time.monotonic() - self.started_at - sum(self.waited.values())
        is_slow = own > sum(self.waited.values())
        steps = {**self.waited, "local processing": own}
        text = ", ".join(
            f"{step} took {seconds:.1f} s"
            for step, seconds in sorted(steps.items(), key=lambda step: -step[1])
            if seconds >= _NEGLIGIBLE
        )
        if not text:
            return ""
        return f": this host was too slow: {text}" if is_slow else f": {text}"
