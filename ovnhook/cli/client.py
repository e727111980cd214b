"""Calls of the control service. Messages come back as dictionaries, with the fields of the proto in their order."""

from __future__ import annotations

import errno
import os
import socket as sockets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovnhook.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    InUse,
    InvalidRequest,
    NotFound,
    OvnhookError,
    PermissionDenied,
    Unavailable,
)

if TYPE_CHECKING:
    import grpc

_PATIENCE = 15.0  # seconds for one call
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
    """A control service.

    Args:
        socket: where it serves.
        patience: seconds that one call may take.
    """

    def __init__(self, socket: Path, patience: float = _PATIENCE) -> None:
        self._socket = socket
        self._patience = patience

    def call(self, method: str, **fields: Any) -> Object:
        """Call a method of ``ovnhook.v1`` by its name, with these fields in the request.

        Raises:
            OvnhookError: the one that the service raised, or Unavailable if it can't be asked.
        """
        self._find()
        import grpc

        from ovnhook.api.v1 import ovnhook_pb2

        services = ovnhook_pb2.DESCRIPTOR.services_by_name.values()
        (service,) = (service for service in services if method in service.methods_by_name)
        found = service.methods_by_name[method]
        request, response = (getattr(ovnhook_pb2, kind.name) for kind in (found.input_type, found.output_type))
        with grpc.insecure_channel(f"unix:{self._socket}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            call = channel.unary_unary(
                f"/{service.full_name}/{method}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            try:
                answer: Object = _plain(call(request(**fields), timeout=self._patience))
            except grpc.RpcError as error:
                raise self._told(error) from error
        return answer

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

    def _find(self) -> None:
        """Say clearly why nobody can be called, where gRPC would say a lot."""
        try:
            with sockets.socket(sockets.AF_UNIX) as probe:
                probe.settimeout(self._patience)
                probe.connect(str(self._socket))
        except PermissionError as error:
            raise Unavailable(f"only root may use the control service at {self._socket}", "sudo ovnhook …") from error
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                why = os.strerror(error.errno) if error.errno else str(error)
                raise Unavailable(f"the control service at {self._socket} can't be reached: {why}") from error
            raise Unavailable(
                f"the control service is not running at {self._socket}", "systemctl start ovnhook-control"
            ) from error

    def _told(self, error: grpc.RpcError) -> OvnhookError:
        """What the service raised."""
        status, words = error.code().name, error.details() or ""
        if status == "DEADLINE_EXCEEDED":
            return Unavailable(f"the control service at {self._socket} did not answer within {self._patience:.0f} s")
        if status == "UNIMPLEMENTED":
            return OvnhookError(
                "the control service does not know this: its version is another one",
                "systemctl restart ovnhook-control",
            )
        hints = [value for key, value in error.trailing_metadata() or () if key == _HINT]
        kind = next((kind for kind in _ERRORS if kind.status == status), OvnhookError)
        usual = "ovnhook status" if kind is Unavailable else ""
        return kind(words, hints[0] if hints else usual)


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
