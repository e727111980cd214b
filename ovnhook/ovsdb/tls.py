"""Databases that are reached by TLS (``ssl:HOST:PORT``): what they are shown, and errors instead of exceptions.

The library's stream of this kind raises what goes wrong with a certificate, where its callers await an error number,
and wakes up without end while a server is silent in the handshake. The files are read for each connection, so
certificates are renewed without a restart.
"""

from __future__ import annotations

import errno
import ssl
from typing import Any

import ovs.poller
import ovs.stream

from ovnhook.base.config import Config

REFUSED = errno.EPROTO
"""The error number of a connection that fails for its certificates."""


# The library takes numbers of OpenSSL's for those of the system.
_NUMBERS = {int(ssl.SSL_ERROR_SSL): REFUSED, int(ssl.SSL_ERROR_EOF): errno.ECONNRESET}
_ENDED = {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}


class Stream(ovs.stream.SSLStream):  # type: ignore[misc]
    """A connection by TLS, as the library's callers expect any other."""

    _is_made = False
    _is_heard = False

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple[int, Any]:
        try:
            error, socket = ovs.stream.SSLStream._open(suffix, dscp)
        except (OSError, TypeError):  # a file can't be read or is none such (SSLError is an OSError), or none is set
            return REFUSED, None
        return error, socket

    def connect(self) -> int:
        """See ovs.stream.Stream; also ends the handshake, which is not begun again."""
        if self._is_made:
            return 0
        try:
            error = int(super().connect())
        except OSError as raised:
            return self._blamed(raised.errno or REFUSED)
        self._is_made = not error
        return self._blamed(error)

    def connect_wait(self, poller: ovs.poller.Poller) -> None:
        """See ovs.stream.Stream; in the handshake it is the server's turn, and not ours."""
        self.recv_wait(poller)

    def recv(self, n: int) -> tuple[int, Any]:
        """See ovs.stream.Stream."""
        error, data = super().recv(n)
        self._is_heard = self._is_heard or bool(data)
        if not error and not data and not self._is_heard:
            error = errno.ECONNRESET
        return self._blamed(error), data

    def send(self, buf: Any) -> int:
        """See ovs.stream.Stream."""
        sent = int(super().send(buf))
        return sent if sent >= 0 else -self._blamed(-sent)

    def _blamed(self, error: int) -> int:
        """An error as what it is: a server that refuses us may just end the connection, even after the handshake."""
        error = _NUMBERS.get(error, error)
        return REFUSED if error in _ENDED and not self._is_heard else error


def show(config: Config) -> None:
    """Let the connections of this process be made with a configuration's certificate from now on."""
    ovs.stream.Stream.register_method("ssl", Stream)
    ovs.stream.Stream.ssl_set_certificate_file(config.database_certificate or None)
    ovs.stream.Stream.ssl_set_private_key_file(config.database_private_key or None)
    ovs.stream.Stream.ssl_set_ca_cert_file(config.database_ca or None)
