"""One lab for the cells that every run of the tests does."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.waiting import HANG
from tests.faults.runner import CellRunner, cell_runner


@pytest.fixture(scope="module")
def runner() -> Iterator[CellRunner]:
    """The lab with its two guests."""
    with cell_runner(f"f{os.getpid()}", HANG) as made:
        yield made
