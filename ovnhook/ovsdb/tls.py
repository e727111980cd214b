"""TLS connections to databases (``ssl:HOST:PORT``).

The library's stream raises exceptions for certificate errors, where its callers expect an errno, and busy-loops while a
server is silent during the handshake. Files are read for each connection, so certificates are renewed without a
restart.
"""

from __future__ import annotations

import errno
import ssl
from typing import Any

import ovs.poller
import ovs.stream

from ovnhook.base.config import Config

REFUSED = errno.EPROTO
"""Errno of a failed certificate verification, on either side."""


# The library returns error codes of OpenSSL as an errno.
_NUMBERS = {int(ssl.SSL_ERROR_SSL): REFUSED, int(ssl.SSL_ERROR_EOF): errno.ECONNRESET}
_ENDED = {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}


class Stream(ovs.stream.SSLStream):  # type: ignore[misc]
    """TLS stream that returns an errno for every error."""

    _is_connected = False
    _has_received = False

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple[int, Any]:
        try:
            error, socket = ovs.stream.SSLStream._open(suffix, dscp)
        except (OSError, TypeError):  # a file is unreadable or invalid (SSLError is an OSError), or not configured
            return REFUSED, None
        return error, socket

    def connect(self) -> int:
        """See ovs.stream.Stream; completes the handshake, once."""
        if self._is_connected:
            return 0
        try:
            error = int(super().connect())
        except OSError as raised:
            return self._translated(raised.errno or REFUSED)
        self._is_connected = not error
        return self._translated(error)

    def connect_wait(self, poller: ovs.poller.Poller) -> None:
        """See ovs.stream.Stream; the handshake waits for the server."""
        self.recv_wait(poller)

    def recv(self, n: int) -> tuple[int, Any]:
        """See ovs.stream.Stream."""
        error, data = super().recv(n)
        self._has_received = self._has_received or bool(data)
        if not error and not data and not self._has_received:
            error = errno.ECONNRESET
        return self._translated(error), data

    def send(self, buf: Any) -> int:
        """See ovs.stream.Stream."""
        sent = int(super().send(buf))
        return sent if sent >= 0 else -self._translated(-sent)

    def _translated(self, error: int) -> int:
        """Translate an errno: a server may reject a certificate by closing the connection, even after the handshake."""
        error = _NUMBERS.get(error, error)
        return REFUSED if error in _ENDED and not self._has_received else error


def configure(config: Config) -> None:
    """Set the certificate, key and CA for new connections of this process."""
    ovs.stream.Stream.register_method("ssl", Stream)
    ovs.stream.Stream.ssl_set_certificate_file(config.database_certificate or None)
    ovs.stream.Stream.ssl_set_private_key_file(config.database_private_key or None)
    ovs.stream.Stream.ssl_set_ca_cert_file(config.database_ca or None)
