"""Pagination of lists.

The page token is the sort key of the last row, so that concurrent changes neither skip nor repeat other rows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ovnhook.base.errors import InvalidRequest

_MAX_ROWS = 1000  # maximum page_size
_MAX_BYTES = 3 << 20  # size of a page: gRPC clients accept messages up to 4 MiB
_FRAME = 6  # bytes of overhead per row, at most

Row = TypeVar("Row")
Message = TypeVar("Message")
SortKey = tuple[str | int, ...]


def page(
    rows: Iterable[Row], sort_key: Callable[[Row], SortKey], size: int, token: str, message: Callable[[Row], Message]
) -> tuple[list[Message], str]:
    """Return one page of a list, and the token of the next page ("" after the last one).

    Args:
        rows: all rows.
        sort_key: returns the sort key of a row, which is unique.
        size: maximum number of rows, or 0 for as many as fit into one message.
        token: token of this page, or "" for the first one.
        message: converts a row into a message.

    Raises:
        InvalidRequest: negative page size, or invalid page token.
    """
    if size < 0:
        raise InvalidRequest(f"page_size {size} is negative")
    try:
        after = _decoded(token) if token else ()
        left = sorted((row for row in rows if not after or sort_key(row) > after), key=sort_key)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(f"invalid page_token '{token}'") from error
    shown: list[Any] = []
    room = _MAX_BYTES
    for row in left[: min(size, _MAX_ROWS)] if size else left:
        one: Any = message(row)
        room -= one.ByteSize() + _FRAME
        if shown and room < 0:
            break
        shown.append(one)
    if len(shown) == len(left):
        return shown, ""
    last = json.dumps(sort_key(left[len(shown) - 1])).encode()
    return shown, base64.urlsafe_b64encode(last).decode()


def _decoded(token: str) -> SortKey:
    """Sort key of a token; raises ValueError, TypeError or RecursionError if it is invalid."""
    decoded = json.loads(base64.urlsafe_b64decode(token))
    if not isinstance(decoded, list):
        raise TypeError("not a sort key")
    return tuple(decoded)
