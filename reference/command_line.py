"""Every command with its arguments and options, from what ``--help`` says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import cleandoc
from textwrap import dedent

import click

from ovnhook.cli.main import command
from reference.part import table


def commands() -> str:
    """A section for each noun, with its commands; before them those that have no noun."""
    groups = {name: one for name, one in command.commands.items() if isinstance(one, click.Group)}
    single = {name: one for name, one in command.commands.items() if name not in groups}
    sections = [_section("ovnhook", command, single)]
    sections += [_section(f"ovnhook {name}", one, one.commands) for name, one in groups.items()]
    return "\n\n".join(sections)


def _section(words: str, group: click.Group, verbs: Mapping[str, click.Command]) -> str:
    return "\n\n".join(
        [f"## `{words}`", _described(group), *(_verb(f"{words} {name}", verb) for name, verb in verbs.items())]
    )


def _verb(words: str, verb: click.Command) -> str:
    arguments = [each.human_readable_name for each in verb.params if isinstance(each, click.Argument)]
    return f"### `{' '.join([words, *arguments])}`\n\n{_described(verb)}"


def _described(one: click.Command) -> str:
    """The text of ``--help``: paragraphs, preformatted lines, and the options."""
    paragraphs = [_paragraph(text) for text in re.split(r"\n\s*\n", cleandoc(one.help or ""))]
    options = [
        (f"`{_names(each)}`", each.help or "")
        for each in one.params
        if isinstance(each, click.Option) and each.name not in ("format_", "version")
    ]
    return "\n\n".join([*paragraphs, *([table(("option", ""), options)] if options else [])])


def _names(option: click.Option) -> str:
    """An option as it is typed, with its value."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} {'|'.join(option.type.choices)}"
    return f"{names} {option.metavar or option.type.name.upper()}"


def _paragraph(text: str) -> str:
    if not text.startswith("\b\n"):
        return text
    first, *lines = text.removeprefix("\b\n").splitlines()
    if first in ("Example:", "Examples:"):
        return f"{first}\n\n```sh\n{dedent(chr(10).join(lines))}\n```"
    return f"```\n{dedent(chr(10).join([first, *lines]))}\n```"
