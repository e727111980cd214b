"""Logging of recurring errors, once each."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from ovnhook.base.errors import OvnhookError


class LogOnce:
    """Logs an error the first time, and again only after another error or a success.

    Example::

        errors = LogOnce(_log, "cannot schedule gateways")
        while True:
            with errors.logged():
                scan()

    Args:
        log: where to.
        words: what comes of the errors.
    """

    def __init__(self, log: logging.Logger, words: str) -> None:
        self._log = log
        self._words = words
        self._last: dict[Hashable, str] = {}

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Let no error out of a block, but into the log."""
        try:
            yield
        except Exception as error:
            self.failed(error)
        else:
            self.succeeded()

    def failed(self, error: Exception, about: Hashable = None) -> None:
        """Log an error at its level, if it is new; with a traceback, if it is unexpected.

        Args:
            error: what went wrong.
            about: which of several things it went wrong with.
        """
        if not self.is_new(f"{type(error).__name__}: {error}", about):
            return
        if isinstance(error, OvnhookError):
            self._log.log(logging.getLevelName(error.log_level), "%s: %s", self._words, error)
        else:
            self._log.error("%s: unexpected error", self._words, exc_info=error)

    def is_new(self, error: str, about: Hashable = None) -> bool:
        """Note an error; tell whether it is another one than the last one of the same thing."""
        is_new = self._last.get(about) != error
        self._last[about] = error
        return is_new

    def succeeded(self, about: Hashable = None) -> None:
        """Note that it went well."""
        self._last.pop(about, None)
