"""Enrolment of this host with a join token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ovnhook.base.command import run
from ovnhook.base.errors import NotFound, OvnhookError
from ovnhook.pki import x509
from ovnhook.pki.keyfiles import Files
from ovnhook.pki.token import Token

RENEWAL = "ovnhook-renew.timer"
"""Timer that renews certificates."""


class ControlClient(Protocol):
    """Client of the control service, with or without a certificate."""

    def enrol(self, token: Token, ca: bytes, request: bytes, address: str) -> dict[str, Any]:
        """Exchange a join token for a certificate."""

    def is_trusted(self, servers: Sequence[str], files: Files) -> bool:
        """Test whether one of the servers accepts a client certificate."""

    def call(self, method: str, **fields: Any) -> dict[str, Any]:
        """Call a method of ``ovnhook.v1`` by its name."""

    def pages(self, method: str, rows: str, **fields: Any) -> list[dict[str, Any]]:
        """Call a method that lists, and collect all pages."""


def hosts(token: Token) -> list[str]:
    """Addresses of the control hosts in a token."""
    return [server.rpartition(":")[0].strip("[]") for server in token.servers]


def enrol(token: Token, key: bytes, address: str, client: ControlClient) -> tuple[bytes, dict[str, Any]]:
    """Exchange a token for a certificate; return the authority's certificate in PEM and the response.

    Args:
        token: join token.
        key: private key of this host, in PEM.
        address: address of this host.
        client: client of the control service.

    Raises:
        NotFound: no control host of the token's cloud answers.
        OvnhookError: the control service refuses the token.
    """
    ca = _authority(token)
    return ca, client.enrol(token, ca, x509.request(key), address)


def _authority(token: Token) -> bytes:
    """Fetch the authority's certificate, verified by the fingerprint in the token."""
    failures: list[str] = []
    for server in token.servers:
        argv = ("openssl", "s_client", "-connect", server, "-alpn", "h2", "-showcerts", "-ignore_unexpected_eof")
        try:
            output = run(*argv)
        except OvnhookError as error:
            failures.append(error.message)
            continue
        for one in x509.split(output.encode()):
            if x509.fingerprint(one) == token.fingerprint:
                return one
        failures.append(f"{server}: its CA certificate does not match the token's fingerprint")
    raise NotFound(
        f"no control host of the token's cloud answers: {'; '.join(failures)}",
        "on the control host: ovnhook node token NAME",
    )
