"""The one error tree, and the one place that says what becomes of an error.

    OvnhookError
    ├── InvalidRequest       what was asked is wrong in itself (bad value, unknown attribute)
    │   └── InvalidConfig    the same, said of ovnhook.toml
    ├── NotFound             what was named does not exist
    ├── AlreadyExists        a name, address or interface id belongs to something else
    ├── InUse                it can't be done while something depends on it
    ├── PermissionDenied     who asks may not do that
    ├── Exhausted            no address is left, or no room for what a watcher is still to be told
    └── Unavailable          database, agent or service out of reach, or too slow: try again
        ├── Unrepaired       a row of ours that it needs was deleted, and is not repaired yet
        └── Conflict         somebody else changed the rows in between: read again and repeat

`exit_code` is what the command line and the hook end with, `status` the name of the gRPC status, and `log_level`
the level at which a survived error is logged (one of :mod:`logging`'s names).
"""

from __future__ import annotations

from typing import ClassVar


class OvnhookError(Exception):
    """Something that a person has to read: one line, and optionally what to do about it.

    Args:
        message: one line that names the thing and the value.
        hint: what the reader may do, or nothing.
    """

    exit_code: ClassVar[int] = 1
    status: ClassVar[str] = "INTERNAL"
    log_level: ClassVar[str] = "ERROR"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = hint

    def within(self, context: str) -> OvnhookError:
        """The same error with where it happened in front: ``domain web1: interface 52:54:…: message``."""
        return type(self)(f"{context}: {self.message}", self.hint)

    def __str__(self) -> str:
        """The error as one line, the hint in brackets."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidRequest(OvnhookError):
    """What was asked is wrong in itself, whatever the state of the cloud."""

    exit_code = 2
    status = "INVALID_ARGUMENT"


class InvalidConfig(InvalidRequest):
    """The configuration file can't be read or says something that has no meaning."""


class NotFound(OvnhookError):
    """What was named does not exist."""

    exit_code = 3
    status = "NOT_FOUND"


class AlreadyExists(OvnhookError):
    """A name, an address or an interface id belongs to something else."""

    exit_code = 4
    status = "ALREADY_EXISTS"


class InUse(OvnhookError):
    """It can't be done while something else depends on it."""

    exit_code = 5
    status = "FAILED_PRECONDITION"


class PermissionDenied(OvnhookError):
    """Who asks may not do that, whatever the state of the cloud."""

    exit_code = 9
    status = "PERMISSION_DENIED"


class Exhausted(OvnhookError):
    """No address is left to give, or no room for what a watcher is still to be told."""

    exit_code = 6
    status = "RESOURCE_EXHAUSTED"


class Unavailable(OvnhookError):
    """A database, agent or service is out of reach or did not answer in time. Trying again may help."""

    exit_code = 7
    status = "UNAVAILABLE"
    log_level = "WARNING"


class Unrepaired(Unavailable):
    """A row of ours that it needs was deleted, and is not repaired yet."""


class Conflict(Unavailable):
    """Rows changed between reading and writing, so nothing was written: read them again and repeat."""

    status = "ABORTED"
