"""Names that a terminal or a shell would obey: shown, logged, typed; and refused where they are given."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys

import pytest
import yaml

from lab.waiting import HANG
from ovnhook.agent.lifecycle import Answer
from ovnhook.base import logs, text
from ovnhook.base.errors import InvalidRequest
from ovnhook.cli import main as command
from ovnhook.cli import output
from ovnhook.domains import clientdomain
from ovnhook.domains.clientdomain import ClientInterface

HALF = "\udcff"  # half a character: no text of a database or message has one
EVIL = {
    "\x1b]0;pwned\x07\x1b[2J": r"\x1b]0;pwned\x07\x1b[2J",
    "a\x9b2Jb": r"a\x9b2Jb",
    "user\u202egpj.exe": r"user\u202egpj.exe",
    "one\ntwo\rthree\tfour": r"one\ntwo\rthree\tfour",
    "\x7f\x00\x85\u2028\u2029\u200b\ufeff\u2066": r"\x7f\x00\x85\u2028\u2029\u200b\ufeff\u2066",
    "\U000e0041": r"\U000e0041",
    HALF: r"\udcff",
    "\ue000": r"\ue000",
}
GOOD = ["", "web1", "Käse", "日本", "שלום", "🦆", "a b", "nbsp\u00a0x", "\\x1b"]


@pytest.mark.parametrize(("name", "shown"), EVIL.items())
def test_what_is_shown(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In tables, errors, hints, steps and logs; never as it is."""
    assert text.visible(name) == shown
    output.show_list([{"name": name}], {"NAME": lambda row: row["name"]}, "table")
    output.show_one({"name": name, "more": [name, name]}, "table")
    output.say(f"changed    {name}")
    command._fail(f"domain {name}", f"virsh destroy {name}", 1)
    said = capsys.readouterr()
    assert said.out.count(shown) == 5
    assert [*said.err.splitlines()] == [f"error: domain {shown}", f"hint: virsh destroy {shown}"]
    assert all(line.isprintable() for line in (said.out + said.err).split("\n"))
    assert Answer(1, f"domain {name}: no").message == f"domain {shown}: no"
    record = logging.LogRecord("ovnhook", logging.ERROR, "", 0, "domain %s", (name,), None)
    assert logs.OneLine().format(record) == f"ERROR ovnhook: domain {shown}"


@pytest.mark.parametrize("name", sorted({*EVIL} - {HALF}))
def test_what_programs_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The value itself, in characters that a terminal shows."""
    for format_, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        output.show_list([{"name": name, "other": "Käse"}], {}, format_)
        said = capsys.readouterr().out
        assert load(said) == [{"name": name, "other": "Käse"}]
        assert all(line.isprintable() for line in said.split("\n"))


@pytest.mark.parametrize("name", GOOD)
def test_what_stays(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Letters of all languages, in every format."""
    assert text.visible(name) == name
    output.show_list([{"name": name}], {}, "json")
    assert json.dumps(name, ensure_ascii=False) in capsys.readouterr().out


def test_a_terminal_of_few_characters() -> None:
    """What it does not have is escaped."""
    code = """if True:
        import sys
        from ovnhook.cli import main, output
        main.main(["--version"])
        output.say("K\u00e4se \u65e5")
        sys.exit(main._fail("\u65e5", "", 3))
    """
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False, timeout=HANG)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, b"K\xe4se \\u65e5")
    assert done.stderr.splitlines() == [rb"error: \u65e5"]


@pytest.mark.parametrize("name", [*EVIL, "a\u200db"])
def test_what_a_client_may_not_name(name: str) -> None:
    """A domain that others would be shown."""
    with pytest.raises(InvalidRequest, match="is not a valid domain name"):
        clientdomain.make("", name, [ClientInterface()])
    with pytest.raises(InvalidRequest, match="is not a valid domain name"):
        clientdomain.make("6ba7b810-9dad-11d1-80b4-00c04fd430c8", name, [ClientInterface()])


def test_one_that_is_there_can_be_taken_away() -> None:
    """An earlier version took such names."""
    assert clientdomain.identify("", "user\u202egpj").name == "user\u202egpj"


@pytest.mark.parametrize("name", [*GOOD, "a'b", "$(id)", "a;b", "-x", "~", "*", "`x`", "a\\b", "#c", "!"])
def test_what_a_shell_reads(name: str) -> None:
    """One word, and the same."""
    assert shlex.split(text.quoted(name)) == [name]
    if name and "\u00a0" not in name:
        said = subprocess.run(["sh", "-c", f"printf %s {text.quoted(name)}"], capture_output=True, check=True).stdout
        assert said.decode() == name


def test_what_is_easily_read() -> None:
    """Letters need no quotes."""
    assert [text.quoted(name) for name in ("Käse", "web1/blue", "a b")] == ["Käse", "web1/blue", "'a b'"]
