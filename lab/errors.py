"""Errors of the lab."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


class LabError(Exception):
    """Base class of errors in the lab."""


class WaitError(LabError):
    """Timeout of a wait."""


class CommandError(LabError):
    """A command failed, or timed out (then the status is None)."""

    def __init__(self, argv: Sequence[str], status: int | None, stdout: str, stderr: str, where: str = "") -> None:
        self.argv = list(argv)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        ended = "did not end in time" if status is None else f"ended with status {status}"
        text = f"{where + ': ' if where else ''}{shlex.join(argv)}: {ended}"
        for name, stream in (("stdout", stdout), ("stderr", stderr)):
            if stream.strip():
                text += f"\n--- {name}\n{stream.rstrip()}"
        super().__init__(text)
