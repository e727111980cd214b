"""Network namespaces of a test, in which functions run and sockets are made."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from lab.waiting import HANG

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000


class Place:
    """A network namespace: ``with Place("mine") as place:`` is there inside."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Place:
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ip("netns", "del", self.name)

    def ip(self, *arguments: str) -> str:
        """Run ip(8)."""
        return _ip("-n", self.name, *arguments)

    def connect_to(self, other: Place, own: str, theirs: str) -> None:
        """Connect two places by a cable between two interfaces, which are up."""
        _ip("link", "add", own, "netns", self.name, "type", "veth", "peer", "name", theirs, "netns", other.name)
        for place, interface in ((self, own), (other, theirs)):
            place.ip("link", "set", "dev", interface, "up")

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the namespace, by a thread; so do the processes that it starts."""
        with ThreadPoolExecutor(1, initializer=self._enter) as thread:
            return thread.submit(function).result(HANG)

    def setting(self, path: str, value: str | None = None) -> str:
        """Set a setting below /proc/sys/net, or read it."""
        file = Path("/proc/sys/net") / path
        if value is not None:
            self.call(lambda: file.write_text(value))
        return self.call(file.read_text).strip()

    def listen(self, address: str) -> socket.socket:
        """A TCP server."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = self.call(lambda: socket.create_server((address, 0), family=family))
        server.settimeout(HANG)
        return server

    def connect(self, server: socket.socket, source: str = "", timeout: float = HANG) -> tuple[str, str]:
        """Connect to a server, and send a byte there and back.

        Args:
            server: of another place.
            source: own address.
            timeout: in seconds.

        Returns:
            The address that the server sees, and the client's own.

        Raises:
            OSError: no connection.
        """
        address, port = server.getsockname()[:2]
        own = (source, 0) if source else None
        client = self.call(lambda: socket.create_connection((address, port), timeout, own))
        with closing(client):
            served, seen = server.accept()
            with closing(served):
                client.send(b"x")
                served.send(served.recv(1))
                assert client.recv(1) == b"x"
            return str(seen[0]), str(client.getsockname()[0])

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.name).open() as file:
            if libc.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), self.name)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=HANG).stdout
