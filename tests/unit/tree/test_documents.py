"""The documentation names every command, option, setting and attribute that there is, and its links lead somewhere."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ovnhook.base.config import Config
from ovnhook.cli.main import command
from ovnhook.domains import domainxml
from ovnhook.pki import ipsec
from ovnhook.pki.x509 import NODE, READER, ROLES, Authority
from tests.cloud.transcript import steps
from tests.methods import RULES

REPO = Path(__file__).parents[3]
REFERENCE = REPO / "docs" / "reference"
DOCUMENTS = sorted([*REPO.glob("*.md"), REPO / "lab" / "README.md", *(REPO / "docs").rglob("*.md")])


def commands(group: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that are typed."""
    if isinstance(group, click.Group):
        for name, below in group.commands.items():
            yield from commands(below, f"{words} {name}")
    else:
        yield words, group


@pytest.mark.parametrize(("words", "verb"), list(commands(command, "ovnhook")))
def test_every_command_is_described(words: str, verb: click.Command) -> None:
    """Its heading has its arguments, and each of its options is somewhere on the page."""
    page = (REFERENCE / "command-line.md").read_text()
    arguments = [each.human_readable_name for each in verb.params if isinstance(each, click.Argument)]
    assert f"### `{' '.join([words, *arguments])}`\n" in page
    for option in verb.params:
        if isinstance(option, click.Option):
            assert re.search(rf"{option.opts[0]}\b", page), option.opts[0]


def test_no_command_is_described_that_is_not_there() -> None:
    """A heading that is typed is understood."""
    there = {words for words, _ in commands(command, "ovnhook")}
    page = (REFERENCE / "command-line.md").read_text()
    described = re.findall(r"### `(ovnhook [a-z-]+(?: [a-z]+)?)", page)
    assert set(described) == there


def test_every_setting_is_described() -> None:
    """The table of the configuration has each key, with its default, and no other."""
    page = (REFERENCE / "configuration.md").read_text()
    described = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page, re.MULTILINE))
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    assert described == {name: json.dumps(default) for name, default in defaults.items()}


def test_every_attribute_is_described() -> None:
    """The table of the metadata has each attribute."""
    page = (REFERENCE / "metadata.md").read_text()
    for attribute in domainxml._ATTRIBUTES:
        assert re.search(rf"^\| .*`{attribute}`.* \|", page, re.MULTILINE), attribute


def test_every_kind_of_row_is_described() -> None:
    """The table of the rows has each kind that the code writes."""
    page = (REFERENCE / "database.md").read_text()
    package = REPO / "ovnhook"
    sources = [path.read_text() for path in (*(package / "resources").rglob("*.py"), package / "databases/trust.py")]
    written = {found for source in sources for found in re.findall(r'kind\(\s*"([\w-]+)"', source)}
    described = set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))
    assert described == written


def test_what_is_taken_away_by_hand_is_what_was_set() -> None:
    """Before an older version that authenticates no packets goes on without."""
    page = (REPO / "docs" / "how-to" / "upgrade.md").read_text()
    for line in ipsec.script(Authority.new(), "192.0.2.1", []).splitlines():
        assert "deleteall" not in line or f"\n{line}\n" in page


def test_every_role_is_described() -> None:
    """The table of the roles has each, and that of nodes what they may change: their service, and methods."""
    page = (REFERENCE / "roles.md").read_text()
    described = dict(re.findall(r"^\| `(\w+)` \| (.+) \|", page, re.MULTILINE))
    assert described.keys() == set(ROLES)
    theirs = [method.split("/")[1:] for method, rule in RULES.items() if {NODE} == rule.roles & {NODE, READER}]
    changed = {"Agents" if service == "ovnhook.v1.Agents" else method for service, method in theirs}
    assert set(re.findall(r"`(\w+)`", described[NODE])) == changed


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_links_lead_somewhere(document: Path) -> None:
    """Each link to a file of this repository has its file, and each link to a heading its heading."""
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            page = document.parent / name if name else document
            assert page.exists(), target
            assert not anchor or anchor in anchors(page), target


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "SECURITY.md"])
def test_files_that_are_named_are_there(document: str) -> None:
    """What a contributor is sent to exists."""
    named = re.findall(r"`((?:ovnhook|tests|docs|packaging)/[\w./-]+)`", (REPO / document).read_text())
    assert named
    for name in named:
        assert (REPO / name.replace("test_X.py", "")).exists(), name


def test_each_line_of_the_trust_model_has_its_test() -> None:
    """What a role can't do is tried; what it can is, unless it is a matter of the network or of load."""
    page = (REPO / "docs" / "explanation" / "security.md").read_text()
    tables = [part.splitlines() for part in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)]
    tables = [rows for rows in tables if rows[0].endswith("| test |")]
    assert len(tables) > 10
    for heading, _, *rows in tables:
        for row in rows:
            last = row.rstrip("| ").rpartition("|")[2]
            assert re.search(r"\(\.\./\.\./tests/\w+/[\w/]+\.py\)|booted", last) or "can't" not in heading, row


def test_the_index_has_every_page() -> None:
    """No page of the documentation is found only by its file name; decisions have a list of their own."""
    docs = REPO / "docs"
    linked = set(re.findall(r"\]\(([^)#]+)\)", (docs / "README.md").read_text()))
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md") if page.parent.name != "decisions"}
    assert pages - linked == {"README.md"}


def test_the_list_of_decisions_has_every_one() -> None:
    """Each with its title."""
    folder = REPO / "docs" / "explanation" / "decisions"
    lines = (folder / "README.md").read_text().splitlines()
    for page in folder.glob("0*.md"):
        assert f"- [{page.read_text().splitlines()[0].removeprefix('# ')}]({page.name})" in lines


FILES = sorted(path for folder in ("ovnhook", "lab", "bench", "tests") for path in (REPO / folder).rglob("*.py"))
NAMED = re.compile(r"(?<![\w./-])ovnhook(?:\.[a-z_]\w*)+|(?<![\w./-])(?:[a-z_]\w*/)+[a-z_0-9]+\.py\b")
OTHER = re.compile(r"ovnhook\.(conf|proto|toml|v1|__file__)\b")


def exists(name: str) -> bool:
    """Whether there is such a module, a path of it, or something in it."""
    if "/" in name:
        return any((folder / name).is_file() for folder in (REPO, REPO / "ovnhook"))
    folder, *parts = REPO, *name.split(".")
    for number, part in enumerate(parts):
        if (module := folder / f"{part}.py").is_file():
            return all(inside in module.read_text() for inside in parts[number + 1 : number + 2])
        folder /= part
        if not folder.is_dir():
            return False
    return True


def test_modules_that_are_named_are_there() -> None:
    """Comments, docstrings and documents do not go on naming what has moved."""
    fancied = {"test_layers.py", "test_parts.py", "CHANGELOG.md"}  # they name what never was, or was once
    named = {
        (str(file.relative_to(REPO)), name)
        for file in [*DOCUMENTS, *FILES]
        if file.name not in fancied
        for name in NAMED.findall(file.read_text())
    }
    assert len(named) > len(FILES)
    assert sorted((file, name) for file, name in named if not (OTHER.match(name) or exists(name))) == []


def test_functions_that_the_architecture_names_are_there() -> None:
    """Each as ``module.function``."""
    page = (REPO / "docs" / "explanation" / "architecture.md").read_text()
    modules = {path.stem: path.read_text() for path in (REPO / "ovnhook").rglob("*.py")}
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", page)
    assert named
    assert [f"{module}.{name}" for module, name in named if f"def {name}(" not in modules.get(module, "")] == []


def test_the_architecture_names_every_module() -> None:
    """Each in the section of its room; folders of services and commands have a file for each."""
    page = (REPO / "docs" / "explanation" / "architecture.md").read_text()
    sections = dict(part.split("\n", 1) for part in re.split(r"^### ", page, flags=re.MULTILINE)[1:])
    package = REPO / "ovnhook"
    missing = [
        path.relative_to(package).as_posix()
        for path in sorted(package.rglob("*.py"))
        if len(path.relative_to(package).parts) > 1
        and not path.name.startswith("__")
        and not {"services", "commands", "v1", "grpc"} & {*path.parts}
        and not re.search(rf"`(\w+/)*{path.stem}`", sections[path.relative_to(package).parts[0]])
    ]
    assert missing == []


def test_readme_installs_as_the_how_to() -> None:
    """Whose commands are typed on machines (tests/machines/test_one_host.py)."""
    readme = (REPO / "README.md").read_text().partition("## Install\n")[2]
    how_to = (REPO / "docs" / "how-to" / "set-up-one-host.md").read_text().partition("\n3. ")[0]
    typed = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert typed
    assert typed[1].splitlines() == [step.command for step in steps(how_to)]
