"""Runs the commands that an administrator of the host would type."""

from __future__ import annotations

import subprocess

from ovnhook.errors import OvnhookError, Unavailable

_PATIENCE = 60.0  # seconds: a service may be slow to start


class Failed(OvnhookError):
    """A command that ended with an error, and what it said.

    Attributes:
        exit_status: its own, or less than 0 where a signal has ended it.
    """

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.exit_status = status


def run(*argv: str, hint: str = "") -> str:
    """What a command prints.

    Raises:
        OvnhookError: there is no such command, or it ends with an error, which is told.
        Unavailable: it does not end.
    """
    try:
        done = subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
    except FileNotFoundError as error:
        raise OvnhookError(f"there is no command {argv[0]}", hint) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(argv)}: did not end within {_PATIENCE:.0f} s", hint) from error
    if done.returncode:
        why = done.stderr.strip() or f"exit status {done.returncode}"
        raise Failed(done.returncode, f"{' '.join(argv)}: {why}", hint)
    return done.stdout


def holds(*argv: str, no: int | None = None) -> bool:
    """Whether a command ends well; what could not be found out is an error, and no answer.

    Args:
        argv: the command.
        no: the exit status that means no, where others mean that it can't be told; without it every one means no.

    Raises:
        OvnhookError: there is no such command, it does not end, a signal has ended it, or it can't tell.
    """
    try:
        run(*argv)
    except Failed as error:
        if error.exit_status < 0 or no not in (None, error.exit_status):
            raise
        return False
    return True
