"""Escaping of text for terminals and shells, and lists in messages. Pure.

Names come from domain XML and databases that others write: a terminal must not interpret them.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories of control, format and other characters that a terminal interprets."""

_MAX_LISTED = 5  # names in a message
_PLAIN = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*")  # as in shlex, and letters of all languages


def visible(text: str) -> str:
    r"""Text on one line, with control characters escaped as in Python: ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(ascii(one)[1:-1] if is_hidden(one) else one for one in text)


def is_hidden(text: str) -> bool:
    """Test for characters that a terminal interprets instead of showing them."""
    return not text.isprintable() and any(unicodedata.category(one) in _HIDDEN for one in text)


def quoted(word: str) -> str:
    """Word quoted for a shell where needed."""
    return word if _PLAIN.fullmatch(word) else shlex.quote(word)


def few(what: str, names: Sequence[str]) -> str:
    """Abbreviate a list: ``domains a, b, c, d, e and 3 more``."""
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names[:_MAX_LISTED])}{more}"
