"""Commands over a guest's serial port, which loses lines when the guest is slow."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from lab import guest_commands
from lab.waiting import HANG


def test_a_lost_command_is_sent_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The guest loses the first line of each kind; it runs the command once."""
    monkeypatch.setattr(guest_commands, "_REPEAT", 0.01)
    heard: list[str] = []

    def guest(server: socket.socket) -> None:
        port, _ = server.accept()
        with port, port.makefile("rw") as lines:
            for line in lines:
                word, *rest = line.split() or [""]
                heard.append(word)
                if heard.count(word) == 2 and word == "hello":
                    lines.write(f"ready {rest[0]}\n")
                elif heard.count(word) == 2 and word == "lab":
                    lines.write(f"taken {rest[0]}\nbegin {rest[0]}\nb2s=\nend {rest[0]} 3\n")
                lines.flush()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "port"))
        server.listen()
        thread = threading.Thread(target=guest, args=(server,))
        thread.start()
        assert guest_commands.execute(tmp_path / "port", "true", HANG, knock=0.01) == (3, "ok")
        thread.join(HANG)
