"""gRPC servers, one for each address, with threads and quotas of their own: a flood at one does not block others."""

from __future__ import annotations

import os
import ssl
import threading
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
from ovnhook.control.turns import Turns

WAITING = 8
"""Maximum number of concurrent waiting RPCs of a listener."""

STREAMS = 32
"""Maximum number of concurrent streams of a listener."""

AGENTS = 512
"""Maximum number of concurrent streams of agents of a listener. Threads are created on demand."""

PER_CLIENT = {
    CallKind.SHORT: 64,
    CallKind.WAITING: 2,
    CallKind.STREAM: 8,
    CallKind.AGENT: 2,
    CallKind.MIGRATION: 16,
}
"""Maximum number of concurrent RPCs of a client over TCP, or of a host without a certificate.

A host that starts 50 domains at once, without an agent, has so many short RPCs open. Root, on the unix socket, has no
such limit.
"""

AT_ONCE = 4
"""Short RPCs of a client over TCP that are processed at once; further ones wait for their turn.

More would not make them faster, but those of other clients slower, since one thread at a time computes.
"""

_JOINING = 16  # RPCs of one host without a certificate

_TOTALS = {CallKind.WAITING: WAITING, CallKind.STREAM: STREAMS, CallKind.AGENT: AGENTS}
_SHORT = (
    256  # threads for short RPCs of several clients, in addition to those for waiting, streaming and half-open ones
)
_QUEUE = 1000  # RPCs that may wait for a thread
_STOP_INTERVAL = 0.02  # seconds between looks whether all RPCs have ended
_GRACE = 0.5  # seconds for open RPCs to end when the service stops: clients repeat what takes longer
_ENROL = "/ovnhook.v1.Enrolment/Enrol"
_PROBE_TIMEOUT = 10.0  # seconds
_IDENTITY = 1  # gRPC's bit for uncompressed messages: a few compressed KiB could become gigabytes
_MAX_REQUEST = 1 << 20  # bytes

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # with it a second service could listen at the same address
    # Detect within half a minute clients that are gone, and allow watching clients to detect that the service is.
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # the same, for later versions of gRPC
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY),
    ("grpc.max_receive_message_length", _MAX_REQUEST),
]
_OPTIONS_OF_TCP = [
    ("grpc.server_handshake_timeout_ms", 10_000),  # the default is two minutes
    ("grpc.max_concurrent_streams", sum(PER_CLIENT.values())),  # per connection: further RPCs wait in the client
]


class Listener:
    """A gRPC server at one address, between `start` and `stop`.

    Args:
        address: path of a unix socket, or ``HOST:PORT``.
        services: services of the API.
        identify: returns the caller of an RPC.
        limits: quotas of concurrent RPCs.
        bind: binds the server to the address.
        tls: makes the TLS context of the probe, or None without TLS.
        options: channel arguments of gRPC.
        probed: method that the probe calls.
        half_open: maximum number of half-open RPCs, or None for any number.
        at_once: short RPCs of a client that are processed at once, or None for any number.
    """

    def __init__(
        self,
        address: str,
        services: Sequence[Service],
        identify: Identify,
        limits: dict[CallKind, Limit],
        bind: Callable[[grpc.Server], None],
        tls: Callable[[], ssl.SSLContext] | None = None,
        options: Sequence[tuple[str, int]] = (),
        probed: str = "/grpc.health.v1.Health/Check",
        half_open: int | None = HALF_OPEN,
        at_once: int | None = AT_ONCE,
    ) -> None:
        self.address = address
        self.admission = Admission(limits, half_open)
        self._threads = ThreadPoolExecutor(
            HALF_OPEN + WAITING + STREAMS + AGENTS + _SHORT, thread_name_prefix=f"serve {address.rpartition('/')[2]}"
        )
        self._interceptor = CallInterceptor(rules(services), identify, self.admission, Turns(at_once))
        self._server = grpc.server(
            self._threads,
            interceptors=[self._interceptor],
            options=[*_OPTIONS, *options],
            maximum_concurrent_rpcs=_QUEUE,
        )
        for one in services:
            one.add_to(self._server)
        self._bind = bind
        self._tls = tls
        self._probed = probed
        self._stopped = threading.Event()

    def start(self) -> None:
        """Listen and serve.

        Raises:
            OvnhookError: the address cannot be bound.
        """
        self._bind(self._server)
        self._server.start()

    def answers(self) -> bool:
        """Probe the server: True if a new connection is answered."""
        tls = self._tls() if self._tls else None
        return probe.answers(self.address, self._probed, Deadline.after(_PROBE_TIMEOUT), tls)

    def end_revoked(self) -> None:
        """End the open streams of clients whose certificate was revoked."""
        self._interceptor.end_revoked()

    def stop(self) -> None:
        """Stop listening; open RPCs have a moment to end."""
        self._stopped = self._server.stop(_GRACE)

    def wait(self) -> None:
        """Wait until no RPC is open. Threads of RPCs that did not end in time may go on.

        gRPC itself waits for its connections, too, and an idle client does not notice that the service stops.
        """
        deadline = Deadline.after(2 * _GRACE)  # gRPC never ends if its own thread has died
        while not self._stopped.wait(_STOP_INTERVAL) and self.admission.open and deadline.remaining:
            pass
        self._threads.shutdown(wait=False)


def of_root(path: Path, services: Sequence[Service], identify: Identify) -> Listener:
    """Listener on the unix socket, which only root can open.

    Args:
        path: path of the socket; a stale one is replaced.
        services: services of the API.
        identify: returns the caller of an RPC.
    """

    def bind(server: grpc.Server) -> None:
        before = os.umask(0o177)
        try:
            path.unlink(missing_ok=True)
            bound = server.add_insecure_port(f"unix:{path}")
        except (OSError, RuntimeError) as error:  # newer versions of grpc raise the latter
            raise OvnhookError(f"can't serve on {path}: {error}") from error
        finally:
            os.umask(before)
        if not bound:
            raise OvnhookError(f"can't serve on {path}")

    limits = {kind: Limit(total=number) for kind, number in _TOTALS.items()}
    return Listener(str(path), services, identify, limits, bind, half_open=None, at_once=None)


def of_clients(config: Config, services: Sequence[Service], identify: Identify) -> Listener:
    """Listener at ``listen`` of the configuration, for clients with a certificate.

    Args:
        config: configuration with the address and the certificate.
        services: services of the API.
        identify: returns the caller of an RPC.
    """
    limits = {kind: Limit(number, _TOTALS.get(kind)) for kind, number in PER_CLIENT.items()}
    options = [*_OPTIONS_OF_TCP, ("grpc.max_connection_idle_ms", 300_000)]

    def bind(server: grpc.Server) -> None:
        tcp.listen(server, config.listen, config)

    pair = Path(config.certificate), Path(config.private_key)
    tls = partial(probe.context, pair) if config.certificate else None
    return Listener(config.listen, services, identify, limits, bind, tls, options)


def of_joining_hosts(config: Config, services: Sequence[Service], identify: Identify) -> Listener:
    """Listener at ``enrolment`` of the configuration, for hosts without a certificate.

    Args:
        config: configuration with the address and the certificate.
        services: services of the API.
        identify: returns the caller of an RPC.
    """

    def bind(server: grpc.Server) -> None:
        tcp.listen(server, config.enrolment, config, mutual=False)

    options = [*_OPTIONS_OF_TCP, ("grpc.max_connection_idle_ms", 10_000)]
    limits, tls = {CallKind.SHORT: Limit(_JOINING)}, partial(probe.context, None)
    return Listener(config.enrolment, services, identify, limits, bind, tls, options, _ENROL)
