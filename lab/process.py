"""Processes: commands that are run to their end, and processes that run on.

Those are known by pid and start time, so that a pid used again is never taken for the old process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import CommandError
from lab.waiting import HANG, INTERVAL

PROC = Path("/proc")
DEAD = frozenset("ZX")


@dataclass(frozen=True)
class Process:
    """One process of this machine."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now."""
        fields = _stat(pid)
        return cls(pid, int(fields[19])) if fields else None

    @property
    def state(self) -> str:
        """Its letter in /proc (R, S, T ...), or an empty string when it is gone or waits to be reaped."""
        fields = _stat(self.pid)
        if not fields or int(fields[19]) != self.started:
            return ""
        if fields[0] in DEAD and self._threads() <= 1:
            return ""
        return fields[0]

    @property
    def alive(self) -> bool:
        """Return whether it is running; a stopped process is, a zombie is not."""
        return bool(self.state)

    @property
    def command(self) -> str:
        """Its command line."""
        try:
            return (PROC / str(self.pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""

    def _threads(self) -> int:
        """Number of threads: the sockets of a killed process are closed when the last one has ended."""
        try:
            return len(list((PROC / str(self.pid) / "task").iterdir()))
        except OSError:
            return 0

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def end(self, grace: float) -> None:
        """Terminate it, and kill it after ``grace`` seconds."""
        end_all([self], grace)


def end_all(processes: Iterable[Process], grace: float) -> list[Process]:
    """End all of them at once (stopped ones too); return those that could not be ended."""
    left = [process for process in processes if process.alive]
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        for process in left:
            process.signal(number)
            process.signal(signal.SIGCONT)
        deadline = time.monotonic() + wait
        while left and time.monotonic() < deadline:
            reap(process.pid for process in left)
            left = [process for process in left if process.alive]
            if left:
                time.sleep(INTERVAL)
    return left


def reap(pids: Iterable[int]) -> None:
    """Collect those of our own children that have ended."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except (ChildProcessError, OSError):
            continue


def inside(namespaces: Iterable[tuple[str, int]]) -> list[Process]:
    """All processes that live in one of the namespaces, given as (kind, inode), such as ("net", 4026531840)."""
    wanted = set(namespaces)
    kinds = {kind for kind, _ in wanted}
    found: list[Process] = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        for kind in kinds:
            try:
                inode = (entry / "ns" / kind).stat().st_ino
            except OSError:
                continue
            if (kind, inode) in wanted:
                process = Process.of(int(entry.name))
                if process is not None:
                    found.append(process)
                break
    return found


def run(
    argv: Sequence[str],
    *,
    inner: Sequence[str] | None = None,
    where: str = "",
    check: bool = True,
    timeout: float = HANG,
    input: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; when it fails, or is not done in time, the error shows all of it.

    Args:
        argv: the command.
        inner: the command that ``argv`` leads to, which the result and the error name; None if that is ``argv``.
        where: the name of the host that it runs on, for the error.
        check: whether another exit status than 0 is an error.
        timeout: seconds.
        input: for its stdin.
        environment: all of it; None for that of this process.
    """
    shown = list(argv if inner is None else inner)
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = child.communicate(input, timeout)
    except subprocess.TimeoutExpired as expired:
        _kill_group(child)
        raise CommandError(shown, None, _text(expired.stdout), _text(expired.stderr), where) from None
    except BaseException:
        _kill_group(child)
        raise
    if check and child.returncode != 0:
        raise CommandError(shown, child.returncode, out, err, where)
    return subprocess.CompletedProcess(shown, child.returncode, out, err)


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else (data or "")


def _kill_group(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()
    child.wait(HANG)


def _stat(pid: int) -> list[str]:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
