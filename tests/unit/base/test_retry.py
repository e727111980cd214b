"""Retries after conflicts, outages and other errors."""

from __future__ import annotations

import pytest

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, NotFound, OvnhookError, Unavailable, Unrepaired
from ovnhook.base.retry import repeat


@pytest.mark.parametrize(
    ("error", "most"),
    [(Conflict("c"), 10), (Unavailable("u"), 3), (Unrepaired("r"), 1), (NotFound("n"), 1)],
    ids=lambda value: type(value).__name__,
)
def test_only_conflicts_and_outages_are_retried(error: OvnhookError, most: int) -> None:
    """A missing row is repaired within a minute, not within the second that retries of an outage take."""
    attempts = 0

    def fail() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 10:
            raise error

    if most < 10:
        with pytest.raises(type(error)):
            repeat(fail, Deadline.after(600), outage_tries=3)
    else:
        repeat(fail, Deadline.after(600), outage_tries=3)
    assert attempts == most
