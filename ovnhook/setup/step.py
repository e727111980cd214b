"""Idempotent steps of a host's set-up: a goal, a test for it, and an action."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ovnhook.base.errors import Unavailable

_POLL_INTERVAL = 0.2  # seconds


def _wait_only() -> None:
    """No action: the goal is reached by something else."""


@dataclass(frozen=True)
class Step:
    """Idempotent step.

    Attributes:
        goal: statement that is true afterwards.
        is_done: tests for the goal without side effects.
        apply: action towards the goal.
        timeout: seconds to wait for the goal after the action.
        hint: where to look after a timeout.
    """

    goal: str
    is_done: Callable[[], bool]
    apply: Callable[[], None] = _wait_only
    timeout: float = 60.0
    hint: str = ""


def apply_steps(steps: Iterable[Step], say: Callable[[str], None]) -> None:
    """Apply the steps that are not done, in order, and report each. Idempotent.

    Raises:
        OvnhookError: a step failed; later ones were not started.
    """
    for step in steps:
        if step.is_done():
            say(f"unchanged  {step.goal}")
            continue
        late = None
        try:
            step.apply()
        except Unavailable as error:  # the action may have succeeded, or still succeed
            late = error
        _wait(step, late)
        say(f"changed    {step.goal}")


def _wait(step: Step, late: Unavailable | None) -> None:
    end = time.monotonic() + step.timeout
    while not _is_done(step):
        if time.monotonic() > end:
            raise late or Unavailable(f"timed out after {step.timeout:g} s: {step.goal}", step.hint)
        time.sleep(_POLL_INTERVAL)


def _is_done(step: Step) -> bool:
    try:
        return step.is_done()
    except Unavailable:  # not yet
        return False
