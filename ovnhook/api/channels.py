"""Connections to control services, kept from one call to the next, and the errors of single calls."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovnhook.api import hints, sockets
from ovnhook.base.config import SERVER_NAME
from ovnhook.base.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    OvnhookError,
    PermissionDenied,
    QuotaExceeded,
    Unavailable,
)

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # to the hook's stderr, which virsh shows, gRPC would log each failure

import grpc

_RECONNECT = 100  # milliseconds between attempts to connect: gRPC's minimum
_KEEPALIVE = 10_000  # milliseconds: the control service accepts no shorter interval
_KEEPALIVE_TIMEOUT = 5_000  # milliseconds; also of data that TCP could not deliver (TCP_USER_TIMEOUT)
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    # Connections, and their failures, are not shared with other clients.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", _RECONNECT),
    ("grpc.max_reconnect_backoff_ms", _RECONNECT),
    ("grpc.keepalive_time_ms", _KEEPALIVE),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT),
    ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT),  # the same, for later versions of gRPC
    ("grpc.http2.max_pings_without_data", 0),  # a stream may be idle for long
]
_NOT_SENT = (
    "failed to connect to all addresses",
    "DNS resolution failed",
    "errors resolving ",
)  # gRPC's errors for a request that was not sent
_LOST = ("UNAVAILABLE", "CANCELLED", "UNKNOWN")  # statuses of a connection that broke
_FULL = "Concurrent RPC limit exceeded"  # of a gRPC server whose queue is full
_RESET = "Received RST_STREAM"  # the same, with status INTERNAL
_ERRORS: tuple[type[OvnhookError], ...] = (
    InvalidRequest,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    PermissionDenied,
    Exhausted,
    Unavailable,
    Conflict,
)
"""Errors by status, of services that do not send their classes: earlier versions."""

Credentials = tuple[bytes, ...]
"""CA certificate, and a client's key and certificate, in PEM; empty without TLS."""


class NotSent(Unavailable):
    """A call that has not reached the control service."""


class Unanswered(Unavailable):
    """A call that has no response in time, or whose connection broke: it may or may not have been carried out."""


class UnknownMethod(OvnhookError):
    """A method that the control service does not have: it is of another version."""


@dataclass(frozen=True)
class Method:
    """A method of the API.

    Attributes:
        service: full name of its service.
        name: its name.
        response: class of the response.
        is_idempotent: whether the proto declares it so: a call may be repeated.
        waits: whether it waits for another host.
    """

    service: str
    name: str
    response: Any
    is_idempotent: bool
    waits: bool = False


class Channels:
    """Connections by server and connection timeout. Thread-safe."""

    def __init__(self) -> None:
        self._channels: dict[tuple[str, float], tuple[Credentials, grpc.Channel]] = {}
        weakref.finalize(self, _close, self._channels)

    def call(
        self, server: str, credentials: Credentials, method: Method, request: Any, *, connect: float, timeout: float
    ) -> Any:
        """Call a method once.

        Args:
            server: ``HOST:PORT``, or path of a unix socket.
            credentials: for TLS.
            method: the method.
            request: its request.
            connect: seconds for one attempt to connect.
            timeout: seconds for the call.

        Raises:
            OvnhookError: error of the service, or one of the classes above.
        """
        with self._channel(server, credentials, connect) as channel:
            try:
                return channel.unary_unary(*_coding(method, request))(request, timeout=timeout)
            except grpc.RpcError as error:
                raise _error(error, server, timeout) from error

    @contextmanager
    def stream(
        self, server: str, credentials: Credentials, method: Method, request: Any, *, connect: float, timeout: float
    ) -> Iterator[Iterator[Any]]:
        """Open a stream of responses, which ends with the block.

        Args:
            server: ``HOST:PORT``, or path of a unix socket.
            credentials: for TLS.
            method: the method.
            request: its request.
            connect: seconds for one attempt to connect.
            timeout: seconds until the first response.

        Raises:
            OvnhookError: while a response is read, as of `call`.
        """
        with self._channel(server, credentials, connect) as channel:
            call = channel.unary_stream(*_coding(method, request))(request)
            late = threading.Timer(timeout, call.cancel)
            late.daemon = True
            late.start()
            try:
                yield _responses(call, late, server, timeout)
            finally:
                late.cancel()
                call.cancel()

    @contextmanager
    def _channel(self, server: str, credentials: Credentials, connect: float) -> Iterator[grpc.Channel]:
        """Return the channel to a server. It connects at the first call; a renewed certificate makes a new one.

        So does a failure to connect. Until it is connected, a channel that has failed once refuses calls instead of
        letting them wait, and gRPC's backup poller looks at a connection that no call waits for every 5 s only: a TLS
        handshake would time out again and again.
        """
        where = server, connect
        known, channel = self._channels.get(where, ((), None))
        if channel is None or known != credentials:
            channel = _open(server, credentials, connect)
            self._channels[where] = credentials, channel
        try:
            yield channel
        except NotSent:
            if self._channels.get(where) == (credentials, channel):
                self._channels.pop(where, None)
            raise


def is_socket(server: str) -> bool:
    """Test for the path of a unix socket."""
    return server.startswith("/")


def _coding(method: Method, request: Any) -> tuple[str, Any, Any]:
    """Path, serializer and deserializer of a method."""
    return f"/{method.service}/{method.name}", type(request).SerializeToString, method.response.FromString


def _responses(call: Any, late: threading.Timer, server: str, timeout: float) -> Iterator[Any]:
    """Responses of a stream, of which the first one must not be late."""
    is_first = True
    try:
        for response in call:
            late.cancel()
            is_first = False
            yield response
    except grpc.RpcError as error:
        if is_first and error.code() is grpc.StatusCode.CANCELLED:
            raise Unanswered(f"the control service at {server} did not answer within {timeout:.2g} s") from error
        raise _error(error, server, timeout) from error


def _open(server: str, credentials: Credentials, connect: float) -> grpc.Channel:
    options: list[tuple[str, str | int]] = [*_OPTIONS, ("grpc.min_reconnect_backoff_ms", int(connect * 1000))]
    if is_socket(server):
        return grpc.insecure_channel(f"unix:{server}", options=options)
    options.append(("grpc.ssl_target_name_override", SERVER_NAME))
    return grpc.secure_channel(server, grpc.ssl_channel_credentials(*credentials), options=options)


def _error(error: grpc.RpcError, server: str, timeout: float) -> OvnhookError:
    """The error that the service raised, or one of a call that the service did not answer."""
    status, words, metadata = error.code().name, error.details() or "", error.trailing_metadata() or ()
    if name := hints.error_class(metadata):
        return hints.error(name, _kind(status), words, hints.hint(metadata))
    if status == "DEADLINE_EXCEEDED":
        return Unanswered(f"the control service at {server} did not answer within {timeout:.2g} s")
    if status == "UNIMPLEMENTED":
        return UnknownMethod(
            f"the control service at {server} does not implement this method: it is another version",
            "systemctl restart ovnhook-control",
        )
    if status == "UNAVAILABLE" and words.startswith(_NOT_SENT):
        return _not_sent(server, words.rpartition("last error: ")[2])
    if words.startswith(_FULL):
        return QuotaExceeded(f"the control service at {server} is overloaded: {words}")
    if status in _LOST or words.startswith(_RESET):
        return Unanswered(f"the control service at {server}: {words}", hints.hint(metadata))
    return _kind(status)(words, hints.hint(metadata))


def _not_sent(server: str, words: str) -> NotSent:
    try:
        if is_socket(server):
            sockets.find(Path(server))
    except Unavailable as error:
        return NotSent(error.message, error.hint)
    return NotSent(f"the control service at {server} can't be reached: {words}")


def _kind(status: str) -> type[OvnhookError]:
    return next((kind for kind in _ERRORS if kind.status == status), OvnhookError)


def _close(channels: dict[tuple[str, float], tuple[Credentials, grpc.Channel]]) -> None:
    for _, channel in channels.values():
        channel.close()
