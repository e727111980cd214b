"""No two modules import each other, in any folder, not even for their types."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.unit.tree.sources import sources


def imported(source: str, modules: Collection[str]) -> Iterator[str]:
    """Those of the modules that a source imports; of ``from a import b``, a.b if that is a module and else a."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else str(node.module) for name in inner)


def cycle(modules: dict[str, str]) -> list[str]:
    """A way from a module back to itself, or nothing."""
    try:
        TopologicalSorter({name: set(imported(source, modules)) for name, source in modules.items()}).prepare()
    except CycleError as error:
        way: list[str] = error.args[1]
        return way
    return []


def test_no_import_leads_back() -> None:
    """So each module can be read, and tested, with those below it alone."""
    found = sources()
    assert {"lab.host", "bench", "ovnhook.base.errors", "tests.database.ovsdb_server"} <= found.keys()
    assert cycle(found) == []


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ({"lab": "from lab.host import Host", "lab.host": "import os"}, False),
        ({"lab": "from lab.host import Host", "lab.host": "from lab import state", "lab.state": ""}, False),
        ({"lab.host": "from lab import daemon", "lab.daemon": "def f():\n    from lab.host import Host"}, True),
        ({"lab.host": "import lab.daemon", "lab.daemon": "if TYPE_CHECKING:\n    from lab.host import Host"}, True),
        ({"lab": "from lab.host import Host", "lab.host": "from lab import Cloud, state", "lab.state": ""}, True),
        ({"a": "import b", "b": "import c", "c": "import a"}, True),
    ],
)
def test_a_cycle_is_found(modules: dict[str, str], found: bool) -> None:
    """Whatever the import looks like, and wherever it stands."""
    assert bool(cycle(modules)) == found
