"""Steps for the host's services, with systemctl(1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from ovnhook.base.command import run, succeeds
from ovnhook.base.errors import NotFound
from ovnhook.pki import keyfiles
from ovnhook.setup.step import Step

_RESOLUTION = 1.0  # seconds, of systemd's timestamps


def enabled(unit: str, package: str) -> Step:
    """Enable and start a service.

    Args:
        unit: name of the unit.
        package: Debian package of the unit.
    """

    def is_done() -> bool:
        if not succeeds("systemctl", "cat", unit):
            raise NotFound(f"no unit {unit} on this host", f"apt install {package}")
        return succeeds("systemctl", "is-enabled", "--quiet", unit) and _is_active(unit)

    return Step(
        f"{unit} is enabled and running",
        is_done,
        lambda: _do(unit, "enable", "--now"),
        hint=_where(unit),
    )


def started(unit: str) -> Step:
    """Start a service that another one starts at boot."""
    return Step(f"{unit} is running", lambda: _is_active(unit), lambda: _do(unit, "start"), hint=_where(unit))


def restarted(unit: str, file: Path) -> Step:
    """Restart a service if a file that it reads at start has changed.

    Args:
        unit: name of the unit.
        file: the file.
    """

    def is_loaded() -> bool:
        output = run("systemctl", "show", "--property=ActiveEnterTimestamp", "--timestamp=unix", "--value", unit)
        since = output.strip().removeprefix("@")
        # A service that started in the second of the last change may have read the old content.
        return _is_active(unit) and float(since or 0) > file.stat().st_mtime

    def restart() -> None:
        time.sleep(min(_RESOLUTION, max(0.0, file.stat().st_mtime + _RESOLUTION - time.time())))
        _do(unit, "restart")

    return Step(f"{unit} has loaded {file}", is_loaded, restart, timeout=120, hint=_where(unit))


def runs_with(
    unit: str, goal: str, pid: Path, restart: Callable[[], None], *words: str, never: Collection[str] = ()
) -> Step:
    """Restart a service unless its command line has some arguments.

    Args:
        unit: name of the unit.
        goal: meaning of the arguments, as the goal of the step.
        pid: PID file of the service.
        restart: restarts it with the arguments.
        words: required arguments.
        never: forbidden arguments.
    """

    def is_done() -> bool:
        number = keyfiles.read(pid).decode().strip()
        line = keyfiles.read(Path(f"/proc/{number}/cmdline")).decode().split("\0") if number else []
        return set(words) <= set(line) and not set(never) & set(line) and _is_active(unit)

    return Step(goal, is_done, restart, timeout=120, hint=_where(unit))


def _is_active(unit: str) -> bool:
    return succeeds("systemctl", "is-active", "--quiet", unit)


def _do(unit: str, *verb: str) -> None:
    run("systemctl", *verb, unit, hint=_where(unit))


def _where(unit: str) -> str:
    return f"systemctl status {unit}; journalctl -u {unit}"
