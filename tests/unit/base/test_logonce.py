"""Errors that come again and again are logged once."""

from __future__ import annotations

import logging

import pytest

from ovnhook.base.errors import NotFound, Unavailable
from ovnhook.base.logonce import LogOnce

_log = logging.getLogger(__name__)


def attempt(errors: LogOnce, error: Exception | None = None) -> None:
    """Try what fails, or not."""
    with errors.logged():
        if error:
            raise error


def test_an_error_is_logged_when_it_is_new(caplog: pytest.LogCaptureFixture) -> None:
    """At its own level; again after another one, or after success."""
    errors = LogOnce(_log, "nothing was done")
    away, gone = Unavailable("the database is away"), NotFound("there is no host", "ovnhook node list")
    for error in (away, away, gone, gone, None, gone, away):
        attempt(errors, error)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "nothing was done: the database is away"),
        ("ERROR", "nothing was done: there is no host (ovnhook node list)"),
        ("ERROR", "nothing was done: there is no host (ovnhook node list)"),
        ("WARNING", "nothing was done: the database is away"),
    ]


def test_an_unexpected_error_has_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Once, too."""
    errors = LogOnce(_log, "nothing was done")
    for _ in range(3):
        attempt(errors, KeyError("x"))
    (record,) = caplog.records
    assert record.getMessage() == "nothing was done: unexpected error"
    assert record.exc_info


def test_several_things_are_told_apart() -> None:
    """The error of one is news of that one alone."""
    errors = LogOnce(_log, "")
    assert errors.is_new("away", "a")
    assert errors.is_new("away", "b")
    assert not errors.is_new("away", "a")
    errors.succeeded("a")
    assert errors.is_new("away", "a")
    assert not errors.is_new("away", "b")
