"""Processes of dnsmasq(8). They outlive the agent, which adopts them when it starts again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NotFound, Unavailable
from ovnhook.hostnetwork.netns import NetworkNamespace

_PROGRAM = "dnsmasq"
_PACKAGE = "dnsmasq-base"
_POLL_INTERVAL = 0.02  # seconds
_GRACE_PERIOD = 2.0  # seconds between SIGTERM and SIGKILL


def dns_user() -> str:
    """User of the servers: that of Debian's package, or one that every system has."""
    try:
        return pwd.getpwnam(_PROGRAM).pw_name
    except KeyError:
        return "nobody"


class DnsProcess:
    """A server with a configuration, in a folder of its own.

    The name of the configuration's file depends on its content and is an argument of the process: so the process itself
    tells which configuration it has.

    Args:
        folder: of its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pid_file = folder / "pid"

    def pid(self) -> int:
        """PID of the running server, or 0."""
        pid = self._recorded()
        return pid if self._file_of(pid) else 0

    def runs_with(self, text: str) -> bool:
        """Check whether the server runs with a configuration."""
        return self._file_of(self._recorded()) == str(self._file(text))

    def start(self, text: str, namespace: NetworkNamespace, deadline: Deadline) -> None:
        """Start the server, or replace one that has another configuration.

        Args:
            text: its configuration.
            namespace: where it runs.
            deadline: for all of it.

        Raises:
            OvnhookError: it did not start; the message has its reason.
        """
        if not shutil.which(_PROGRAM):
            raise NotFound("guests need dnsmasq to resolve names", f"apt install {_PACKAGE}")
        self.stop(deadline)
        for pid in _processes():  # those whose PID file was removed
            if self._file_of(pid) and namespace.has(pid):
                self._end(pid, deadline)
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)  # the server's user reads names there
        for old in self._folder.glob("*.conf"):
            old.unlink()
        file = self._file(text)
        file.write_text(text, encoding="utf-8")
        # It returns when the server serves.
        namespace.run(_PROGRAM, f"--conf-file={file}", deadline=deadline, hint="journalctl -t dnsmasq")

    def reload(self) -> None:
        """Let the server read all names again."""
        if pid := self.pid():
            _signal(pid, signal.SIGHUP)

    def stop(self, deadline: Deadline) -> None:
        """Stop the server and wait for its end.

        Raises:
            Unavailable: it still runs.
        """
        if pid := self.pid():
            self._end(pid, deadline)

    def remove(self, deadline: Deadline) -> None:
        """Stop the server and remove its files."""
        self.stop(deadline)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, pid: int, deadline: Deadline) -> None:
        for number, until in ((signal.SIGTERM, deadline.half(_GRACE_PERIOD)), (signal.SIGKILL, deadline)):
            _signal(pid, number)
            while self._file_of(pid):
                if not until.remaining:
                    break
                time.sleep(_POLL_INTERVAL)
            else:
                return
        raise Unavailable(f"dnsmasq with PID {pid} does not end", f"kill -9 {pid}")

    def _file(self, text: str) -> Path:
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.conf"

    def _recorded(self) -> int:
        try:
            return int(self.pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def _file_of(self, pid: int) -> str:
        """The configuration file of a process, or "" if it is not our server."""
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return ""
        if len(arguments) < 2 or Path(os.fsdecode(arguments[0])).name != _PROGRAM:
            return ""
        file = os.fsdecode(arguments[1]).removeprefix("--conf-file=")
        return file if Path(file).parent == self._folder else ""


def _processes() -> Iterator[int]:
    """PIDs of all processes."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal, unless the process has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
