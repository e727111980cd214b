"""A generated part of a page: what is between two comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).parents[1] / "docs" / "reference"


@dataclass(frozen=True)
class Part:
    """A part of a page. Everything around it is written by hand.

    Attributes:
        page: file name in docs/reference.
        name: as in the comment before it.
        make: returns its Markdown.
    """

    page: str
    name: str
    make: Callable[[], str]

    def fill(self, page: str) -> str:
        """A page with this part as it is to be.

        Raises:
            ValueError: the page does not have the two comments once.
        """
        before, after = f"<!-- generated: {self.name} -->\n", "<!-- end -->"
        found, count = re.subn(
            f"{re.escape(before)}.*?{re.escape(after)}",
            lambda _: f"{before}\n{self.make().strip()}\n\n{after}",
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"{self.page} has {count} times: {before.strip()} … {after}")
        return found


def pages(parts: Iterable[Part]) -> dict[Path, str]:
    """Every page that has one of some parts, as it is to be."""
    filled: dict[Path, str] = {}
    for part in parts:
        path = PAGES / part.page
        filled[path] = part.fill(filled.get(path) or path.read_text())
    return filled


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in line)}|" for line in lines)
