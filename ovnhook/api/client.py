"""Calls of the control service. Messages come back as dictionaries, with the fields of the proto in their order."""

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
    InUse,
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

_PATIENCE = 15.0  # seconds for one call
_PROBE = 2.0  # seconds that one of several hosts has to let us connect before the next one is tried
_NOT_SENT = ("failed to connect to all addresses", "DNS resolution failed")  # how gRPC says that nothing was sent
_LOOK = "on a control host: systemctl status ovnhook-control"
_ERRORS: tuple[type[OvnhookError], ...] = (
    InvalidRequest,
    NotFound,
    AlreadyExists,
    InUse,
    PermissionDenied,
    Exhausted,
    Unavailable,
    Conflict,
)
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    # A connection is this client's alone, and with it what went wrong with it.
    ("grpc.use_local_subchannel_pool", 1),
]

Object = dict[str, Any]
_Key = tuple[str, tuple[bytes, ...], bool]


class Client:
    """A control service: of this host, by its unix socket, or of another one, by TCP with this host's certificate.

    Its connections stay open as long as it is there: one for each host that was called.

    Args:
        socket: where it serves, or None for where ``ovnhook.toml`` says.
        patience: seconds that one call may take.
    """

    def __init__(self, socket: Path | None, patience: float = _PATIENCE) -> None:
        self._socket = socket
        self._patience = patience
        self._channels: dict[_Key, grpc.Channel] = {}
        weakref.finalize(self, _close, self._channels)

    def call(self, method: str, **fields: Any) -> Object:
        """Call a method of ``ovnhook.v1`` by its name, with these fields in the request.

        Raises:
            OvnhookError: the one that the service raised, or Unavailable if it can't be asked.
        """
        config = self._config
        if config.control:
            from ovnhook.pki.keyfiles import Files

            shown = Files(*map(Path, (config.database_certificate, config.database_private_key, config.database_ca)))
            hint = f"openssl x509 -noout -subject -enddate -in {config.database_certificate}; ovnhook status there"
            return self._anywhere(config.control.split(","), _contents(shown), hint, method, fields)
        socket = self._socket or CONTROL_SOCKET
        _find(socket)
        channel = self._channel(f"unix:{socket}", (), self._patience)
        return _call(channel, str(socket), self._patience, method, fields)

    def pages(self, method: str, rows: str, **fields: Any) -> list[Object]:
        """All rows of a list, page by page.

        Args:
            method: as above.
            rows: the field of the response that they are in.
            fields: of the request.
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
        """Join, at one of the control hosts of a token.

        Args:
            token: that lets this host in.
            ca: the certificate, in PEM, that the control host is known by.
            request: the signing request of this host's key, in PEM.
            address: that others reach this host at.

        Raises:
            OvnhookError: the one that the service raised, or Unavailable if it can't be asked.
        """
        fields = {"secret": token.secret, "request": request.decode(), "address": address}
        return self._anywhere(token.servers, (ca,), _LOOK, "Enrol", fields)

    def is_trusted(self, servers: Sequence[str], files: Files) -> bool:
        """Test whether one of the servers, each HOST:PORT, accepts a client certificate.

        Raises:
            Unavailable: no server is reachable.
        """
        # A new client, and so a new connection, each time.
        client = Client(self._socket, self._patience)
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
        """Call a method at the first of some control hosts that answers.

        A call that may have reached one of them is made at another one only if the proto says that it may be repeated.
        Of several hosts each has a short time to let us connect; then, as they may be slow, all have what is left.

        Args:
            servers: each HOST:PORT.
            credentials: the CA's certificate, and this host's key and certificate, in PEM.
            hint: what to do if none can be asked.
            method: as above.
            fields: of the request.
        """
        deadline = Deadline.after(self._patience)
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
                    if not _may_be_repeated(method):
                        raise Unavailable(f"{error.message}: it may be done, or not", error.hint or hint) from error
                    wrong[server] = error.message
                    left.remove(server)
        raise Unavailable("; ".join(wrong.values()), hint)

    def _channel(self, where: str, credentials: tuple[bytes, ...], patience: float) -> grpc.Channel:
        """The connection to a control host, which is made when it is used first, and has some seconds for that."""
        import grpc

        from ovnhook.pki.x509 import SERVER_NAME

        key = (where, credentials, patience <= _PROBE)
        if key not in self._channels:
            options: list[tuple[str, str | int]] = [*_OPTIONS, ("grpc.min_reconnect_backoff_ms", int(patience * 1000))]
            if credentials:
                options.append(("grpc.ssl_target_name_override", SERVER_NAME))
                shown = grpc.ssl_channel_credentials(*credentials)
                self._channels[key] = grpc.secure_channel(where, shown, options=options)
            else:
                self._channels[key] = grpc.insecure_channel(where, options=options)
        return self._channels[key]


def _call(channel: grpc.Channel, where: str, patience: float, method: str, fields: Mapping[str, Any]) -> Object:
    import grpc

    from ovnhook.api import messages
    from ovnhook.api.protos import message_class

    found = _method(method)
    request, response = message_class(found.input_type), message_class(found.output_type)
    try:
        asked = request(**fields)
    except (ValueError, TypeError) as error:  # a number that is too large, or an argument that is no text
        raise InvalidRequest(f"that can't be asked for: {error}") from error
    call = channel.unary_unary(
        f"/{found.containing_service.full_name}/{method}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    try:
        return messages.plain(call(asked, timeout=patience))
    except grpc.RpcError as error:
        raise _told(error, where, patience) from error


class _NotSent(Unavailable):
    """The control service can't be reached: the call did not get there."""


def _told(error: grpc.RpcError, where: str, patience: float) -> OvnhookError:
    """What the service raised, or that it did not answer."""
    from ovnhook.api import hints

    status, words = error.code().name, error.details() or ""
    if status == "DEADLINE_EXCEEDED":
        return Unavailable(f"the control service at {where} did not answer within {patience:.0f} s")
    if status == "UNIMPLEMENTED":
        return OvnhookError(
            "the control service does not know this: its version is another one",
            "systemctl restart ovnhook-control",
        )
    if status == "UNAVAILABLE" and words.startswith(_NOT_SENT):
        return _NotSent(f"the control service at {where} can't be reached: {words.rpartition('last error: ')[2]}")
    kind = next((kind for kind in _ERRORS if kind.status == status), OvnhookError)
    return kind(words, hints.hint(error.trailing_metadata() or ()))


def _method(name: str) -> MethodDescriptor:
    """A method of one of our services."""
    from ovnhook.api.protos import PROTOS

    services = (service for proto in PROTOS for service in proto.DESCRIPTOR.services_by_name.values())
    (service,) = (service for service in services if name in service.methods_by_name)
    return service.methods_by_name[name]


def _may_be_repeated(method: str) -> bool:
    """Whether the proto says that calling it twice does no more than calling it once."""
    from google.protobuf.descriptor_pb2 import MethodOptions

    return _method(method).GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN


def _find(socket: Path) -> None:
    """Connect to a socket once, before gRPC is imported: why nobody can be called there, in fewer words than gRPC's."""
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
        return  # it has more calls than it accepts: gRPC waits
    except OSError as error:
        why = error.strerror or error
        raise Unavailable(f"the control service at {socket} can't be reached: {why}") from error


def _listens(server: str) -> bool:
    """Whether somebody can be reached at HOST:PORT, who may let us in or not."""
    host, _, port = server.strip().rpartition(":")
    with suppress(OSError), sockets.create_connection((host.strip("[]"), int(port)), timeout=_PROBE):
        return True
    return False


def _contents(shown: Files) -> tuple[bytes, ...]:
    """What is shown to a control host: whom we trust, our key, our certificate."""
    try:
        return tuple(path.read_bytes() for path in (shown.ca, shown.key, shown.certificate))
    except OSError as error:
        raise InvalidConfig(f"{error.filename}: {error.strerror}", "ovnhook node join") from error


def _close(channels: dict[_Key, grpc.Channel]) -> None:
    for channel in channels.values():
        channel.close()
