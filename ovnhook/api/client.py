"""Client of the control service. Responses are dictionaries, with the fields in the order of the proto."""

from __future__ import annotations

import socket as sockets
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovnhook.base.config import CONTROL_SOCKET, Config, load
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    FailedPrecondition,
    InvalidConfig,
    InvalidRequest,
    NotFound,
    OvnhookError,
    PermissionDenied,
    Unavailable,
)

if TYPE_CHECKING:
    import grpc
    from google.protobuf.descriptor import MethodDescriptor

    from ovnhook.pki.keyfiles import Files
    from ovnhook.pki.token import Token

_TIMEOUT = 15.0  # seconds for one call
_PROBE = 2.0  # seconds to connect to one of several hosts before the next one is tried
_NOT_SENT = (
    "failed to connect to all addresses",
    "DNS resolution failed",
)  # gRPC's errors for a request that was not sent
_HINT = "on a control host: systemctl status ovnhook-control"
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
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    # Connections, and their failures, are not shared with other clients.
    ("grpc.use_local_subchannel_pool", 1),
]

Object = dict[str, Any]
_Key = tuple[str, tuple[bytes, ...], bool]


class Client:
    """Client of the control service: by the unix socket of this host, or by mutual TLS of another one.

    It keeps one connection for each host that it has called. For example::

        subnets = Client(None).pages("ListSubnets", "subnets", router="gateway")

    Args:
        socket: unix socket of the service, or None for the one in ``ovnhook.toml``.
        timeout: seconds that one call may take.
    """

    def __init__(self, socket: Path | None, timeout: float = _TIMEOUT) -> None:
        self._socket = socket
        self._timeout = timeout
        self._channels: dict[_Key, grpc.Channel] = {}
        weakref.finalize(self, _close, self._channels)

    def call(self, method: str, **fields: Any) -> Object:
        """Call a method of ``ovnhook.v1`` by its name, with these request fields.

        For example ``call("CreateSubnet", subnet={"name": "blue", "cidr": "10.1.0.0/24"})``.

        Raises:
            OvnhookError: the service's error, or Unavailable if it is unreachable.
        """
        config = self._config
        if config.control:
            from ovnhook.pki.keyfiles import Files

            shown = Files(*map(Path, (config.database_certificate, config.database_private_key, config.database_ca)))
            hint = f"openssl x509 -noout -subject -enddate -in {config.database_certificate}; ovnhook status there"
            return self._anywhere(config.control.split(","), _contents(shown), hint, method, fields)
        socket = self._socket or CONTROL_SOCKET
        _find(socket)
        channel = self._channel(f"unix:{socket}", (), self._timeout)
        return _call(channel, str(socket), self._timeout, method, fields)

    def pages(self, method: str, rows: str, **fields: Any) -> list[Object]:
        """Return all objects of a list, page by page.

        Args:
            method: a list method.
            rows: the response field with the objects.
            fields: request fields.
        """
        found: list[Object] = []
        token = ""
        while True:
            response = self.call(method, page_token=token, **fields)
            found += response[rows]
            token = response["next_page_token"]
            if not token:
                return found

    def enrol(self, token: Token, ca: bytes, request: bytes, address: str) -> Object:
        """Enrol this host at one of the control hosts of a join token.

        Args:
            token: the join token.
            ca: the control host's CA certificate, in PEM.
            request: the certificate signing request of this host, in PEM.
            address: of this host.

        Raises:
            OvnhookError: the service's error, or Unavailable if it is unreachable.
        """
        fields = {"secret": token.secret, "request": request.decode(), "address": address, "uses_api": True}
        return self._anywhere(token.servers, (ca,), _HINT, "Enrol", fields)

    def is_trusted(self, servers: Sequence[str], files: Files) -> bool:
        """Test whether one of the servers, each HOST:PORT, accepts a client certificate.

        Raises:
            Unavailable: no server is reachable.
        """
        # A new client, and so a new connection, each time.
        client = Client(self._socket, self._timeout)
        try:
            client._anywhere(servers, _contents(files), "", "ListNodes", {"page_size": 1})
        except PermissionDenied:
            return False
        except Unavailable:
            if any(map(_listens, servers)):
                return False
            raise
        return True

    @cached_property
    def _config(self) -> Config:
        return load() if self._socket is None else Config()

    def _anywhere(
        self, servers: Sequence[str], credentials: tuple[bytes, ...], hint: str, method: str, fields: Mapping[str, Any]
    ) -> Object:
        """Call a method on the first control host that answers.

        A call that may have reached a host is repeated on another one only if the proto declares it idempotent. Each of
        several hosts first has a short time to connect; then all have the time that is left, as they may be slow.

        Args:
            servers: each HOST:PORT.
            credentials: the CA certificate, this host's key and its certificate, in PEM.
            hint: for the error if none is reachable.
            method: the method.
            fields: request fields.
        """
        deadline = Deadline.after(self._timeout)
        left = [server.strip() for server in servers]
        wrong: dict[str, str] = {}
        for is_last in (False, True) if len(left) > 1 else (True,):
            for number, server in enumerate(list(left)):
                if wrong and not deadline.remaining:
                    break
                share = deadline.remaining / (len(left) - number) if is_last else _PROBE
                channel = self._channel(server, credentials, share)
                try:
                    return _call(channel, server, deadline.remaining, method, fields)
                except _NotSent as error:
                    wrong[server] = error.message
                except Unavailable as error:
                    if not _is_idempotent(method):
                        raise Unavailable(
                            f"{error.message}: it may or may not have been done", error.hint or hint
                        ) from error
                    wrong[server] = error.message
                    left.remove(server)
        raise Unavailable("; ".join(wrong.values()), hint)

    def _channel(self, where: str, credentials: tuple[bytes, ...], timeout: float) -> grpc.Channel:
        """Return the channel to a control host. It connects at the first call, within `timeout` seconds."""
        import grpc

        from ovnhook.pki.x509 import SERVER_NAME

        key = (where, credentials, timeout <= _PROBE)
        if key not in self._channels:
            options: list[tuple[str, str | int]] = [*_OPTIONS, ("grpc.min_reconnect_backoff_ms", int(timeout * 1000))]
            if credentials:
                options.append(("grpc.ssl_target_name_override", SERVER_NAME))
                shown = grpc.ssl_channel_credentials(*credentials)
                self._channels[key] = grpc.secure_channel(where, shown, options=options)
            else:
                self._channels[key] = grpc.insecure_channel(where, options=options)
        return self._channels[key]


def _call(channel: grpc.Channel, where: str, timeout: float, method: str, fields: Mapping[str, Any]) -> Object:
    import grpc

    from ovnhook.api import messages
    from ovnhook.api.protos import message_class

    found = _method(method)
    request, response = message_class(found.input_type), message_class(found.output_type)
    try:
        asked = request(**fields)
    except (ValueError, TypeError) as error:  # a number out of range, or an argument that is not a string
        raise InvalidRequest(f"invalid request: {error}") from error
    call = channel.unary_unary(
        f"/{found.containing_service.full_name}/{method}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    try:
        return messages.plain(call(asked, timeout=timeout))
    except grpc.RpcError as error:
        raise _error(error, where, timeout) from error


class _NotSent(Unavailable):
    """Error of a call that has not reached the control service."""


def _error(error: grpc.RpcError, where: str, timeout: float) -> OvnhookError:
    """The error that the service raised, or Unavailable."""
    from ovnhook.api import hints

    status, words = error.code().name, error.details() or ""
    if status == "DEADLINE_EXCEEDED":
        return Unavailable(f"the control service at {where} did not answer within {timeout:.0f} s")
    if status == "UNIMPLEMENTED":
        return OvnhookError(
            "the control service does not implement this method: it is another version",
            "systemctl restart ovnhook-control",
        )
    if status == "UNAVAILABLE" and words.startswith(_NOT_SENT):
        return _NotSent(f"the control service at {where} can't be reached: {words.rpartition('last error: ')[2]}")
    kind = next((kind for kind in _ERRORS if kind.status == status), OvnhookError)
    return kind(words, hints.hint(error.trailing_metadata() or ()))


def _method(name: str) -> MethodDescriptor:
    """The descriptor of a method of ``ovnhook.v1``."""
    from ovnhook.api.protos import PROTOS

    services = (service for proto in PROTOS for service in proto.DESCRIPTOR.services_by_name.values())
    (service,) = (service for service in services if name in service.methods_by_name)
    return service.methods_by_name[name]


def _is_idempotent(method: str) -> bool:
    """Return whether the proto declares a method idempotent."""
    from google.protobuf.descriptor_pb2 import MethodOptions

    return _method(method).GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN


def _find(socket: Path) -> None:
    """Connect to a unix socket once, without gRPC, whose errors are less clear."""
    try:
        with sockets.socket(sockets.AF_UNIX) as probe:
            probe.settimeout(_PROBE)
            probe.connect(str(socket))
    except PermissionError as error:
        raise Unavailable(f"only root may use the control service at {socket}", "sudo ovnhook …") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        hint = "systemctl start ovnhook-control"
        raise Unavailable(f"the control service is not running at {socket}", hint) from error
    except (BlockingIOError, TimeoutError):
        return  # its backlog is full: gRPC waits
    except OSError as error:
        why = error.strerror or error
        raise Unavailable(f"the control service at {socket} can't be reached: {why}") from error


def _listens(server: str) -> bool:
    """Return whether a server at HOST:PORT accepts TCP connections."""
    host, _, port = server.strip().rpartition(":")
    with suppress(OSError), sockets.create_connection((host.strip("[]"), int(port)), timeout=_PROBE):
        return True
    return False


def _contents(shown: Files) -> tuple[bytes, ...]:
    """CA certificate, key and certificate, as gRPC takes them."""
    try:
        return tuple(path.read_bytes() for path in (shown.ca, shown.key, shown.certificate))
    except OSError as error:
        raise InvalidConfig(f"{error.filename}: {error.strerror}", "ovnhook node join") from error


def _close(channels: dict[_Key, grpc.Channel]) -> None:
    for channel in channels.values():
        channel.close()
