"""``ovnhook check`` on a host that has nothing to compare: the error says so, and what to do instead."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from ovnhook.agent.hooks import BUSY
from ovnhook.cli.commands import check
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


@pytest.mark.parametrize("asked", [False, True])
def test_an_agent_that_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, asked: bool
) -> None:
    """It says so and hangs up, without reading what it is asked, which may have come before or not."""
    path = tmp_path / "s"
    monkeypatch.setattr(check, "AGENT_SOCKET", path)
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()

        def hang_up() -> None:
            connection, _ = agent.accept()
            if asked:
                connection.recv(1, socket.MSG_PEEK)
            connection.sendall(BUSY)
            connection.close()

        busy = threading.Thread(target=hang_up)
        busy.start()
        assert main(["check"]) == 7
        busy.join()
    assert capsys.readouterr().err.startswith("error: the agent is busy: too many requests\n")
