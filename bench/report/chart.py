"""Bar chart of hook calls in milliseconds, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.report.measurement import Measurement, figure

_LEFT, _WIDTH, _RIGHT = 390, 460, 90
_TOP, _LINE, _BAR = 56, 26, 16
_OURS, _OTHERS = "#2a6f97", "#b0b7bd"
_FIRST = 1.0  # milliseconds, start of the scale


def draw(rows: Sequence[Measurement]) -> str:
    """An SVG chart of the hook's processes and their baselines, in milliseconds."""
    bars = sorted(_bars(rows).items(), key=lambda bar: bar[1][0])
    decades = max(1, math.ceil(math.log10(max((value for value, _ in dict(bars).values()), default=10) / _FIRST)))
    height = _TOP + _LINE * len(bars) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<text x="12" y="24" font-size="16" font-weight="bold">The hook as a process, in milliseconds</text>',
        '<text x="12" y="42" fill="#57606a">logarithmic scale; grey: baselines</text>',
    ]
    for decade in range(decades + 1):
        x = _LEFT + _WIDTH * decade / decades
        parts.append(f'<line x1="{x:.0f}" y1="{_TOP - 4}" x2="{x:.0f}" y2="{height - 24}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle">{10**decade:,}</text>')
    for number, (label, (value, colour)) in enumerate(bars):
        y = _TOP + _LINE * number
        width = _WIDTH * math.log10(max(value, _FIRST) / _FIRST) / decades
        parts += [
            f'<text x="{_LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 13}">{figure(value, "")}</text>',
        ]
    return "\n".join((*parts, "</svg>")) + "\n"


def _bars(rows: Sequence[Measurement]) -> dict[str, tuple[float, str]]:
    """Height and colour of each bar, by label."""
    found: dict[str, tuple[float, str]] = {}
    for label, value, colour in _values(rows):
        found.setdefault(label, (value, colour))
    return found


def _values(rows: Sequence[Measurement]) -> Iterator[tuple[str, float, str]]:
    for row in rows:
        if row.subject == "hook" and row.unit == "ms":
            yield row.what, row.value, _OURS
            if row.base is not None and not row.against.startswith("with "):
                yield row.against, row.base, _OTHERS
