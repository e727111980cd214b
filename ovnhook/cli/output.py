"""Output of commands: tables, JSON and YAML."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from ovnhook.base.text import is_hidden, visible

Command = TypeVar("Command", bound=Callable[..., Any])
Object = Mapping[str, Any]

_WIDE = 10_000  # columns of output that is not a terminal
_UNBROKEN = 18  # characters of a cell that is never folded, such as a MAC address or a network
_GAP = 2  # spaces between columns
_NARROW = 12  # minimum width in characters of a folded cell


def format_option(command: Command) -> Command:
    """Add the option ``--format``, passed as `format_`."""
    option = click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="Output format.",
    )
    return option(command)


def show_list(rows: Sequence[Object], columns: Mapping[str, Callable[[Object], str]], format_: str) -> None:
    """Print objects: as a table with these columns, by heading, or as JSON or YAML with all fields."""
    if format_ != "table":
        _dump(rows, format_)
        return
    _table(columns, [[cell(row) for cell in columns.values()] for row in rows])


def show_one(one: Object, format_: str) -> None:
    """Print an object: a line for each field, or as JSON or YAML."""
    if format_ != "table":
        _dump(one, format_)
        return
    _table((), [[name.replace("_", " "), text(value)] for name, value in one.items()])


def text(value: object) -> str:
    """Format a field for a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in ("", None) else str(value)


def say(line: str) -> None:
    """Print a line with control characters escaped: names in it may have terminal escape sequences."""
    click.echo(visible(line))


def _dump(value: Any, format_: str) -> None:
    """Print JSON or YAML; ASCII only if it would have control characters."""
    if format_ == "json":
        dumped = json.dumps(value, indent=2, ensure_ascii=False)
        print(json.dumps(value, indent=2) if _is_unsafe(dumped) else dumped)
        return
    import yaml

    dumped = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    print(yaml.safe_dump(value, sort_keys=False) if _is_unsafe(dumped) else dumped, end="")


def _is_unsafe(dumped: str) -> bool:
    return any(map(is_hidden, dumped.split("\n")))


def _table(headings: Sequence[str] | Mapping[str, Any], lines: Sequence[Sequence[str]]) -> None:
    """Print a table. On a narrow terminal long cells are folded, or else each row is a table of its own."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [[visible(cell) for cell in line] for line in lines]
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    titles = list(headings) or [""] * len(lines[0])
    longest = [max(len(title), *(len(line[place]) for line in lines), 0) for place, title in enumerate(titles)]
    least = sum(width if width <= _UNBROKEN else _NARROW for width in longest) + _GAP * (len(titles) - 1)
    if headings and lines and least > console.width:
        for number, line in enumerate(lines):
            print(end="\n" if number else "")
            _table((), list(zip(titles, line, strict=True)))
        return
    table = Table(box=None, pad_edge=False, show_header=bool(headings), header_style="bold")
    for title, width in zip(titles, longest, strict=True):
        table.add_column(title, overflow="fold", no_wrap=width <= _UNBROKEN)
    for line in lines:
        table.add_row(*map(Text, line))  # Text: rich would take brackets in a name for markup
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
