"""Terminal transcripts in Markdown: their commands, and whether an output is the one that is written there. Pure.

A prompt is the name of a host and ``#``, or of a guest and ``$``. Below the command stands its output, in which
addresses, MACs and UUIDs are examples: the real ones may be others, but the same one throughout, also in later
commands. What a command has typed, and nothing has shown before, is literal. ``…`` stands for any text; alone on a
line, for any lines. Blank lines and the width of gaps do not count.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

ANY = "…"
_BLOCK = re.compile(r"^(?P<indent> *)```console\n(?P<lines>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"(?P<where>[a-z][a-z0-9]*)(?P<kind>[#$]) (?P<command>.+)")
_KINDS = (
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}",
    r"\d{1,3}(?:\.\d{1,3}){3}",
)
_VALUE = re.compile("|".join(rf"\b{kind}\b" for kind in _KINDS))


@dataclass(frozen=True)
class TranscriptStep:
    """A command and its output.

    Attributes:
        where: the host or guest that it is typed on.
        in_guest: whether that is a guest.
        command: what is typed.
        output: the lines below it.
    """

    where: str
    in_guest: bool
    command: str
    output: tuple[str, ...]


def steps(page: str) -> Iterator[TranscriptStep]:
    """The steps of all transcripts of a page, in order."""
    for block in _BLOCK.finditer(page):
        prompt: re.Match[str] | None = None
        output: list[str] = []
        for line in textwrap.dedent(block["lines"]).splitlines():
            if found := _PROMPT.fullmatch(line):
                if prompt:
                    yield _step(prompt, output)
                prompt, output = found, []
            elif prompt is None:
                raise ValueError(f"a transcript begins without a prompt: {line}")
            else:
                output.append(line)
        if prompt:
            yield _step(prompt, output)


def _step(prompt: re.Match[str], output: list[str]) -> TranscriptStep:
    return TranscriptStep(prompt["where"], prompt["kind"] == "$", prompt["command"], tuple(_lines("\n".join(output))))


class Values:
    """The real values in the place of a transcript's examples."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def typed(self, command: str) -> str:
        """A command with the real values."""
        return _VALUE.sub(lambda found: self._real.setdefault(found[0], found[0]), command)

    def fit(self, expected: tuple[str, ...], actual: str) -> bool:
        """Whether an output is the expected one; if so, take its values for those that were not known."""
        groups: dict[str, str] = {}
        pattern = "".join(self._pattern(line, groups) for line in expected)
        found = re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(actual)))
        if found:
            self._real.update({example: found[group] for example, group in groups.items()})
        return found is not None

    def _pattern(self, line: str, groups: dict[str, str]) -> str:
        """A regular expression for a line; `groups` are the names in it, by example."""
        if line == ANY:
            return r"(?:.*\n)*?"
        parts, end = [], 0
        for found in _VALUE.finditer(line):
            parts += [_literal(line[end : found.start()]), self._value(found[0], groups)]
            end = found.end()
        return "".join([*parts, _literal(line[end:]), r"\n"])

    def _value(self, example: str, groups: dict[str, str]) -> str:
        if example in self._real:
            return rf"\b{re.escape(self._real[example])}\b"
        if example in groups:
            return f"(?P={groups[example]})"
        groups[example] = f"value{len(groups)}"
        kind = next(kind for kind in _KINDS if re.fullmatch(kind, example))
        return rf"\b(?P<{groups[example]}>{kind})\b"


def _literal(text: str) -> str:
    return ".*".join(map(re.escape, text.split(ANY)))


def _lines(output: str) -> list[str]:
    """The lines of an output that are not blank, with gaps of one space."""
    return [" ".join(line.split()) for line in output.splitlines() if line.strip()]
