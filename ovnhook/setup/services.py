"""Services of the host, by systemctl(1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ovnhook.base.errors import NotFound
from ovnhook.pki import keyfiles
from ovnhook.setup.command import holds, run
from ovnhook.setup.step import Step

_TICK = 1.0  # seconds: how exactly systemd tells when a service has begun


def enabled(unit: str, package: str) -> Step:
    """A service runs, and will after a reboot.

    Args:
        unit: its name.
        package: of Debian or ovnhook, that brings it.
    """

    def is_so() -> bool:
        if not holds("systemctl", "cat", unit):
            raise NotFound(f"this host has no {unit}", f"apt install {package}")
        return holds("systemctl", "is-enabled", "--quiet", unit) and _is_active(unit)

    return Step(
        f"{unit} runs, and is started at boot",
        is_so,
        lambda: _do(unit, "enable", "--now"),
        hint=_where(unit),
    )


def started(unit: str) -> Step:
    """A service runs that another one starts at boot."""
    return Step(f"{unit} runs", lambda: _is_active(unit), lambda: _do(unit, "start"), hint=_where(unit))


def restarted(unit: str, file: Path) -> Step:
    """A service that runs has read a file that it reads when it starts.

    Args:
        unit: its name.
        file: that it reads.
    """

    def has_read() -> bool:
        said = run("systemctl", "show", "--property=ActiveEnterTimestamp", "--timestamp=unix", "--value", unit)
        since = said.strip().removeprefix("@")
        # Whole seconds are told: one that began in that of the last change may have read what was there before.
        return _is_active(unit) and float(since or 0) > file.stat().st_mtime

    def restart() -> None:
        time.sleep(min(_TICK, max(0.0, file.stat().st_mtime + _TICK - time.time())))
        _do(unit, "restart")

    return Step(f"{unit} has read {file}", has_read, restart, within=120, hint=_where(unit))


def runs_with(unit: str, what: str, pid: Path, restart: Callable[[], None], *words: str, never: str = "") -> Step:
    """A service runs with some words on its command line.

    Args:
        unit: its name.
        what: in words, what the words mean.
        pid: the file with the number of its process.
        restart: starts it anew, with these words.
        words: that are to be there.
        never: a word that is not to be there, or "".
    """

    def is_so() -> bool:
        number = keyfiles.read(pid).decode().strip()
        line = keyfiles.read(Path(f"/proc/{number}/cmdline")).decode().split("\0") if number else []
        return set(words) <= set(line) and not (never and never in line) and _is_active(unit)

    return Step(what, is_so, restart, within=120, hint=_where(unit))


def _is_active(unit: str) -> bool:
    return holds("systemctl", "is-active", "--quiet", unit)


def _do(unit: str, *verb: str) -> None:
    run("systemctl", *verb, unit, hint=_where(unit))


def _where(unit: str) -> str:
    return f"systemctl status {unit}; journalctl -u {unit}"
