"""The table as text and Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.measurement import HEADINGS, Measurement

_WIDTHS = (58, 46, 10, 10, 9, 19, 5, 9, 7)


def line(cells: Sequence[str] = HEADINGS) -> str:
    """A line of the table, of fixed width."""
    first, second, *others = (
        cell.ljust(width) if number < 2 else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    )
    return "  ".join((first, second, *others)).rstrip()


def markdown(rows: Sequence[Measurement]) -> str:
    """The table as Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(row.cells for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
