"""Runs the commands that an administrator of the host would type."""

from __future__ import annotations

import subprocess

from ovnhook.errors import OvnhookError, Unavailable

_PATIENCE = 60.0  # seconds: a service may be slow to start


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
        raise OvnhookError(f"{' '.join(argv)}: {why}", hint)
    return done.stdout


def holds(*argv: str) -> bool:
    """Whether a command ends well."""
    try:
        run(*argv)
    except OvnhookError:
        return False
    return True
