"""Lists in pages.

The token of the next page is the place of the last row in the order, so pages stay right while rows come and go.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from ovnhook.errors import InvalidRequest

_MOST = 1000  # rows of a page; gRPC's clients take 4 MiB in one answer

Row = TypeVar("Row")
Place = tuple[str | int, ...]


def page(rows: Iterable[Row], place: Callable[[Row], Place], size: int, token: str) -> tuple[list[Row], str]:
    """One page of a list, and the token of the next one ("" after the last).

    Args:
        rows: all of them.
        place: what they are ordered by, different for each row.
        size: most rows of the page; 0, or too many: as many as are right.
        token: that of the page before, or "" for the first one.

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
    most = min(size or _MOST, _MOST)
    if len(left) <= most:
        return left, ""
    last = json.dumps(place(left[most - 1])).encode()
    return left[:most], base64.urlsafe_b64encode(last).decode()


def _place(token: str) -> Place:
    """The place that a token names; ValueError, TypeError or RecursionError if it names none."""
    place = json.loads(base64.urlsafe_b64decode(token))
    if not isinstance(place, list):
        raise TypeError("not a place")
    return tuple(place)
