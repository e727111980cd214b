"""Lists in pages: each row once, whatever the size of a page, and no page larger than an answer may be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ovnhook.control.pages import page


@dataclass(frozen=True)
class Message:
    """As large as it says."""

    number: int
    size: int

    def ByteSize(self) -> int:  # noqa: N802  (as messages of protobuf have it)
        """Its bytes."""
        return self.size


def pages(sizes: list[int], size: int) -> list[list[Message]]:
    """All pages of rows of these sizes."""
    found: list[list[Message]] = []
    token = ""
    while not found or token:
        shown, token = page(range(len(sizes)), lambda n: (n,), size, token, lambda n: Message(n, sizes[n]))
        found.append(shown)
    return found


@pytest.mark.parametrize(
    ("sizes", "size", "lengths"),
    [
        ([], 0, [0]),
        ([100] * 5000, 0, [5000]),
        ([100] * 5000, 2, [2] * 2500),
        ([100] * 2500, 2000, [1000, 1000, 500]),
        ([1 << 20] * 5, 0, [2, 2, 1]),
        ([1 << 20] * 5, 4, [2, 2, 1]),
        ([5 << 20] * 2, 0, [1, 1]),
    ],
)
def test_each_row_comes_once(sizes: list[int], size: int, lengths: list[int]) -> None:
    """In order; a row that is too large by itself comes by itself."""
    found = pages(sizes, size)
    assert [one.number for shown in found for one in shown] == [*range(len(sizes))]
    assert [len(shown) for shown in found] == lengths
