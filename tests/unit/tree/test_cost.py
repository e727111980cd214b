"""The cost of a kind of resource: the files that name it beside its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]

MOST = 5
"""Files: the tuples of kinds, protos, services and commands, and one more."""

FOLDERS = ("ovnhook", "hooks", "lab", "bench", "packaging")

NAMES = {"floating_ip": r"floating"}
"""Folder of a kind below ovnhook/resources, and what names it."""


def others(kind: str, pattern: str) -> Iterator[str]:
    """The files that name a kind, but for its own and those that show all kinds to people."""
    own = (
        f"ovnhook/resources/{kind}/",
        f"ovnhook/control/services/{kind}s.py",
        f"ovnhook/cli/commands/{kind}.py",
        "lab/demo.py",
        "packaging/debian/",
    )
    for path in (path for folder in FOLDERS for path in (REPO / folder).rglob("*")):
        name = path.relative_to(REPO).as_posix()
        if name.startswith(own) or name.endswith((".md", ".proto", ".pyc")) or "_pb2" in name or not path.is_file():
            continue
        if re.search(pattern, path.read_text(errors="ignore"), re.IGNORECASE):
            yield name


@pytest.mark.parametrize("kind", NAMES)
def test_a_kind_costs_few_files(kind: str) -> None:
    """No other file knows it, so that one more kind can be added like it."""
    found = sorted(others(kind, NAMES[kind]))
    assert len(found) <= MOST, found
    assert "ovnhook/resources/kinds.py" in found
