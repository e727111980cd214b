"""Commands of the host."""

from __future__ import annotations

import os
import subprocess

from ovnhook.base.errors import OvnhookError, Unavailable

_TIMEOUT = 60.0  # seconds: a service may be slow to start


def run(*argv: str, hint: str = "", stdin: str = "", timeout: float = _TIMEOUT) -> str:
    """Run a command; return its output.

    Args:
        argv: the command.
        hint: hint of an error.
        stdin: its standard input.
        timeout: in seconds.

    Raises:
        OvnhookError: no such command, or it failed; the message has its stderr.
        Unavailable: it timed out.
    """
    done = complete(*argv, timeout=timeout, hint=hint, stdin=stdin)
    if done.returncode:
        raise _failed(done, hint)
    return done.stdout


def succeeds(*argv: str, no: int | None = None) -> bool:
    """Test by the exit status of a command: true for 0.

    Args:
        argv: the command.
        no: the only exit status that means false; without it every one except 0 does.

    Raises:
        OvnhookError: no such command, a timeout, a signal, or another exit status: the answer is unknown.
    """
    done = complete(*argv, timeout=_TIMEOUT)
    if done.returncode < 0 or (done.returncode and no not in (None, done.returncode)):
        raise _failed(done)
    return not done.returncode


def complete(
    *argv: str, timeout: float, hint: str = "", package: str = "", stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit status is.

    Args:
        argv: the command.
        timeout: in seconds.
        hint: hint of an error.
        package: package with the command, if it may not be installed.
        stdin: its standard input.

    Raises:
        OvnhookError: no such command.
        Unavailable: it timed out.
    """
    try:
        return subprocess.run(
            argv,
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            start_new_session=True,  # without a terminal: ssh must not prompt for a password, and Ctrl-C is for us
        )
    except FileNotFoundError as error:
        install = f"apt install {package}" if package else ""
        raise OvnhookError(f"command not found: {argv[0]}", hint or install) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(argv)}: timed out after {timeout:.0f} s", hint) from error


def _failed(done: subprocess.CompletedProcess[str], hint: str = "") -> OvnhookError:
    why = done.stderr.strip() or f"exit status {done.returncode}"
    return OvnhookError(f"{' '.join(done.args)}: {why}", hint)
