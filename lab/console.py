"""A guest's serial console on the terminal."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from pathlib import Path

LEAVE = b"\x1d"
"""Ctrl-] leaves."""


def attach(path: Path) -> None:
    """Join the terminal and the guest's first serial port until Ctrl-] is typed or the guest ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as port:
        port.connect(str(path))
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal) if os.isatty(terminal) else None
        try:
            if before is not None:
                tty.setraw(terminal)
                port.sendall(b"\n")
            _join(port, terminal)
        finally:
            if before is not None:
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _join(port: socket.socket, terminal: int) -> None:
    sources: list[int] = [port.fileno(), terminal]
    while True:
        for source in select.select(sources, [], [])[0]:
            data = os.read(source, 4096)
            if source == terminal:
                if LEAVE in data:
                    return
                if data:
                    port.sendall(data)
                else:
                    sources.remove(terminal)
            elif data:
                os.write(sys.stdout.fileno(), data)
            else:
                return
