"""How the services log: to stderr, which systemd hands to the journal, one line for one message."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from ovnhook.base.text import visible

_FORMAT = "%(levelname)s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """Messages whose values can't make lines of their own; lines of a traceback are marked as such."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the message as one line."""
        return visible(super().formatMessage(record))

    def formatException(  # noqa: N802
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """Return a traceback."""
        return "\n".join(f"| {visible(line)}" for line in super().formatException(ei).splitlines())


def to_stderr() -> None:
    """Log from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
