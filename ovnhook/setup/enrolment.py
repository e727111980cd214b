"""A host lets itself in, with a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ovnhook.base.errors import NotFound, OvnhookError
from ovnhook.pki import x509
from ovnhook.pki.keyfiles import Files
from ovnhook.pki.token import Token
from ovnhook.setup.command import run


class Door(Protocol):
    """The control service, as one who has no certificate yet reaches it, or one who has."""

    def enrol(self, token: Token, ca: bytes, request: bytes, address: str) -> dict[str, Any]:
        """Join."""

    def is_let_in(self, servers: Sequence[str], shown: Files) -> bool:
        """Whether one of some control hosts lets in who shows these."""

    def call(self, method: str, **fields: Any) -> dict[str, Any]:
        """Call a method of ``ovnhook.v1`` by its name."""

    def pages(self, method: str, rows: str, **fields: Any) -> list[dict[str, Any]]:
        """All rows of a list."""


def hosts(token: Token) -> list[str]:
    """The addresses of the control hosts that a token leads to."""
    return [server.rpartition(":")[0].strip("[]") for server in token.servers]


def enrol(token: Token, key: bytes, address: str, door: Door) -> tuple[bytes, dict[str, Any]]:
    """Join; the authority's certificate in PEM, and what the control service answers.

    Args:
        token: that lets this host in.
        key: this host's private key, in PEM.
        address: that others reach this host at.
        door: the control service.

    Raises:
        NotFound: nobody answers who is of the cloud that the token is of.
        OvnhookError: the control service refuses it.
    """
    ca = _authority(token)
    return ca, door.enrol(token, ca, x509.request(key), address)


def _authority(token: Token) -> bytes:
    """The authority's certificate, from whoever answers: by its fingerprint it is known to be the right one."""
    wrong: list[str] = []
    for server in token.servers:
        argv = ("openssl", "s_client", "-connect", server, "-alpn", "h2", "-showcerts", "-ignore_unexpected_eof")
        try:
            said = run(*argv)
        except OvnhookError as error:
            wrong.append(error.message)
            continue
        for one in x509.split(said.encode()):
            if x509.fingerprint(one) == token.fingerprint:
                return one
        wrong.append(f"{server} shows no certificate that this token was made with")
    raise NotFound(
        f"nobody of the cloud that this token is of answers: {'; '.join(wrong)}",
        "on the control host: ovnhook node token NAME",
    )
