"""Calls of the control service. Messages come back as dictionaries, with the fields of the proto in their order."""

from __future__ import annotations

import errno
import os
import socket as sockets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovnhook.config import CONTROL_SOCKET, Config, load
from ovnhook.errors import (
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

    from ovnhook.keyfiles import Files
    from ovnhook.token import Token

_PATIENCE = 15.0  # seconds for one call
_PROBE = 2.0  # seconds that one of several hosts may take to let us connect
_HINT = "ovnhook-hint"
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

Object = dict[str, Any]


class Client:
    """A control service: of this host, by its unix socket, or of another one, by TCP with this host's certificate.

    Args:
        socket: where it serves, or None for where ``ovnhook.toml`` says.
        patience: seconds that one call may take.
    """

    def __init__(self, socket: Path | None, patience: float = _PATIENCE) -> None:
        self._socket = socket
        self._patience = patience

    def call(self, method: str, **fields: Any) -> Object:
        """Call a method of ``ovnhook.v1`` by its name, with these fields in the request.

        Raises:
            OvnhookError: the one that the service raised, or Unavailable if it can't be asked.
        """
        config = load() if self._socket is None else Config()
        if config.control:
            from ovnhook.keyfiles import Files

            shown = Files(*map(Path, (config.database_certificate, config.database_private_key, config.database_ca)))
            hint = f"openssl x509 -noout -subject -enddate -in {config.database_certificate}; ovnhook status there"
            return self._anywhere(config.control.split(","), shown, hint, method, fields)
        socket = self._socket or CONTROL_SOCKET
        self._find(socket)
        import grpc

        channel = grpc.insecure_channel(f"unix:{socket}", options=_OPTIONS)
        return self._call(channel, str(socket), "ovnhook status", method, fields)

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
        where = self._reachable(token.servers)
        return self._call(_secure(where, ca), where, "", "Enrol", fields)

    def is_let_in(self, servers: Sequence[str], shown: Files) -> bool:
        """Whether one of some control hosts, each HOST:PORT, lets in who shows these.

        Raises:
            Unavailable: none can be reached.
        """
        self._reachable(servers)
        try:
            self._anywhere(servers, shown, "", "ListNodes", {"page_size": 1})
        except (Unavailable, PermissionDenied):
            return False
        return True

    def _anywhere(
        self, servers: Sequence[str], shown: Files, hint: str, method: str, fields: Mapping[str, Any]
    ) -> Object:
        """Call a method at the first of some control hosts that answers."""
        files = [_content(path) for path in (shown.ca, shown.key, shown.certificate)]
        wrong: list[str] = []
        for server in map(str.strip, servers):
            try:
                return self._call(_secure(self._reachable([server]), *files), server, hint, method, fields)
            except Unavailable as error:
                wrong.append(error.message)
        raise Unavailable("; ".join(wrong), hint)

    def _call(self, channel: grpc.Channel, where: str, hint: str, method: str, fields: Mapping[str, Any]) -> Object:
        import grpc

        from ovnhook.api.v1 import ovnhook_pb2

        services = ovnhook_pb2.DESCRIPTOR.services_by_name.values()
        (service,) = (service for service in services if method in service.methods_by_name)
        found = service.methods_by_name[method]
        request, response = (getattr(ovnhook_pb2, kind.name) for kind in (found.input_type, found.output_type))
        with channel:
            call = channel.unary_unary(
                f"/{service.full_name}/{method}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            try:
                answer: Object = _plain(call(request(**fields), timeout=self._patience))
            except grpc.RpcError as error:
                raise self._told(error, where, hint) from error
        return answer

    def _reachable(self, servers: Sequence[str]) -> str:
        """The first of some control hosts that lets us connect."""
        for server in servers:
            host, _, port = server.strip().rpartition(":")
            with suppress(OSError), sockets.create_connection((host.strip("[]"), int(port)), timeout=_PROBE):
                return server.strip()
        raise Unavailable(
            f"no control service can be reached at {', '.join(servers)}",
            "on a control host: systemctl status ovnhook-control",
        )

    def _find(self, socket: Path) -> None:
        """Say clearly why nobody can be called, where gRPC would say a lot."""
        try:
            with sockets.socket(sockets.AF_UNIX) as probe:
                probe.settimeout(self._patience)
                probe.connect(str(socket))
        except PermissionError as error:
            raise Unavailable(f"only root may use the control service at {socket}", "sudo ovnhook …") from error
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                why = os.strerror(error.errno) if error.errno else str(error)
                raise Unavailable(f"the control service at {socket} can't be reached: {why}") from error
            raise Unavailable(
                f"the control service is not running at {socket}", "systemctl start ovnhook-control"
            ) from error

    def _told(self, error: grpc.RpcError, where: str, usual: str) -> OvnhookError:
        """What the service raised."""
        status, words = error.code().name, error.details() or ""
        if status == "DEADLINE_EXCEEDED":
            return Unavailable(f"the control service at {where} did not answer within {self._patience:.0f} s")
        if status == "UNIMPLEMENTED":
            return OvnhookError(
                "the control service does not know this: its version is another one",
                "systemctl restart ovnhook-control",
            )
        hints = [value for key, value in error.trailing_metadata() or () if key == _HINT]
        kind = next((kind for kind in _ERRORS if kind.status == status), OvnhookError)
        return kind(words, hints[0] if hints else usual if kind is Unavailable else "")


_OPTIONS = [("grpc.enable_http_proxy", 0)]


def _secure(where: str, ca: bytes, key: bytes | None = None, certificate: bytes | None = None) -> grpc.Channel:
    """A channel to a control host, which shows a certificate of the authority's."""
    import grpc

    from ovnhook.pki import SERVER_NAME

    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    return grpc.secure_channel(where, credentials, options=[*_OPTIONS, ("grpc.ssl_target_name_override", SERVER_NAME)])


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror}", "ovnhook node join") from error


def _plain(value: Any) -> Any:
    """A message as a dictionary, all of its fields; the option of json_format that does this has no lasting name.

    An optional field that is not set is None.
    """
    if hasattr(value, "DESCRIPTOR"):
        return {
            field.name: None
            if field.containing_oneof and not value.HasField(field.name)
            else _plain(getattr(value, field.name))
            for field in value.DESCRIPTOR.fields
        }
    return value if isinstance(value, str | int | float) else [_plain(item) for item in value]
