"""Commands in a guest, over its second serial port: what ``guest_files/commands`` understands."""

from __future__ import annotations

import base64
import re
import socket
import time
import uuid
from pathlib import Path

from lab.errors import WaitError
from lab.waiting import INTERVAL

KNOCK = 0.2
"""Seconds after which a guest that did not say hello is asked again: one that boots does not hear it."""

_REPEAT = 5.0
"""Seconds after which a command is sent again. A guest that is slow loses a line that it has read a part of."""


def execute(path: Path, command: str, timeout: float, *, knock: float = KNOCK) -> tuple[int, str]:
    """Run shell commands in the guest that has this port; returns the exit status and the output.

    Args:
        path: the port's socket.
        command: for its shell.
        timeout: seconds for all of it.
        knock: seconds after which the guest is asked again whether it listens; slow guests need more.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as port:
                port.connect(str(path))
                return _Port(port, deadline, knock).execute(command)
        except (BrokenPipeError, ConnectionError, FileNotFoundError) as error:
            if time.monotonic() >= deadline:
                raise WaitError(f"no answer in {timeout:g} s ({error})") from None
            time.sleep(INTERVAL)
        except TimeoutError:
            raise WaitError(f"no answer in {timeout:g} s") from None


class _Port:
    def __init__(self, port: socket.socket, deadline: float, knock: float) -> None:
        self.port = port
        self.deadline = deadline
        self.knock = knock
        self.data = b""

    def execute(self, command: str) -> tuple[int, str]:
        identity = uuid.uuid4().hex[:12]
        self._ask(f"hello {identity}", f"ready {identity}", self.knock)
        seconds = max(1, int(self.deadline - time.monotonic()))
        line = f"lab {identity} {seconds} {base64.b64encode(command.encode()).decode()}"
        try:
            self._ask(line, f"taken {identity}", max(self.knock, _REPEAT))
            found = self._read(rf"begin {identity}\s(.*)end {identity} (\d+)\s", self.deadline)
        except ConnectionError:
            raise WaitError("the guest ended (or moved) before it answered") from None
        return int(found[2]), base64.b64decode(found[1]).decode(errors="replace")

    def _ask(self, line: str, answer: str, interval: float) -> None:
        """Send a line again and again, until it is answered."""
        while True:
            self.port.settimeout(max(0.01, self.deadline - time.monotonic()))
            self.port.sendall(f"\n{line}\n".encode())
            try:
                self._read(rf"{answer}\s", min(self.deadline, time.monotonic() + interval))
            except TimeoutError:
                if time.monotonic() >= self.deadline:
                    raise
            else:
                return

    def _read(self, pattern: str, deadline: float) -> re.Match[bytes]:
        wanted = re.compile(pattern.encode(), re.DOTALL)
        while True:
            found = wanted.search(self.data)
            if found:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.port.settimeout(left)
            more = self.port.recv(65536)
            if not more:
                raise ConnectionResetError("the guest's QEMU closed the port")
            self.data += more
