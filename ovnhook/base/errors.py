"""Error tree, with the exit status, gRPC status and log level of each error.

    OvnhookError
    ├── InvalidRequest       invalid argument, whatever the state of the cloud
    │   └── InvalidConfig    invalid ovnhook.toml
    ├── NotFound             no such object
    ├── AlreadyExists        name, address or interface ID taken
    ├── FailedPrecondition   the state of the cloud forbids it: other objects depend on it
    │   └── NewerFormat      a newer version has changed the format of the database's rows
    ├── PermissionDenied     not allowed for the caller's role
    ├── Exhausted            no free address, or a watcher's queue is full
    │   └── QuotaExceeded    too many open RPCs: retry
    └── Unavailable          database, agent or service unreachable or too slow: retry
        ├── Unrepaired       a required row was deleted and is not repaired yet
        └── Conflict         concurrent change: read again and retry

Example::

    raise NotFound(f"no subnet '{name}'", "ovnhook subnet list")
"""

from __future__ import annotations

from typing import ClassVar


class OvnhookError(Exception):
    """An error message for a person, optionally with a hint.

    Attributes:
        exit_code: exit status of the command line and the hook.
        status: name of the gRPC status code.
        log_level: log level of an error that is not fatal, as in :mod:`logging`.

    Args:
        message: one line that names the object and the value.
        hint: a remedy, such as a command to type.
    """

    exit_code: ClassVar[int] = 1
    status: ClassVar[str] = "INTERNAL"
    log_level: ClassVar[str] = "ERROR"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = hint

    def within(self, context: str) -> OvnhookError:
        """Copy of the error with a context in front: ``domain web1: interface 52:54:…: message``."""
        return type(self)(f"{context}: {self.message}", self.hint)

    def __str__(self) -> str:
        """One line, with the hint in brackets."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidRequest(OvnhookError):
    """Invalid argument, whatever the state of the cloud."""

    exit_code = 2
    status = "INVALID_ARGUMENT"


class InvalidConfig(InvalidRequest):
    """Unreadable or invalid configuration file."""


class NotFound(OvnhookError):
    """No such object."""

    exit_code = 3
    status = "NOT_FOUND"


class AlreadyExists(OvnhookError):
    """Name, address or interface ID that belongs to another object."""

    exit_code = 4
    status = "ALREADY_EXISTS"


class FailedPrecondition(OvnhookError):
    """State of the cloud that forbids the operation: other objects depend on it."""

    exit_code = 5
    status = "FAILED_PRECONDITION"


class NewerFormat(FailedPrecondition):
    """Rows in a format that a newer version has introduced, and that this version does not know."""


class PermissionDenied(OvnhookError):
    """Request that the caller's role does not allow."""

    exit_code = 9
    status = "PERMISSION_DENIED"


class Exhausted(OvnhookError):
    """No free address, or a watcher's queue is full."""

    exit_code = 6
    status = "RESOURCE_EXHAUSTED"


class QuotaExceeded(Exhausted):
    """More open RPCs than a client, or all of them together, may have. A retry may succeed."""


class Unavailable(OvnhookError):
    """Database, agent or service that is unreachable or did not answer in time. A retry may succeed."""

    exit_code = 7
    status = "UNAVAILABLE"
    log_level = "WARNING"


class Unrepaired(Unavailable):
    """Required row that was deleted and is not repaired yet."""


class Conflict(Unavailable):
    """Concurrent change between read and write; nothing was written. Read again and retry."""

    status = "ABORTED"
