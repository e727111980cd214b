"""Classes and hints of errors in gRPC's trailing metadata. Pure.

gRPC carries text in metadata as ASCII only, and bytes where the key ends in ``-bin``. A hint is sent as both: the first
one, escaped as in Python, is what earlier clients read and earlier services sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ovnhook.base import errors
from ovnhook.base.errors import OvnhookError

_CLASS = "ovnhook-error"
_ASCII = "ovnhook-hint"
_UTF8 = "ovnhook-hint-bin"
_LONGEST = 1000  # bytes of each: of more than 8 KiB of metadata the client hears nothing

Metadata = tuple[tuple[str, str | bytes], ...]


def metadata(error: OvnhookError) -> Metadata:
    """An error's class and hint as metadata.

    Control characters are escaped: a client never hears of a call that ends with one in a text.
    """
    named = ((_CLASS, class_name(error)),)
    if not error.hint:
        return named
    escaped = error.hint.encode("unicode_escape")
    whole = error.hint.encode(errors="backslashreplace")
    return (*named, (_ASCII, _short(escaped).decode()), (_UTF8, _short(whole)))


def class_name(error: OvnhookError) -> str:
    """Name of the most specific class of an error that clients know: one of `ovnhook.base.errors`."""
    return next(one.__name__ for one in type(error).__mro__ if one.__module__ == errors.__name__)


def error_class(found: Iterable[tuple[str, str | bytes]]) -> str:
    """The name of the error's class in metadata, or "" if the service did not raise it."""
    return str(dict(found).get(_CLASS, ""))


def error(name: str, default: type[OvnhookError], message: str, hint: str) -> OvnhookError:
    """An error of the class with a name; a newer service may have classes that this version does not know."""
    found = getattr(errors, name, None)
    return (found if isinstance(found, type) and issubclass(found, OvnhookError) else default)(message, hint)


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
