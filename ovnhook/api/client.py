"""Client of the control service. Responses are dictionaries, with the fields in the order of the proto."""

from __future__ import annotations

import socket as sockets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovnhook.api.sockets import find
from ovnhook.base.config import CONTROL_SOCKET, Config, load
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, PermissionDenied, Unavailable

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

    from ovnhook.api.calls import Calls
    from ovnhook.pki.keyfiles import Files
    from ovnhook.pki.token import Token

_TIMEOUT = 15.0  # seconds for one call
_PROBE = 2.0  # seconds to connect, to find out whether a server listens

Object = dict[str, Any]


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

    def call(self, method: str, **fields: Any) -> Object:
        """Call a method of ``ovnhook.v1`` by its name, with these request fields.

        For example ``call("CreateSubnet", subnet={"name": "blue", "cidr": "10.1.0.0/24"})``.

        Raises:
            OvnhookError: the service's error, or Unavailable if it is unreachable.
        """
        return self._call(self._calls, method, fields)

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
        from ovnhook.api.calls import Calls

        calls = Calls(token.servers, lambda: (ca,), connect=self._timeout)
        fields = {"secret": token.secret, "request": request.decode(), "address": address, "uses_api": True}
        return self._call(calls, "Enrol", fields)

    def is_trusted(self, servers: Sequence[str], files: Files) -> bool:
        """Test whether one of the servers, each HOST:PORT, accepts a client certificate.

        Raises:
            Unavailable: no server is reachable.
        """
        from ovnhook.api.calls import Calls, read_credentials

        # A new connection each time.
        calls = Calls(
            servers, lambda: read_credentials(files.ca, files.key, files.certificate), "", connect=self._timeout
        )
        try:
            self._call(calls, "ListNodes", {"page_size": 1})
        except PermissionDenied:
            return False
        except Unavailable:
            if any(map(_listens, servers)):
                return False
            raise
        return True

    @cached_property
    def _calls(self) -> Calls:
        """Calls of the service in ``ovnhook.toml``, or of the given socket."""
        config = load() if self._socket is None else Config()
        socket = (self._socket or CONTROL_SOCKET).absolute()
        if config.has_own_control:
            find(socket)
        from ovnhook.api.calls import Calls, credentials_of

        if config.has_own_control:
            return Calls([str(socket)], tuple, connect=self._timeout)
        hint = f"openssl x509 -noout -subject -enddate -in {config.database_certificate}; ovnhook status there"
        return Calls(config.control.split(","), lambda: credentials_of(config), hint, connect=self._timeout)

    def _call(self, calls: Calls, method: str, fields: Mapping[str, Any]) -> Object:
        from ovnhook.api import messages
        from ovnhook.api.channels import Method
        from ovnhook.api.protos import message_class

        found = _method(method)
        request, response = message_class(found.input_type), message_class(found.output_type)
        try:
            asked = request(**fields)
        except (ValueError, TypeError) as error:  # a number out of range, or an argument that is not a string
            raise InvalidRequest(f"invalid request: {error}") from error
        called = Method(found.containing_service.full_name, method, response, _is_idempotent(found))
        return messages.plain(calls.call(called, asked, Deadline.after(self._timeout)))


def _method(name: str) -> MethodDescriptor:
    """The descriptor of a method of ``ovnhook.v1``."""
    from ovnhook.api.protos import PROTOS

    services = (service for proto in PROTOS for service in proto.DESCRIPTOR.services_by_name.values())
    (service,) = (service for service in services if name in service.methods_by_name)
    return service.methods_by_name[name]


def _is_idempotent(method: MethodDescriptor) -> bool:
    """Return whether the proto declares a method idempotent."""
    from google.protobuf.descriptor_pb2 import MethodOptions

    return method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN


def _listens(server: str) -> bool:
    """Return whether a server at HOST:PORT accepts TCP connections."""
    host, _, port = server.strip().rpartition(":")
    with suppress(OSError), sockets.create_connection((host.strip("[]"), int(port)), timeout=_PROBE):
        return True
    return False
