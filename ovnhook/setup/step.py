"""A step of a host's set-up, as a value: what is to be so, whether it is, and what makes it so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ovnhook.base.errors import Unavailable

_PAUSE = 0.2  # seconds between two looks


def _nothing() -> None:
    """What is done where one can but wait."""


@dataclass(frozen=True)
class Step:
    """What is to be so.

    Attributes:
        what: in words that are true afterwards.
        is_so: whether it is so already; it touches nothing.
        make_so: makes it so.
        within: seconds that it may take to become so after that.
        hint: where to look if it does not.
    """

    what: str
    is_so: Callable[[], bool]
    make_so: Callable[[], None] = _nothing
    within: float = 60.0
    hint: str = ""


def carry_out(steps: Iterable[Step], say: Callable[[str], None]) -> None:
    """Make everything so that isn't, in order, and say of each step how it went; it may be repeated at any time.

    Raises:
        OvnhookError: of the first step that can't be carried out; those after it were not begun.
    """
    for step in steps:
        if step.is_so():
            say(f"as it was  {step.what}")
            continue
        late = None
        try:
            step.make_so()
        except Unavailable as error:  # who did not answer in time may have done it all the same, or do it yet
            late = error
        _wait(step, late)
        say(f"done       {step.what}")


def _wait(step: Step, late: Unavailable | None) -> None:
    end = time.monotonic() + step.within
    while not _is_so(step):
        if time.monotonic() > end:
            raise late or Unavailable(f"not so after {step.within:g} s: {step.what}", step.hint)
        time.sleep(_PAUSE)


def _is_so(step: Step) -> bool:
    try:
        return step.is_so()
    except Unavailable:  # not yet
        return False
