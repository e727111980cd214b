"""Hints of errors in gRPC's trailing metadata. Pure.

gRPC carries text in metadata as ASCII only, and bytes where the key ends in ``-bin``. A hint is sent as both: the first
one, escaped as in Python, is what earlier clients read and earlier services sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

_ASCII = "ovnhook-hint"
_UTF8 = "ovnhook-hint-bin"
_LONGEST = 1000  # bytes of each: of more than 8 KiB of metadata the client hears nothing

Metadata = tuple[tuple[str, str | bytes], ...]


def metadata(hint: str) -> Metadata:
    """A hint as metadata: a client never hears of a call that ends with a control character in a text."""
    escaped = hint.encode("unicode_escape")
    return (_ASCII, _short(escaped).decode()), (_UTF8, _short(hint.encode(errors="backslashreplace")))


def hint(found: Iterable[tuple[str, str | bytes]]) -> str:
    """The hint in metadata, or ""."""
    known = dict(found)
    if isinstance(whole := known.get(_UTF8), bytes):
        return whole.decode(errors="replace")
    text = known.get(_ASCII, "")
    with suppress(UnicodeError):
        return text.encode().decode("unicode_escape") if isinstance(text, str) else ""
    return str(text)


def _short(text: bytes) -> bytes:
    return text if len(text) <= _LONGEST else text[:_LONGEST].decode(errors="ignore").encode() + b"..."
