"""Actions that are repeated while somebody else changes the same rows first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Conflict, Unavailable

_PAUSE = 0.02  # seconds, the mean pause between two attempts

T = TypeVar("T")


def repeat(action: Callable[[], T], deadline: Deadline, *, outage_tries: int = 1) -> T:
    """Repeat an action after each conflict, until the deadline, with a random pause in between.

    Args:
        action: reads what it depends on anew each time.
        deadline: when to give up.
        outage_tries: how often it is tried when the database is out of reach: a cluster comes back by itself.

    Raises:
        Unavailable: time is over, or the database stayed out of reach.
    """
    outages = 0
    while True:
        try:
            return action()
        except Unavailable as error:
            if not isinstance(error, Conflict):
                outages += 1
            pause = random.uniform(0, 2 * _PAUSE) * (1 + 5 * outages)
            if outages >= outage_tries or deadline.remaining <= pause:
                raise
            time.sleep(pause)
