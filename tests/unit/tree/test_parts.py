"""``tests/parts``, which ``make test`` runs: every part to its end, and what failed last of all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.waiting import HANG

PARTS = Path(__file__).parents[2] / "parts"
MAKE = """#!/bin/sh
echo "the words of $3"
case $3 in
bad*) echo "FAILED tests/x.py::test_$3 - no"; echo "==== 1 failed, 2 passed in 61.00s (0:01:01) ===="; exit 1 ;;
*) echo "==== 3 passed in 0.12s ====" ;;
esac
"""


@pytest.mark.parametrize(
    ("parts", "failed"),
    [
        (["lint", "a,b", "c"], []),
        (["bad1", "a,b", "c"], ["bad1"]),
        (["lint", "a,bad1", "bad2"], ["bad1", "bad2"]),
    ],
)
def test_every_part_runs_and_what_failed_is_listed(tmp_path: Path, parts: list[str], failed: list[str]) -> None:
    """Whatever failed before; pytest's own closing lines are among the last ones."""
    make = tmp_path / "make"
    make.write_text(MAKE)
    make.chmod(0o755)
    done = subprocess.run(
        [PARTS, *parts],
        check=False,
        env={"PATH": "/usr/bin:/bin", "MAKE": str(make)},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    names = ",".join(parts).split(",")
    said, _, summary = done.stdout.partition("\nSummary\n")
    assert [f"the words of {name}" in said for name in names] == [True] * len(names)
    assert done.returncode == (1 if failed else 0), done.stderr
    *lines, last = summary.splitlines()
    assert [line for line in lines if line.endswith((": passed", ": FAILED"))] == [
        f"{name}: {'FAILED' if name in failed else 'passed'}" for name in names
    ]
    assert [line for line in lines if line.startswith("FAILED ")] == [
        f"FAILED tests/x.py::test_{name} - no" for name in failed
    ]
    assert sum(line.startswith("====") for line in lines) == len(names)
    count = len(names)
    assert last == (
        f"{len(failed)} of {count} parts failed: {' '.join(failed)}" if failed else f"all {count} parts passed"
    )
