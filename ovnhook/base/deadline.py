"""A moment after which waiting is over. Every wait in ovnhook is given one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ovnhook.base.errors import Unavailable

_WORTH_SAYING = 0.05  # seconds


def _now() -> float:
    return time.monotonic()


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, which all processes of a host share.

    Attributes:
        at: seconds, as ``time.monotonic()`` counts them.
        began: when the work began that has to end by then.
        spent: seconds that each step of it has waited for something else, by its name; parts of it share this.
    """

    at: float
    began: float = field(default_factory=_now, compare=False)
    spent: dict[str, float] = field(default_factory=dict, compare=False)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """An earlier moment for a part of the work: that many seconds from now, or this one."""
        return Deadline(min(self.at, time.monotonic() + seconds), self.began, self.spent)

    def half(self, most: float) -> Deadline:
        """The moment when half of the time left is over, `most` seconds from now at the latest."""
        return self.within(min(most, self.remaining / 2))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Count the time until the end of the block as a wait for something else."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.spent[what] = self.spent.get(what, 0.0) + time.monotonic() - start

    def check(self, what: str) -> None:
        """Raise Unavailable if the moment has passed; `what` says what was being done."""
        if not self.remaining:
            raise Unavailable(f"{what}: no time left{self.account()}")

    def account(self) -> str:
        """Return what the time was spent with, in words, or "" where that was next to nothing."""
        own = time.monotonic() - self.began - sum(self.spent.values())
        is_slow = own > sum(self.spent.values())
        steps = {**self.spent, "its own work" if is_slow else "this host's own work": own}
        said = ", ".join(
            f"{step} took {seconds:.1f} s"
            for step, seconds in sorted(steps.items(), key=lambda step: -step[1])
            if seconds >= _WORTH_SAYING
        )
        if not said:
            return ""
        return f": this host was too slow: {said}" if is_slow else f": {said}"
