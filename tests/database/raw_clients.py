"""Hostile clients: bare TCP connections, and HTTP/2 (RFC 9113) frame by frame."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(32)
"""Beginning of a TLS handshake that is never continued."""

TIMEOUT = 60.0
"""Seconds that a step of a connection may take."""

HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 1, 3, 4, 6, 9
END_HEADERS, END_STREAM = 4, 1


class Connections:
    """TCP connections that stay open."""

    def __init__(self, address: str, count: int, first: bytes) -> None:
        host, _, port = address.rpartition(":")
        self._open: list[socket.socket] = []
        for number in range(count):
            one = socket.socket()
            # Several source addresses, as one has no more than 28,000 ports.
            one.bind((f"127.0.1.{1 + number % 250}", 0))
            one.connect((host, int(port)))
            with suppress(OSError):
                one.send(first)
            self._open.append(one)

    def close(self) -> None:
        """Close all connections."""
        for one in self._open:
            one.close()


class Http2:
    """An HTTP/2 connection on which any frame can be sent.

    Args:
        address: HOST:PORT, or the path of a unix socket.
        ca: CA certificate of the service, or None without TLS.
        pair: client certificate and key.
        settings: settings of the connection (RFC 9113, section 6.5.2).
    """

    def __init__(
        self,
        address: str,
        ca: Path | None = None,
        pair: tuple[Path, Path] | None = None,
        settings: dict[int, int] | None = None,
    ) -> None:
        if address.startswith("/"):
            plain = socket.socket(socket.AF_UNIX)
            plain.connect(address)
        else:
            host, _, port = address.rpartition(":")
            plain = socket.create_connection((host, int(port)))
        plain.settimeout(TIMEOUT)
        self._turn = threading.Lock()  # an SSL object that two threads use at once crashes the process
        self.socket: socket.socket = plain
        if ca:
            context = ssl.create_default_context(cafile=str(ca))
            context.check_hostname = False
            context.set_alpn_protocols(["h2"])
            if pair:
                context.load_cert_chain(*pair)
            self.socket = context.wrap_socket(plain)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *one) for one in (settings or {}).items()))
        self._stream = -1
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader:  # else it would read from the next file that gets this file descriptor
            with self._turn, suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self._reader.join()
        self.socket.close()

    def read(self) -> None:
        """Read and discard everything, in a thread that ends with the connection."""
        self._reader = threading.Thread(target=self.ended)
        self._reader.start()

    def send(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        """Send a frame."""
        frame = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
        with self._turn:
            self.socket.sendall(frame)

    def call(self, method: str, *more: tuple[str, str]) -> int:
        """Start an RPC without sending a message, and return its stream."""
        self._stream += 2
        fields = [
            (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "x"),
            ("te", "trailers"), ("content-type", "application/grpc"), *more,
        ]  # fmt: skip
        self.send(HEADERS, END_HEADERS, self._stream, b"".join(map(_literal, fields)))
        return self._stream

    def ended(self) -> bool:
        """Read until the service closes the connection; False on timeout."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while poll.poll(TIMEOUT * 1000):
            if not self._discard():
                return True
        return False

    def _discard(self) -> bool:
        """Discard what has arrived; return whether the connection is open."""
        with self._turn:
            self.socket.settimeout(0)
            try:
                while self.socket.recv(65536):
                    pass
            except (BlockingIOError, ssl.SSLWantReadError):
                return True
            except OSError:
                pass
            finally:
                self.socket.settimeout(TIMEOUT)
        return False


def _literal(field: tuple[str, str]) -> bytes:
    """Encode a header field without indexing (RFC 7541, section 6.2.2)."""
    return b"\0" + b"".join(_length(len(text)) + text.encode() for text in field)


def _length(number: int) -> bytes:
    """Encode an integer with a prefix of seven bits (RFC 7541, section 5.1)."""
    if number < 127:
        return bytes([number])
    number -= 127
    found = [127]
    while number >= 128:
        found.append(number % 128 + 128)
        number //= 128
    return bytes([*found, number])
