"""What a command shows: a table for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Object = Mapping[str, Any]

_WIDE = 10_000  # columns where nobody's terminal sets a limit


def format_option(command: Command) -> Command:
    """The option ``--format``, passed as `format_`."""
    option = click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How it is shown.",
    )
    return option(command)


def show_list(rows: Sequence[Object], columns: Mapping[str, Callable[[Object], str]], format_: str) -> None:
    """Print objects: as a table with these columns, by their headings, or whole."""
    if format_ != "table":
        _dump(rows, format_)
        return
    _table(columns, [[cell(row) for cell in columns.values()] for row in rows])


def show_one(one: Object, format_: str) -> None:
    """Print an object: a line for each field, or whole."""
    if format_ != "table":
        _dump(one, format_)
        return
    _table((), [[name.replace("_", " "), text(value)] for name, value in one.items()])


def text(value: object) -> str:
    """A field as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value) if value != "" else "-"


def _dump(value: Any, format_: str) -> None:
    if format_ == "json":
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return
    import yaml

    print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")


def _table(headings: Sequence[str] | Mapping[str, Any], lines: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    table = Table(box=None, pad_edge=False, show_header=bool(headings), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))  # as it is: a name may have brackets, which rich would read as a style
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
