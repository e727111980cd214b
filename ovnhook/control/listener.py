"""A gRPC server at one address, with threads and limits of its own: a flood at one does not reach the others."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc

from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.control import probe, tcp
from ovnhook.control.admission import HALF_OPEN, Admission, CallKind, Limit
from ovnhook.control.calls import CallInterceptor
from ovnhook.control.roles import Identify
from ovnhook.control.service import Service, rules

LONG = 8
"""How many calls of a listener that may take long there may be at a time."""

STREAMS = 32
"""How many streams of a listener there may be at a time."""

EACH = {CallKind.SHORT: 16, CallKind.LONG: 2, CallKind.STREAM: 8}
"""How many calls of each kind one client may have at a time over TCP, or one host that has no certificate yet.

Root, on the unix socket, may have any number.
"""

_SHORT = 24  # threads for calls that are answered at once, beside those above and the half-open ones
_QUEUE = 1000  # calls that may wait for a thread
_GRACE = 5.0  # seconds that calls have to end when the service does
_ENROL = "/ovnhook.v1.Enrolment/Enrol"
_PROBE = 10.0  # seconds that an answer to our own probe may take
_IDENTITY = 1  # grpc's bit for messages that are not compressed: a few KiB would become gigabytes
_MESSAGE = 1 << 20  # bytes of a request

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # with it a second service could listen beside the first
    # A client that is gone without a word is noticed, and one that watches may notice that we are.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY),
    ("grpc.max_receive_message_length", _MESSAGE),
]
_OPTIONS_OF_TCP = [
    ("grpc.server_handshake_timeout_ms", 10_000),  # its default is two minutes
    ("grpc.max_concurrent_streams", sum(EACH.values())),  # of one connection: a client's own queue, not an error
]


class Listener:
    """Serves from when it is started until it is stopped.

    Args:
        where: it serves: the path of a unix socket, or ``HOST:PORT``.
        services: what it serves.
        identify: says who calls.
        limits: of the calls of each kind.
        bind: lets a server serve there.
        tls: how this host's own probe connects, or None where it is served in the clear.
        options: of gRPC.
        probed: the method that this host's own probe calls.
        half_open: how many calls may wait for their message, or None for any number.
    """

    def __init__(
        self,
        where: str,
        services: Sequence[Service],
        identify: Identify,
        limits: dict[CallKind, Limit],
        bind: Callable[[grpc.Server], None],
        tls: Callable[[], ssl.SSLContext] | None = None,
        options: Sequence[tuple[str, int]] = (),
        probed: str = "/grpc.health.v1.Health/Check",
        half_open: int | None = HALF_OPEN,
    ) -> None:
        self.where = where
        self.admission = Admission(limits, half_open)
        self._threads = ThreadPoolExecutor(
            HALF_OPEN + LONG + STREAMS + _SHORT, thread_name_prefix=f"serve {where.rpartition('/')[2]}"
        )
        self._server = grpc.server(
            self._threads,
            interceptors=[CallInterceptor(rules(services), identify, self.admission)],
            options=[*_OPTIONS, *options],
            maximum_concurrent_rpcs=_QUEUE,
        )
        for one in services:
            one.add_to(self._server)
        self._bind = bind
        self._tls = tls
        self._probed = probed

    def start(self) -> None:
        """Listen, and serve.

        Raises:
            OvnhookError: it can't listen there.
        """
        self._bind(self._server)
        self._server.start()

    def answers(self) -> bool:
        """Whether a client that connects now is answered."""
        return probe.answers(self.where, self._probed, Deadline.after(_PROBE), self._tls() if self._tls else None)

    def stop(self) -> None:
        """Let the calls that are under way end within some seconds, and end."""
        self._server.stop(_GRACE).wait(2 * _GRACE)  # it never ends where gRPC's own thread has died
        self._threads.shutdown(wait=False)


def of_root(path: Path, services: Sequence[Service], identify: Identify) -> Listener:
    """The listener on the unix socket, which root alone may open.

    Args:
        path: of the socket; one that a dead service left behind is replaced.
        services: what it serves.
        identify: says who calls.
    """

    def bind(server: grpc.Server) -> None:
        before = os.umask(0o177)
        try:
            path.unlink(missing_ok=True)
            bound = server.add_insecure_port(f"unix:{path}")
        except (OSError, RuntimeError) as error:  # the latter from newer versions of grpc
            raise OvnhookError(f"can't serve on {path}: {error}") from error
        finally:
            os.umask(before)
        if not bound:
            raise OvnhookError(f"can't serve on {path}")

    limits = {CallKind.LONG: Limit(total=LONG), CallKind.STREAM: Limit(total=STREAMS)}
    return Listener(str(path), services, identify, limits, bind, half_open=None)


def of_clients(config: Config, services: Sequence[Service], identify: Identify) -> Listener:
    """The listener at ``listen`` of the configuration, for clients with a certificate.

    Args:
        config: where to serve, and with which certificate.
        services: what it serves.
        identify: says who calls.
    """
    totals = {CallKind.LONG: LONG, CallKind.STREAM: STREAMS}
    limits = {kind: Limit(each, totals.get(kind)) for kind, each in EACH.items()}
    options = [*_OPTIONS_OF_TCP, ("grpc.max_connection_idle_ms", 300_000)]

    def bind(server: grpc.Server) -> None:
        tcp.listen(server, config.listen, config)

    pair = Path(config.certificate), Path(config.private_key)
    tls = partial(probe.context, pair) if config.certificate else None
    return Listener(config.listen, services, identify, limits, bind, tls, options)


def of_newcomers(config: Config, services: Sequence[Service], identify: Identify) -> Listener:
    """The listener at ``enrolment`` of the configuration, for hosts that have no certificate yet.

    Args:
        config: where to serve, and with which certificate.
        services: what it serves.
        identify: says who calls.
    """

    def bind(server: grpc.Server) -> None:
        tcp.listen(server, config.enrolment, config, mutual=False)

    options = [*_OPTIONS_OF_TCP, ("grpc.max_connection_idle_ms", 10_000)]
    limits, tls = {CallKind.SHORT: Limit(EACH[CallKind.SHORT])}, partial(probe.context, None)
    return Listener(config.enrolment, services, identify, limits, bind, tls, options, _ENROL)
