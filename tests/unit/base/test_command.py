"""Commands of the host: their errors, and what is no answer."""

from __future__ import annotations

import pytest

from ovnhook.base import command
from ovnhook.base.command import run, succeeds
from ovnhook.base.errors import OvnhookError


def test_a_command_that_fails_is_told() -> None:
    assert run("echo", "yes") == "yes\n"
    assert run("cat", stdin="input") == "input"
    assert run("cat") == ""
    with pytest.raises(OvnhookError, match="sh -c echo no >&2; exit 3: no"):
        run("sh", "-c", "echo no >&2; exit 3")
    with pytest.raises(OvnhookError, match="command not found: nonesuch"):
        run("nonesuch")
    assert not succeeds("false")


@pytest.mark.parametrize("script", ["sleep 60", "kill -ALRM $$", "exit 1"])
def test_what_could_not_be_found_out_is_no_answer(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(command, "_TIMEOUT", 1.0)
    with pytest.raises(OvnhookError):
        succeeds("sh", "-c", script, no=2)
    assert not succeeds("sh", "-c", "exit 2", no=2)
    with pytest.raises(OvnhookError, match="command not found: nonesuch"):
        succeeds("nonesuch")
