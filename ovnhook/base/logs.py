"""Logging of the services: one line per message on stderr, which systemd forwards to the journal."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from ovnhook.base.text import visible

_FORMAT = "%(levelname)s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """Formatter that keeps a message on one line, whatever its values, and marks the lines of a traceback."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Format the message as one line."""
        return visible(super().formatMessage(record))

    def formatException(  # noqa: N802
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """Format a traceback."""
        return "\n".join(f"| {visible(line)}" for line in super().formatException(ei).splitlines())


def to_stderr() -> None:
    """Configure the root logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
