"""Retry after conflicts and outages, with a random delay."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, Unavailable, Unrepaired

_DELAY = 0.02  # seconds, mean delay between two attempts

T = TypeVar("T")


def repeat(action: Callable[[], T], deadline: Deadline, *, outage_tries: int = 1) -> T:
    """Repeat an action after each conflict, until the deadline, with a random delay in between.

    Example::

        lease = repeat(lambda: release(address), deadline)

    Args:
        action: action that reads the state it depends on each time.
        deadline: when to give up.
        outage_tries: number of attempts while the database is unreachable.

    Raises:
        Unavailable: deadline exceeded, or database unreachable.
        Unrepaired: at once, since a repair takes longer than a retry.
    """
    outages = 0
    while True:
        try:
            return action()
        except Unrepaired:
            raise
        except Unavailable as error:
            if not isinstance(error, Conflict):
                outages += 1
            delay = random.uniform(0, 2 * _DELAY) * (1 + 5 * outages)
            if outages >= outage_tries or deadline.remaining <= delay:
                raise
            time.sleep(delay)
