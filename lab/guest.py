"""A guest: its console, commands in it, pings from it."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab import guest_commands
from lab.domain import CONSOLES
from lab.errors import CommandError, LabError, WaitError
from lab.host import LabHost
from lab.waiting import HANG, INTERVAL, accepts, until

LOCKUP = re.compile(r"soft lockup - CPU#\d+ stuck for (\d+)s")
STUCK = 60
"""Seconds for which a kernel's CPU does nothing only if it never will again."""
OOPS = "---[ end trace"
"""Last line of a kernel's report of a fault of its own."""
ADDRESS = re.compile(r"lab: address (\S+) (\S+) ([0-9a-fA-F.:]+)/(\d+)")


@dataclass(frozen=True)
class Ping:
    """Result of pings."""

    sent: int
    received: int
    text: str

    @property
    def lost(self) -> int:
        """Number of lost pings."""
        return self.sent - self.received

    def __bool__(self) -> bool:
        return self.received > 0


class Guest:
    """A domain made by ``lab.domain.domain_xml`` that runs on a host."""

    def __init__(self, host: LabHost, name: str) -> None:
        self.host = host
        self.name = name
        folder = host.outside_path(CONSOLES)
        self.socket = folder / f"{name}.sock"
        self.log = folder / f"{name}.log"
        self._commands = folder / f"{name}.cmd"

    def __repr__(self) -> str:
        return f"<Guest {self.name} on {self.host.name}>"

    @classmethod
    def all(cls, host: LabHost) -> list[Guest]:
        """All guests that have or had a console on a host."""
        return [cls(host, path.stem) for path in cls.logs(host)]

    @classmethod
    def logs(cls, host: LabHost) -> list[Path]:
        """The logs of all consoles of a host."""
        return sorted(host.outside_path(CONSOLES).glob("*.log"))

    @property
    def running(self) -> bool:
        """Return whether its QEMU is running, paused or not. Does not call libvirt."""
        return accepts(self._commands)

    @property
    def is_stuck(self) -> bool:
        """Return whether its kernel reports a lockup, or a fault of its own.

        Happens after live migration under QEMU's CPU emulation (TCG) on a busy machine, in about one of some hundreds:
        the network driver searches forever for a buffer that is missing in its ring. Most likely a write of the guest
        was lost whose thread was preempted between the check of the page's dirty flag and the write. Where that was a
        pointer, the kernel reports a fault.
        """
        if not self.running:
            return False
        text = self.log.read_text(encoding="utf-8", errors="replace")
        said = LOCKUP.findall(text)
        return OOPS in text or (bool(said) and int(said[-1]) > STUCK)

    # -- commands

    def execute(self, command: str, timeout: float = HANG) -> tuple[int, str]:
        """Run shell commands in the guest; returns the exit status and the output (stdout and stderr).

        This goes over the guest's second serial port, so the shell on its first is left alone. A guest that still
        boots is waited for. The command is killed in the guest when the time is over.
        """
        try:
            return guest_commands.execute(self._commands, command, timeout)
        except WaitError as error:
            raise WaitError(f"{self.name} on {self.host.name}: {error}, to: {command}\n{self.tail()}") from None

    def console(self, command: str, timeout: float = HANG, check: bool = True) -> str:
        """The output of shell commands in the guest; a status other than 0 is an error unless ``check`` is off."""
        status, output = self.execute(command, timeout)
        if check and status != 0:
            raise CommandError([command], status, output, "", f"{self.name} on {self.host.name}")
        return output

    def ping(self, address: str, count: int = 3, *, interval: float = 0.2, size: int = 56, wait: int = 2) -> Ping:
        """Ping an address from the guest; after the last one, ``wait`` seconds are given to the answers."""
        seconds = int(count * interval) + wait + 1
        command = f"ping -c {count} -i {interval:g} -s {size} -W {wait} -w {seconds} {address}"
        _, text = self.execute(command, seconds + HANG)
        numbers = re.search(r"(\d+) packets transmitted, (\d+) packets received", text)
        if numbers is None and "ping: sendto: " in text:  # the guest has no way there, or not yet; busybox ends then
            return Ping(count, 0, text)
        if numbers is None:
            raise LabError(f"{self.name}: {command}: {text.strip()}")
        return Ping(int(numbers[1]), int(numbers[2]), text)

    def reach(self, address: str, *, size: int = 56, timeout: float = HANG) -> None:
        """Ping an address until three of three are answered: flows and neighbours may still be on their way."""
        pings: list[Ping] = []

        def answered() -> bool:
            pings.append(self.ping(address, size=size))
            return pings[-1].lost == 0

        until(answered, timeout, f"{self.name} on {self.host.name} to reach {address}", lambda: pings[-1].text)

    # -- addresses

    def addresses(self) -> dict[str, list[str]]:
        """The addresses that the console has printed so far, for each MAC, newest last."""
        try:
            return _addresses(self.log.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return {}

    def current_addresses(self, timeout: float = HANG) -> dict[str, list[str]]:
        """The present addresses, for each MAC, queried in the guest."""
        return _addresses(self.console("/lab/addresses", timeout))

    def wait_address(self, mac: str = "", timeout: float = HANG, family: int = 4) -> str:
        """Wait until the interface (without a MAC: any) has an address, and return it.

        Reads the console's log; queries a guest that was migrated or restored.
        """
        deadline = time.monotonic() + timeout
        ask_timeout, ask = 1.0, time.monotonic() + min(1.0, timeout / 2)
        while True:
            found = _fitting(self.addresses(), mac, family)
            if not found and time.monotonic() >= ask and self.running:
                with suppress(LabError):
                    found = _fitting(self.current_addresses(ask_timeout), mac, family)
                ask_timeout, ask = ask_timeout * 2, time.monotonic() + 1.0  # a booting guest does not answer
            if found:
                return found
            if time.monotonic() >= deadline:
                what = f"IPv{family} address for {mac or 'any interface'}"
                raise WaitError(f"{self.name} on {self.host.name}: no {what} in {timeout:g} s\n{self.tail()}")
            time.sleep(INTERVAL)

    def tail(self, lines: int = 20) -> str:
        """The last lines of its console."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no console)"
        return "\n".join(text.splitlines()[-lines:])


def _addresses(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for _, mac, address, _ in ADDRESS.findall(text):
        found.setdefault(mac.lower(), []).append(address)
    return found


def _fitting(addresses: dict[str, list[str]], mac: str, family: int) -> str:
    for known, all_of_it in addresses.items():
        fitting = [address for address in all_of_it if (":" in address) == (family == 6)]
        if fitting and (not mac or known == mac.lower()):
            return fitting[-1]
    return ""
