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
        log: logger of the module.
        message: log message before each error.
    """

    def __init__(self, log: logging.Logger, message: str) -> None:
        self._log = log
        self._message = message
        self._last: dict[Hashable, str] = {}

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Log an error of the block instead of raising it."""
        try:
            yield
        except Exception as error:
            self.failed(error)
        else:
            self.succeeded()

    def failed(self, error: Exception, about: Hashable = None) -> None:
        """Log an error at its level if it is new; an unexpected one with a traceback.

        Args:
            error: the error.
            about: the one of several objects that it is about.
        """
        if not self.is_new(f"{type(error).__name__}: {error}", about):
            return
        if isinstance(error, OvnhookError):
            self._log.log(logging.getLevelName(error.log_level), "%s: %s", self._message, error)
        else:
            self._log.error("%s: unexpected error", self._message, exc_info=error)

    def is_new(self, error: str, about: Hashable = None) -> bool:
        """Note an error; return True if it differs from the previous one about the same object."""
        is_new = self._last.get(about) != error
        self._last[about] = error
        return is_new

    def succeeded(self, about: Hashable = None) -> None:
        """Note a success, after which the same error is logged again."""
        self._last.pop(about, None)
