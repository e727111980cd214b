"""Where ``ovnhook node join`` and ``node init --token`` take a token from: nowhere that other users of the host see."""

from __future__ import annotations

import io
import os
import pty
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from ovnhook.cli.main import main
from ovnhook.pki.token import Token
from ovnhook.setup import control, member

TOKEN = Token("hv1", "node", ["192.0.2.1:6646"], "f" * 64, "0123456789abcdef")
JOIN, INIT = ("node", "join"), ("node", "init", "--control", "--cluster", "--token")
REPO = Path(__file__).parents[4]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Token]:
    """The tokens that the command was given; nothing is set up."""
    found: list[Token] = []

    def join(token: Token, *_: Any) -> list[Any]:
        found.append(token)
        return []

    def steps(wishes: Any, *_: Any) -> list[Any]:
        found.append(wishes.token)
        return []

    monkeypatch.setattr(member, "join", join)
    monkeypatch.setattr(control, "steps", steps)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return found


@pytest.mark.parametrize("arguments", [JOIN, (*JOIN, "-"), (*INIT, "-")])
def test_standard_input(given: list[Token], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    """Folded as a terminal does it, with a newline at its end or without."""
    for text in (f"{TOKEN}", f"{TOKEN}\n", f"{str(TOKEN)[:50]}\n  {str(TOKEN)[50:]}\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main([*arguments]) == 0
    assert given == [TOKEN] * 3


@pytest.mark.parametrize("command", [JOIN, INIT])
def test_a_file(
    given: list[Token], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """What is no file, or has no token, is told, and not shown."""
    place = tmp_path / "token"
    place.write_text(f"{TOKEN}\n")
    assert main([*command, str(place)]) == 0
    assert given == [TOKEN]
    capsys.readouterr()
    for wrong in ("/nonexistent/ovnhook1.abc", str(tmp_path)):
        assert main([*command, wrong]) == 2
        error, hint = capsys.readouterr().err.splitlines()
        assert error.startswith("error: this is not a token, nor a readable file: ")
        assert hint == "hint: ovnhook node join -"
        assert wrong not in error
    place.write_text("secret")
    assert main([*command, str(place)]) == 2
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [JOIN, INIT])
def test_the_command_line_is_warned_of(
    given: list[Token], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """It does what it did, for scripts that there are."""
    assert main([*command, str(TOKEN)]) == 0
    assert given == [TOKEN]
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning == "warning: all users of this host can read a token on the command line"


def test_a_terminal_is_asked_and_shows_nothing() -> None:
    """What is typed is taken for a token, which it is not."""
    child, terminal = pty.fork()
    if not child:
        command = [sys.executable, "-m", "ovnhook.cli", "node", "join"]
        os.execve(sys.executable, command, {**os.environ, "TERM": "xterm"})
    said = b""
    while b"Token" not in said:
        said += os.read(terminal, 4096)
    # What is typed before the echo is switched off is thrown away; the prompt may be there earlier.
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        time.sleep(0.01)
    os.write(terminal, b"hunter2\n")
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert b"error: this is not a token" in said
    assert b"hunter2" not in said


def test_no_document_puts_a_token_on_a_command_line() -> None:
    """Neither do examples of --help and hints."""
    for path in [REPO / "README.md", *(REPO / "docs").rglob("*.md"), *(REPO / "ovnhook").rglob("*.py")]:
        text = path.read_text()
        for wrong in ("join ovnhook1", "join TOKEN", "--token ovnhook1", "--token TOKEN", "join $("):
            assert wrong not in text, path
