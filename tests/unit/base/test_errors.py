"""The tree of errors: what a person, a program and libvirt read from one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovnhook.base import errors
from ovnhook.base.errors import Conflict, InvalidConfig, InvalidRequest, OvnhookError, Unavailable

STATUSES = {
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
}
"""gRPC's, without OK: https://grpc.io/docs/guides/status-codes."""


def _below(parent: type[OvnhookError]) -> Iterator[type[OvnhookError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _below(child)


TREE = [OvnhookError, *(error for error in _below(OvnhookError) if error.__module__ == errors.__name__)]
every_error = pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)


@every_error
def test_every_error_says_what_becomes_of_it(error: type[OvnhookError]) -> None:
    """A non-zero exit code that a shell can have, a status of gRPC's, a level of logging's."""
    assert 0 < error.exit_code < 126
    assert error.status in STATUSES
    assert isinstance(logging.getLevelName(error.log_level), int)


@every_error
def test_every_error_is_in_the_drawing(error: type[OvnhookError]) -> None:
    """The tree in the module's docstring, which people read, has it."""
    assert error.__doc__
    assert error.__name__ in (errors.__doc__ or "")


def test_the_kinds_of_error_end_differently() -> None:
    """A script can tell the kinds by exit code, a client by status; a kind of a kind may share its parent's code."""
    kinds = [kind for kind in OvnhookError.__subclasses__() if kind in TREE]
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert len({kind.status for kind in kinds}) == len(kinds)


def test_what_may_pass_is_unavailable() -> None:
    """Only an outage lets a domain start: a wrong configuration must not count as one, a race must."""
    assert issubclass(Conflict, Unavailable)
    assert not issubclass(InvalidConfig, Unavailable)
    assert issubclass(InvalidConfig, InvalidRequest)


@every_error
@given(context=st.text(), message=st.text(), hint=st.text())
def test_within_keeps_the_kind_and_the_hint(error: type[OvnhookError], context: str, message: str, hint: str) -> None:
    """Saying where it happened changes nothing else."""
    inner = error(message, hint)
    outer = inner.within(context)
    assert type(outer) is error
    assert outer.hint == hint
    assert outer.message.endswith(inner.message)
    assert outer.message.startswith(" ".join(context.split()))


@given(message=st.text())
def test_a_message_is_one_line(message: str) -> None:
    """libvirt, the journal and a terminal show one line, whatever a database or a user put into the text."""
    error = OvnhookError(message)
    assert len(error.message.splitlines()) <= 1
    assert len(str(error).splitlines()) <= 1
    assert error.message.split() == message.split()


def test_a_hint_is_told() -> None:
    """What to do about it stands behind the message."""
    assert str(OvnhookError("no subnet 'x'", "ovnhook subnet list")) == "no subnet 'x' (ovnhook subnet list)"
