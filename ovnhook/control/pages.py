"""Lists in pages.

The token of the next page is the place of the last row in the order, so pages stay right while rows come and go.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ovnhook.base.errors import InvalidRequest

_MOST = 1000  # rows of a page for which a size is asked
_BYTES = 3 << 20  # of a page for which none is: gRPC's clients take 4 MiB in one answer
_FRAME = 6  # bytes that a row takes in a page beside its own, at most

Row = TypeVar("Row")
Message = TypeVar("Message")
Place = tuple[str | int, ...]


def page(
    rows: Iterable[Row], place: Callable[[Row], Place], size: int, token: str, message: Callable[[Row], Message]
) -> tuple[list[Message], str]:
    """One page of a list, and the token of the next one ("" after the last).

    Args:
        rows: all of them.
        place: what they are ordered by, different for each row.
        size: most rows of the page; 0: as many as fit into one answer.
        token: that of the page before, or "" for the first one.
        message: makes of a row what is shown of it.

    Raises:
        InvalidRequest: the size is negative, or the token is none of ours.
    """
    if size < 0:
        raise InvalidRequest(f"page_size {size} is negative")
    try:
        after = _place(token) if token else ()
        left = sorted((row for row in rows if not after or place(row) > after), key=place)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(f"page_token '{token}' is not one that this list gave") from error
    shown: list[Any] = []
    room = _BYTES
    for row in left[: min(size, _MOST)] if size else left:
        one: Any = message(row)
        room -= one.ByteSize() + _FRAME
        if shown and room < 0:
            break
        shown.append(one)
    if len(shown) == len(left):
        return shown, ""
    last = json.dumps(place(left[len(shown) - 1])).encode()
    return shown, base64.urlsafe_b64encode(last).decode()


def _place(token: str) -> Place:
    """The place that a token names; ValueError, TypeError or RecursionError if it names none."""
    place = json.loads(base64.urlsafe_b64decode(token))
    if not isinstance(place, list):
        raise TypeError("not a place")
    return tuple(place)
