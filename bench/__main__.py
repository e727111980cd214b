"""``make bench``: the table of what things cost."""

from __future__ import annotations

import sys

from bench import hotplug, migration


def main() -> int:
    """Measure, and print each line when it is there."""
    _line(migration.HEADINGS)
    for result in migration.measure():
        _line(result.row())
    _line(hotplug.HEADINGS)
    for row in hotplug.measure():
        _line(row)
    return 0


def _line(cells: tuple[str, ...]) -> None:
    first, *others = cells
    print(f"{first:<48}" + "".join(f"{cell:>14}" for cell in others), flush=True)


if __name__ == "__main__":
    sys.exit(main())
