"""The command in a terminal and in a shell: tables that fit, and what Tab completes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios

import pytest

from ovnhook.cli.main import main
from tests.database.control_service import MAC, Control
from tests.database.southbound_rows import add_chassis, start_northd

LONG = "a-very-long-name-of-a-subnet-that-nobody-would-type.example"


def in_terminal(control: Control, columns: int, *arguments: str) -> list[str]:
    """The lines that the command prints in a terminal of that width, without colours."""
    child, terminal = pty.fork()
    if not child:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        command = [sys.executable, "-m", "ovnhook.cli", "--socket", str(control.path), *arguments]
        os.execve(sys.executable, command, {**environment, "TERM": "xterm"})
    said = b""
    try:
        while part := os.read(terminal, 1 << 16):
            said += part
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()


def test_a_long_cell_is_folded(control: Control) -> None:
    """A UUID on two lines, all else on one; every character is there."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    uuid = str(control.attach("web1", "blue", "10.1.0.20").port_uuid(MAC))
    heading, first, second = in_terminal(control, 80, "port", "list")
    assert max(map(len, (heading, first, second))) <= 80
    assert heading.split() == ["ID", "DOMAIN", "MAC", "SUBNET", "ADDRESS", "HOST", "UP"]
    assert first.split()[1:] == ["web1", MAC, "blue", "10.1.0.20", "hv1", "no"]
    assert first.split()[0] + second.strip() == uuid
    assert [line.split()[0] for line in in_terminal(control, 120, "port", "list")] == ["ID", uuid]


def test_a_table_that_does_not_fit(control: Control) -> None:
    """Is shown row by row, whole."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--dns", "10.1.0.53", "--domain", "lab.example")
    control.done("subnet", "create", LONG, "10.2.0.0/24")
    lines = in_terminal(control, 60, "subnet", "list")
    assert lines.count("") == 1
    assert "CIDR      10.1.0.0/24" in lines
    assert LONG in "".join(line.removeprefix("NAME").strip() for line in lines)
    assert max(map(len, lines)) <= 60


def test_status_in_a_terminal(control: Control) -> None:
    """80 columns hold its tables of nodes and databases."""
    start_northd(control.northbound, control.southbound)
    lines = in_terminal(control, 80, "status")
    assert lines[0] == "ok"
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["DATABASE", "SERVER"] for line in lines)


def completed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> list[str]:
    """What bash is told when somebody presses Tab at the end of a line."""
    words = line.split(" ")
    monkeypatch.setenv("_OVNHOOK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code in (0, None)
    said = capsys.readouterr()
    assert said.err == ""
    return [word.partition(",")[2] for word in said.out.splitlines() if word]


def test_tab(control: Control, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Completes verbs, options and the names of what there is."""
    add_chassis(control.southbound, "hv1")
    for name, cidr in (("blue", "10.1.0.0/24"), ("black", "10.2.0.0/24"), ("green", "10.3.0.0/24")):
        control.done("subnet", "create", name, cidr)
    uuid = str(control.attach("web1", "blue", "10.1.0.20").port_uuid(MAC))
    control.done(
        *("router", "set", "gateway", "--physical-network", "external"),
        *("--address", "203.0.113.10/24", "--next-hop", "203.0.113.254"),
    )
    control.done("floating-ip", "create", "203.0.113.20", "web1")
    begin = f"ovnhook --socket {control.path} "
    for line, words in (
        ("subnet sh", ["show"]),
        ("subnet show bl", ["black", "blue"]),
        ("subnet delete g", ["green"]),
        ("lease list --subnet b", ["black", "blue"]),
        ("lease release 10", ["10.1.0.20"]),
        ("port show ", sorted([uuid, MAC, "10.1.0.20", "web1"])),
        ("port show web1/", ["web1/blue"]),
        ("port delete ", []),
        ("node show ", ["hv1"]),
        ("router move ga", ["gateway"]),
        ("router move gateway h", ["hv1"]),
        ("floating-ip delete 2", ["203.0.113.20"]),
        ("floating-ip create 203.0.113.21 w", ["web1"]),
        ("subnet create b", []),
    ):
        assert completed(monkeypatch, capsys, begin + line) == words, line
    control.northbound.stop()
    assert completed(monkeypatch, capsys, f"{begin}subnet show b") == []
    control.northbound.start()
    assert completed(monkeypatch, capsys, "ovnhook --socket /nonexistent/s subnet show b") == []
