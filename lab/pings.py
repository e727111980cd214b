"""Pings of a guest in the background, to measure losses."""

from __future__ import annotations

import re

from lab.guest import Guest
from lab.waiting import HANG, until

RATE = 10
"""Pings a second."""


class Pings:
    """Pings to an address, each with its number.

    Args:
        guest: pings from now on; earlier ones of its end.
        address: of the other.
        rate: pings a second.
    """

    def __init__(self, guest: Guest, address: str, rate: int = RATE) -> None:
        self.guest = guest
        self._rate = rate
        guest.console("kill $(cat /run/pings.pid) 2>/dev/null; rm -f /run/pings", check=False)
        guest.console(f"ping -i {1 / rate} {address} >/run/pings 2>&1 & echo $! >/run/pings.pid")
        until(lambda: len(self._answers()) > rate, HANG, f"answers of {address} to {guest.name}")
        self._since = self._answers()[-1]

    def settle(self, seconds: int = 1) -> tuple[int, int]:
        """Wait until no ping is lost; return the numbers lost and answered twice since the last call."""
        before = len(self._answers())
        until(lambda: len(self._answers()) > before + seconds * self._rate, HANG, f"answers to {self.guest.name} again")
        found = [number for number in self._answers() if number > self._since]
        lost, doubled = max(found) - self._since - len(set(found)), len(found) - len(set(found))
        self._since = max(found)
        return lost, doubled

    def _answers(self) -> list[int]:
        return [int(number) for number in re.findall(r"seq=(\d+)", self.guest.console("cat /run/pings"))]
