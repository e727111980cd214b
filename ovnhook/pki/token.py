"""Join token: server addresses, CA fingerprint and a secret, as one word to type."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ovnhook.base.errors import InvalidRequest

LIFETIME = 1800
"""Lifetime of a token in seconds."""

SOUTHBOUND, API, ENROLMENT = 6642, 6645, 6646
"""Ports of a control host for other hosts: southbound database, control service and enrolment."""

PREFIX = "ovnhook1."
"""Start of every token."""

MAX_LENGTH = 4096
"""Characters."""


@dataclass(frozen=True)
class Token:
    """Join token for one host, to be used once.

    Attributes:
        name: name of the node.
        role: its role: ``node`` or ``control``.
        servers: enrolment servers, each HOST:PORT.
        fingerprint: SHA-256 of the authority's certificate, by which the host authenticates the server.
        secret: by which the server authenticates the host.
    """

    name: str
    role: str
    servers: Sequence[str]
    fingerprint: str
    secret: str

    def __str__(self) -> str:
        """Encoded form, as typed."""
        text = json.dumps(asdict(self), separators=(",", ":")).encode()
        return PREFIX + base64.urlsafe_b64encode(text).decode().rstrip("=")

    @property
    def digest(self) -> str:
        """Digest of the secret, which is what the server stores."""
        return digest(self.secret)


def parse(text: str) -> Token:
    """Decode a token.

    Raises:
        InvalidRequest: not a token, or a truncated one.
    """
    text = "".join(text.split())  # a terminal may have folded it
    wrong = InvalidRequest("this is not a token, or a truncated one", "on the control host: ovnhook node token NAME")
    if not text.startswith(PREFIX) or len(text) > MAX_LENGTH:
        raise wrong
    encoded = text.removeprefix(PREFIX)
    try:
        found = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
        token = Token(**found)
    except (binascii.Error, ValueError, TypeError) as error:
        raise wrong from error
    texts = (token.name, token.role, token.fingerprint, token.secret)
    if not isinstance(token.servers, list) or not all(isinstance(one, str) for one in (*texts, *token.servers)):
        raise wrong
    return token


def new_secret() -> str:
    """Generate a random secret."""
    return secrets.token_hex(16)


def digest(secret: str) -> str:
    """SHA-256 of a secret: stored instead of it, and useless for joining."""
    return hashlib.sha256(secret.encode()).hexdigest()
