"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

# The same examples in every run: a failure is one of the code's, never one of luck.
settings.register_profile("ovnhook", derandomize=True, deadline=None, database=None)
settings.load_profile("ovnhook")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--regenerate``."""
    parser.addoption("--regenerate", action="store_true", help="write tests/golden/*.plan anew: read the difference")
