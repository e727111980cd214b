"""What a host is let in with: a word that is typed there, which says whom to ask, what to know it by, and a secret."""

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
"""Seconds that a token is good for."""

NORTHBOUND, SOUTHBOUND, API, ENROLMENT = 6641, 6642, 6645, 6646
"""The ports of a control host: of its databases, of the control service, and of where hosts join."""

PREFIX = "ovnhook1."
"""What every token begins with."""

LONGEST = 4096
"""Characters."""


@dataclass(frozen=True)
class Token:
    """What lets one host in, once.

    Attributes:
        name: the node's that it is for.
        role: what it'll be: ``node`` or ``control``.
        servers: where it may join, each HOST:PORT.
        fingerprint: SHA-256 of the authority's certificate, by which the host knows that it speaks to the right one.
        secret: by which it is known itself.
    """

    name: str
    role: str
    servers: Sequence[str]
    fingerprint: str
    secret: str

    def __str__(self) -> str:
        """It as it is typed."""
        text = json.dumps(asdict(self), separators=(",", ":")).encode()
        return PREFIX + base64.urlsafe_b64encode(text).decode().rstrip("=")

    @property
    def digest(self) -> str:
        """What is kept of the secret."""
        return digest(self.secret)


def parse(text: str) -> Token:
    """A token that somebody typed.

    Raises:
        InvalidRequest: it is none, or was cut off.
    """
    text = "".join(text.split())  # a terminal may have folded it
    wrong = InvalidRequest("this is not a token, or not all of one", "on the control host: ovnhook node token NAME")
    if not text.startswith(PREFIX) or len(text) > LONGEST:
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
    """A secret that nobody guesses."""
    return secrets.token_hex(16)


def digest(secret: str) -> str:
    """What is kept of a secret: who reads it can't join."""
    return hashlib.sha256(secret.encode()).hexdigest()
