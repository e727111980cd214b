"""Settings of a port's row that somebody else made: ovnhook leaves them alone, and reports them. Pure."""

from __future__ import annotations

from collections.abc import Container

from ovnhook.base.text import quoted
from ovnhook.ovsdb.operation import Row, map_of, set_of

FOREIGN_COLUMNS = ("enabled", "type", "tag", "parent_name")
"""Columns of a Logical_Switch_Port that ovnhook does not set, and that change what becomes of packets."""

_OPTION = "options:"
_LONGEST = 60  # characters of a setting


def foreign_settings(row: Row, own_options: Container[str]) -> tuple[str, ...]:
    """Settings in a row that are not ovnhook's, ``enabled=false``.

    Args:
        row: the row, with some of its columns.
        own_options: keys of the options that are ovnhook's.
    """
    columns = {
        name: [one for one in set_of(row[name]) if one != "" and one is not True]
        for name in FOREIGN_COLUMNS
        if name in row
    }
    options = map_of(row["options"]) if "options" in row else {}
    found = {name: str(*values).lower() for name, values in columns.items() if values}
    found |= {f"{_OPTION}{name}": value for name, value in options.items() if name not in own_options}
    return tuple(f"{name}={value}"[:_LONGEST] for name, value in sorted(found.items()))


def removal(port: str, setting: str) -> str:
    """Command that removes a foreign setting.

    Args:
        port: the port's ID.
        setting: as of `foreign_settings`.
    """
    name = setting.partition("=")[0]
    if name == "type":
        return f"ovn-nbctl lsp-set-type {port} ''"
    if name.startswith(_OPTION):
        return f"ovn-nbctl remove Logical_Switch_Port {port} options {quoted(name.removeprefix(_OPTION))}"
    return f"ovn-nbctl clear Logical_Switch_Port {port} {name}"
