"""One lab for the cells that every run of the tests does."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.waiting import HANG
from tests.faults.stage import Stage, stage


@pytest.fixture(scope="module")
def there() -> Iterator[Stage]:
    """The lab with its two guests."""
    with stage(f"f{os.getpid()}", HANG) as made:
        yield made
