"""What can go wrong in a lab."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


class LabError(Exception):
    """Something in the lab is not as it should be."""


class WaitError(LabError):
    """Something that was waited for did not come in time."""


class CommandError(LabError):
    """A command ended with another status than 0, or not in time (then the status is None)."""

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
