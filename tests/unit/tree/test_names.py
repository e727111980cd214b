"""Names of classes and modules: one name means one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

from tests.unit.tree.sources import sources


def test_each_class_has_a_name_of_its_own() -> None:
    """In the package, the lab, the benchmarks and the tests together."""
    defined = defaultdict(list)
    for module, source in sources().items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                defined[node.name].append(module)
    assert {"Namespaces", "ServerStatus"} <= defined.keys()
    assert {name: modules for name, modules in defined.items() if len(modules) > 1} == {}


def test_a_test_module_imports_no_other() -> None:
    """What tests share is in modules that say what it is."""
    importing = re.compile(r"^ *(?:from|import) (tests(?:\.\w+)*\.test_\w+|tests[\w.]* import test_\w+)", re.MULTILINE)
    found = {module: importing.findall(source) for module, source in sources().items() if module.startswith("tests.")}
    assert {module: names for module, names in found.items() if names} == {}
