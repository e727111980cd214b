"""``ovnhook check`` on a host that has nothing to compare: the error says so, and what to do instead."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ovnhook.cli import check
from ovnhook.cli.main import main


@pytest.mark.parametrize("dead", [False, True])
def test_a_host_without_an_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, dead: bool
) -> None:
    """Never installed, or dead."""
    path = tmp_path / "s"
    if dead:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
    monkeypatch.setattr(check, "AGENT_SOCKET", path)
    assert main(["check"]) == 7
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: no agent runs on this host")
    assert "systemctl start ovnhook-agent" in hint
    assert "ovnhook status" in hint
