"""Text as a terminal shows it and as a shell reads it. Pure.

Names come from whoever defines domains, and from databases that others write to: a terminal must not obey them.
"""

from __future__ import annotations

import re
import shlex
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode's categories of what a terminal obeys instead of showing it: control and format characters and the like."""

_PLAIN = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*")  # as in shlex, and letters of all languages


def visible(text: str) -> str:
    r"""A text on one line, with what a terminal would not show escaped as in Python: ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(ascii(one)[1:-1] if is_hidden(one) else one for one in text)


def is_hidden(text: str) -> bool:
    """Whether there is a character in a text that a terminal would not show."""
    return not text.isprintable() and any(unicodedata.category(one) in _HIDDEN for one in text)


def quoted(word: str) -> str:
    """A word as it is typed into a shell: in quotes where it needs them."""
    return word if _PLAIN.fullmatch(word) else shlex.quote(word)
