"""The generated parts of docs/reference are what the code makes of them now."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference.part import Part, pages, table
from reference.parts import PARTS

FILLED = pages(PARTS)


@pytest.mark.parametrize("path", FILLED, ids=lambda path: str(path.name))
def test_a_page_is_not_stale(path: Path) -> None:
    """Changed on purpose: write it anew."""
    assert path.read_text() == FILLED[path], f"{path} is stale: make reference"


def test_what_is_written_by_hand_stays() -> None:
    """Around the part, however often it is made."""
    part = Part("x.md", "all", lambda: "new\n")
    page = "before\n<!-- generated: all -->\nold\n<!-- end -->\nafter\n"
    filled = part.fill(page)
    assert filled == "before\n<!-- generated: all -->\n\nnew\n\n<!-- end -->\nafter\n"
    assert part.fill(filled) == filled


@pytest.mark.parametrize("page", ["", "<!-- generated: all -->\n", "<!-- generated: all -->\n<!-- end -->\n" * 2])
def test_a_page_without_a_place(page: str) -> None:
    """Is an error, not a part that nobody sees."""
    with pytest.raises(ValueError, match=r"x\.md"):
        Part("x.md", "all", str).fill(page)


def test_a_table() -> None:
    """Its cells may have what divides cells."""
    assert table(("a", ""), [("x|y", ""), ("z", "1")]) == "| a | |\n| --- | --- |\n| x\\|y | |\n| z | 1 |"
