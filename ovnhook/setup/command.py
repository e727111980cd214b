"""Runs the commands that an administrator of the host would type."""

from __future__ import annotations

import subprocess

from ovnhook.base.errors import OvnhookError, Unavailable

_PATIENCE = 60.0  # seconds: a service may be slow to start


def run(*argv: str, hint: str = "") -> str:
    """What a command prints.

    Raises:
        OvnhookError: there is no such command, or it ends with an error, which is told.
        Unavailable: it does not end.
    """
    done = _done(argv, hint)
    if done.returncode:
        raise _failed(done, hint)
    return done.stdout


def holds(*argv: str, no: int | None = None) -> bool:
    """Whether a command ends well; what could not be found out is an error, and no answer.

    Args:
        argv: the command.
        no: the exit status that means no, where others mean that it can't be told; without it every one means no.

    Raises:
        OvnhookError: there is no such command, it does not end, a signal has ended it, or it can't tell.
    """
    done = _done(argv)
    if done.returncode < 0 or (done.returncode and no not in (None, done.returncode)):
        raise _failed(done)
    return not done.returncode


def _done(argv: tuple[str, ...], hint: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
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


def _failed(done: subprocess.CompletedProcess[str], hint: str = "") -> OvnhookError:
    why = done.stderr.strip() or f"exit status {done.returncode}"
    return OvnhookError(f"{' '.join(done.args)}: {why}", hint)
