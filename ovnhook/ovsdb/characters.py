"""Whole characters in what the library `ovs` receives.

It decodes UTF-8 anew in each `jsonrpc.Connection.recv`: a character of which one part has arrived when that returns is
an error, and ends the connection. A name that is not ASCII, in a long reply, is enough.
"""

from __future__ import annotations

from typing import Any

import ovs.stream

_receive = ovs.stream.Stream.recv

_LONGEST = 4  # bytes of a character


def incomplete(data: bytes) -> int:
    """Number of bytes at the end of some that begin a character which is not complete."""
    for length in range(1, min(_LONGEST, len(data) + 1)):
        first = data[-length]
        if first & 0xC0 == 0x80:
            continue  # inside a character
        size = 1 + (first >= 0xC0) + (first >= 0xE0) + (first >= 0xF0)
        return length if size > length else 0
    return 0


def receive(stream: Any, n: int) -> tuple[int, Any]:
    """See ovs.stream.Stream.recv: without the beginning of a character, which comes with the next bytes."""
    while True:
        error, data = _receive(stream, n)
        if error or not data:
            return error, data
        whole = getattr(stream, "_beginning", b"") + data
        end = len(whole) - incomplete(whole)
        stream._beginning = whole[end:]
        if end:
            return 0, whole[:end]


ovs.stream.Stream.recv = receive
