"""One long-running program on a host: started, stopped, killed, paused by its pid file."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.namespaces import Namespaces
from lab.process import Process, reap
from lab.waiting import HANG, until

Ready = Callable[["Daemon"], bool]


class Daemon:
    """A program that runs on a host until it is stopped; its output goes to its log."""

    def __init__(
        self,
        host: Namespaces,
        name: str,
        argv: Sequence[str],
        *,
        ready: Ready | None = None,
        environment: Mapping[str, str] | None = None,
        grace: float = 5.0,
        timeout: float = HANG,
    ) -> None:
        self.host = host
        self.name = name
        self.argv = list(argv)
        self.ready = ready
        self.environment = dict(environment or {})
        self.grace = grace
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<Daemon {self.host.name}/{self.name} pid={self.pid}>"

    @property
    def log(self) -> Path:
        """The file that has its stdout and stderr."""
        return self.host.logs / f"{self.name}.log"

    @property
    def process(self) -> Process | None:
        """The process that was started last, whether it still runs or not."""
        try:
            pid, started = (self.host.pids / self.name).read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return None
        return Process(int(pid), int(started))

    @property
    def pid(self) -> int | None:
        """Its pid while it runs."""
        process = self._running()
        return process.pid if process else None

    @property
    def running(self) -> bool:
        """Return whether it is running; a paused daemon is."""
        return self._running() is not None

    @property
    def state(self) -> str:
        """State: running, paused, stopped (by stop, or never started) or died."""
        process = self.process
        if process is None:
            return "stopped"
        reap([process.pid])
        letter = process.state
        if not letter:
            return "died"
        return "paused" if letter == "T" else "running"

    def start(self, environment: Mapping[str, str] | None = None) -> Daemon:
        """Start it and wait until it is ready. Idempotent."""
        if self.running:
            return self
        if environment is not None:
            self.environment = dict(environment)
        with self.log.open("ab") as log:
            child = self.host.popen(self.argv, stdout=log, stderr=log, environment=self.environment)
        process = Process.of(child.pid)
        if process is None:
            raise LabError(f"{self.host.name}: {self.name} ended at once\n{self.tail()}")
        (self.host.pids / self.name).write_text(f"{process.pid} {process.started}\n", encoding="utf-8")
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until it is ready to serve."""
        ready = self.ready
        if ready is None:
            return

        def poll() -> bool:
            if not self.running:
                raise LabError(f"{self.host.name}: {self.name} ended before it was ready\n{self.tail()}")
            return ready(self)

        until(poll, self.timeout, f"{self.name} on {self.host.name}", self.tail)

    def stop(self) -> None:
        """Terminate it; after the grace period kill it. Also ends a paused one."""
        process = self._running()
        if process is not None:
            process.end(self.grace)
        (self.host.pids / self.name).unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill it with SIGKILL, like a crash, and wait until it has exited."""
        process = self._running()
        if process is None:
            return
        process.signal(signal.SIGKILL)
        until(lambda: not self.running, HANG, f"the end of {self.name} on {self.host.name}")

    def pause(self) -> None:
        """Stop it with SIGSTOP: it runs, but does not respond."""
        self._signal(signal.SIGSTOP)
        until(lambda: self.state == "paused", HANG, f"{self.name} on {self.host.name} to be paused")

    def resume(self) -> None:
        """Resume a paused one."""
        self._signal(signal.SIGCONT)

    def reload(self) -> None:
        """Send it SIGHUP."""
        self._signal(signal.SIGHUP)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def wait(self, timeout: float = HANG) -> None:
        """Wait until it has ended by itself."""
        until(lambda: not self.running, timeout, f"the end of {self.name} on {self.host.name}", self.tail)

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _running(self) -> Process | None:
        process = self.process
        if process is None:
            return None
        reap([process.pid])
        return process if process.alive else None

    def _signal(self, number: signal.Signals) -> None:
        process = self._running()
        if process is None:
            raise LabError(f"{self.host.name}: {self.name} is not running")
        process.signal(number)
