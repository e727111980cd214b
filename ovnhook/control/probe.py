"""Liveness probe of a gRPC server: an RPC over a new connection, with TLS and HTTP/2 (RFC 9113).

A gRPC client would retry, share connections and log, and cannot distinguish a TLS alert from a timeout.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path

from ovnhook.base.deadline import Deadline

_HEADERS, _RST_STREAM, _SETTINGS, _DATA = 1, 3, 4, 0
_END_STREAM, _END_HEADERS = 1, 4
_FIELDS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"localhost"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)


def answers(address: str, method: str, deadline: Deadline, tls: ssl.SSLContext | None = None) -> bool:
    """Call a method, and return True for any answer of the server, including a TLS alert for our certificate.

    Args:
        address: ``HOST:PORT``, or the path of a unix socket.
        method: full method name; it is called with an empty message.
        deadline: when to give up.
        tls: TLS context, or None without TLS.
    """
    try:
        plain = _connect(address, deadline)
        with plain:
            if tls is None:
                return _is_answered(plain, method, deadline)
            with tls.wrap_socket(plain) as secure:
                return _is_answered(secure, method, deadline)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def context(pair: tuple[Path, Path] | None) -> ssl.SSLContext:
    """TLS context for this host's own service, which does not verify the server's certificate.

    Args:
        pair: client certificate and key, or None. They are skipped if they do not match.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["h2"])
    if pair:
        with suppress(OSError, ssl.SSLError):  # one may be written already and the other not yet
            made.load_cert_chain(*pair, password="")
    return made


def _connect(address: str, deadline: Deadline) -> socket.socket:
    if not address.startswith("/"):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, deadline.remaining))
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(max(0.1, deadline.remaining))
    try:
        found.connect(address)
    except OSError:
        found.close()
        raise
    return found


def _is_answered(connection: socket.socket, method: str, deadline: Deadline) -> bool:
    named = [(b":path", method.encode()), *_FIELDS]
    fields = b"".join(b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value for key, value in named)
    request = (
        (_SETTINGS, 0, 0, b""),
        (_HEADERS, _END_HEADERS, 1, fields),
        (_DATA, _END_STREAM, 1, bytes(5)),  # an empty message
    )
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(_frame(*one) for one in request))
    received = b""
    while deadline.remaining:
        connection.settimeout(max(0.1, deadline.remaining))
        more = connection.recv(4096)
        if not more:
            # Older versions of gRPC close the connection instead of sending an alert.
            return isinstance(connection, ssl.SSLSocket)
        received += more
        while len(received) >= 9:
            length, kind, stream = int.from_bytes(received[:3]), received[3], int.from_bytes(received[5:9])
            if len(received) < 9 + length:
                break
            if stream == 1 and kind in (_HEADERS, _RST_STREAM):
                return True
            received = received[9 + length :]
    return False


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
