"""Which room may import which: the table of docs/explanation/architecture.md, held."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "ovnhook"

LAYERS = (
    {"base"},
    {"pki"},
    {"ovsdb"},
    {"resources"},
    {"domains"},
    {"diagnosis"},
    {"databases"},
    {"engine"},
    {"api"},
    {"hostnetwork"},
    {"agent", "control"},
    {"lifecycle"},
    {"setup"},
    {"cli"},
)
"""As in the table. A room imports only from itself and from rooms above it there; rooms in one row never do."""

PURE = (
    *("base/labels.py", "base/text.py", "base/uuids.py"),
    *(f"pki/{name}.py" for name in ("x509", "token", "members", "fence", "ipsec", "remotes")),
    *(f"ovsdb/{name}.py" for name in ("operation", "owned", "serverstate")),
    "resources/",
    "domains/",
    "diagnosis/",
    "setup/drain/placement.py",
)
"""What does no I/O, as the beginning of the file's path."""
INPUT_OUTPUT = {"socket", "subprocess", "os", "pathlib", "time", "threading", "logging"}
OWNERS = {
    "ovs": ("ovsdb/",),
    "ovsdbapp": ("ovsdb/",),
    "libvirt": ("agent/",),
    "grpc": ("control/", "api/"),
    "lxml": ("domains/domainxml.py", "domains/interfacexml.py", "domains/networkxml.py"),
    "cryptography": ("pki/x509.py",),
}
"""Who alone may import a library, as the beginning of the file's path."""

OF_A_HOST = ("ovnhook.databases.vswitch", "ovnhook.databases.underlay")
"""Databases that an agent uses: a hypervisor has no access to OVN's."""

MOST_LINES = 400

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def part_of(file: str) -> str:
    """The part that a file of the package belongs to: its first directory, or its own name."""
    return file.partition("/")[0].removesuffix(".py")


def rank(part: str) -> int | None:
    """How far up a part is, or None if the table doesn't have it."""
    return next((place for place, parts in enumerate(LAYERS) if part in parts), None)


def imported(source: str) -> Iterator[str]:
    """Every module that a source imports, wherever in it; of ``from a import b`` both a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            if not node.level:
                yield from (f"{module}.{alias.name}" for alias in node.names)


def faults(file: str, source: str) -> list[str]:
    """What is wrong with the imports of a file."""
    part = part_of(file)
    place = rank(part)
    if part == "__init__":
        place = -1
    elif part == "__main__":
        place = len(LAYERS)
    elif place is None:
        page = "docs/explanation/architecture.md"
        return [f"ovnhook/{file} has no place: put '{part}' into LAYERS of {__file__} and into {page}"]
    wrong = set()
    for module in imported(source):
        top, _, rest = module.partition(".")
        if top == "ovnhook" and rest:
            other = rest.split(".")[0]
            height = rank(other)
            if height is not None and other != part and height >= place:
                wrong.add(f"ovnhook/{file} imports ovnhook.{other}, which is not above it in the table")
        elif not top:
            wrong.add(f"ovnhook/{file} imports {module}: write the whole name")
        elif top in OWNERS and not file.startswith(OWNERS[top]):
            wrong.add(f"ovnhook/{file} imports {top}, which is for {', '.join(OWNERS[top])} alone")
        elif top in INPUT_OUTPUT and file.startswith(PURE):
            wrong.add(f"ovnhook/{file} imports {top}, and is to be pure")
    return sorted(wrong)


@pytest.mark.parametrize("file", FILES)
def test_imports_follow_the_table(file: str) -> None:
    """A file imports no room below its own in the table, and no library of another part; pure ones import no I/O."""
    assert faults(file, (PACKAGE / file).read_text()) == []


def test_the_core_is_there() -> None:
    """The files are found: a wrong path would make the test above hold of nothing."""
    assert {
        "base/errors.py",
        "domains/plan.py",
        "databases/northbound.py",
        "engine/attach.py",
        "agent/hooks.py",
    } <= set(FILES)


@pytest.mark.parametrize(
    ("file", "source", "fault"),
    [
        ("resources/state.py", "from ovnhook.databases import northbound", "not above"),
        ("domains/plan.py", "from ovnhook.engine import attach", "not above"),
        ("domains/plan.py", "def f():\n    import ovnhook.agent.lifecycle as l", "not above"),
        ("agent/hooks.py", "from ovnhook.control import service", "not above"),
        ("control/service.py", "from ovnhook.agent import server", "not above"),
        ("resources/state.py", "from . import changes", "whole name"),
        ("resources/state.py", "import os.path", "pure"),
        ("domains/plan.py", "if 1:\n    from logging import getLogger", "pure"),
        ("engine/attach.py", "import ovs.jsonrpc", "ovsdb/ alone"),
        ("control/live.py", "from ovsdbapp.backend import ovs_idl", "ovsdb/ alone"),
        ("engine/attach.py", "import libvirt", "agent/ alone"),
        ("cli/main.py", "import grpc", "api/ alone"),
        ("resources/reading.py", "from lxml import etree", "networkxml.py alone"),
        ("novel.py", "", "no place"),
        ("__init__.py", "from ovnhook.base import errors", "not above"),
    ],
)
def test_a_wrong_import_is_told(file: str, source: str, fault: str) -> None:
    """The rules above do refuse what they forbid."""
    (said,) = faults(file, source)
    assert fault in said


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "agent/hooks.py",
            "import libvirt, os\nfrom ovnhook.agent import reconcile\nfrom ovnhook.domains import plan",
        ),
        ("api/client.py", "import grpc\nfrom ovnhook.api.v1 import subnet_pb2"),
        ("__main__.py", "from ovnhook.cli import main"),
        ("domains/plan.py", "from ovnhook import __version__"),
    ],
)
def test_a_right_import_is_none_of_its_business(file: str, source: str) -> None:
    """The rules above forbid no more than they say."""
    assert faults(file, source) == []


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("agent/")])
def test_the_agent_has_no_database_of_ovn(file: str) -> None:
    """It asks the control service."""
    found = [one for one in imported((PACKAGE / file).read_text()) if one.startswith("ovnhook.")]
    assert not [one for one in found if one.startswith("ovnhook.engine")]
    assert not [one for one in found if one.startswith("ovnhook.databases.") and not one.startswith(OF_A_HOST)]


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("resources/") and file.count("/") == 2])
def test_kinds_know_each_other_by_their_values(file: str) -> None:
    """Of another kind's folder a kind of resource imports values alone: it finds them in a Cloud."""
    folder = file.split("/")[1]
    kinds = {one.split("/")[1] for one in FILES if one.startswith("resources/") and one.count("/") == 2}
    for module in imported((PACKAGE / file).read_text()):
        parts = module.split(".")
        if parts[:2] == ["ovnhook", "resources"] and len(parts) > 3 and parts[2] in kinds - {folder}:
            assert parts[3] == "values", f"{file} imports {module}"


def test_no_file_is_long() -> None:
    """Each has one reason to exist, and can be read at once."""
    long = {file: count for file in FILES if (count := len((PACKAGE / file).read_text().splitlines())) > MOST_LINES}
    assert {file: count for file, count in long.items() if "_pb2" not in file} == {}
