"""A cell of each row and of each column of the fault matrix; all of them: ``make fault-matrix``."""

from __future__ import annotations

import pytest

from tests.faults.matrix import SHORT, Cell
from tests.faults.runner import CellRunner


@pytest.mark.parametrize("cell", SHORT, ids=lambda cell: cell.name)
def test_cell(runner: CellRunner, cell: Cell) -> None:
    """Guests keep their traffic, libvirt answers, and all is as wanted after the fault. How soon: make fault-matrix."""
    assert runner.run(cell) == []
