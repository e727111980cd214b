"""Docstrings of the package: they begin with a noun phrase or an imperative."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.unit.tree.sources import sources

QUESTION = re.compile(r"(What|Whether|Who|Whose|How|Where|Why|Which)\b")


def docstrings(source: str) -> Iterator[str]:
    """Docstrings of a module, its classes, functions and attributes."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield text


def test_no_docstring_begins_with_a_question_word() -> None:
    """It says what a thing is or does, without a detour."""
    every = {module: [*docstrings(source)] for module, source in sources().items() if module.startswith("ovnhook")}
    assert any(text.startswith("Error tree") for text in every["ovnhook.base.errors"])
    found = {module: [text for text in texts if QUESTION.match(text)] for module, texts in every.items()}
    assert {module: texts for module, texts in found.items() if texts} == {}
