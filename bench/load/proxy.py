"""Counting proxy in front of an OVSDB server's unix socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ovs.json import Parser

_WRITES = {"insert", "update", "mutate", "delete"}


class CountingProxy:
    """Proxies connections to `path`, and counts.

    Attributes:
        sent: bytes in both directions.
        transactions: number of transactions.
        writes: number of writing transactions.
    """

    def __init__(self, path: Path, server: Path) -> None:
        self.reset()
        self._open: list[socket.socket] = []
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """Reset the counters."""
        self.sent = self.transactions = self.writes = 0

    def cut(self) -> None:
        """Close all connections."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        """Stop listening, and close all connections."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._open += [client, server]
                for one, other, asks in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(one, other, asks), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, asks: bool) -> None:
        parser = Parser()
        with suppress(OSError):
            while part := one.recv(1 << 16):
                self.sent += len(part)
                if asks:
                    parser = self._count(part.decode(), parser)
                other.sendall(part)
            other.shutdown(socket.SHUT_WR)

    def _count(self, text: str, parser: Parser) -> Parser:
        """Count the requests in a chunk of the stream; return the parser for the next one."""
        while text:
            text = text[parser.feed(text) :]
            if parser.is_done():
                message, parser = parser.finish(), Parser()
                self.transactions += message.get("method") == "transact"
                operations = message["params"][1:] if message.get("method") == "transact" else ()
                self.writes += any(operation["op"] in _WRITES for operation in operations)
        return parser


@contextmanager
def counted(server: Path) -> Iterator[CountingProxy]:
    """Count what goes over ``NAME.proxy`` beside the socket of a server."""
    path = server.with_suffix(".proxy")
    proxy = CountingProxy(path, server)
    try:
        yield proxy
    finally:
        proxy.close()
        path.unlink()
