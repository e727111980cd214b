"""``make install`` from a checkout: what is installed is what the checkout has, whatever was there before."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lab.waiting import HANG

REPO = Path(__file__).parents[3]


def test_over_an_older_one(tmp_path: Path) -> None:
    """Modules that are gone, or have moved to another folder, can be imported no more."""
    checkout, root = tmp_path / "checkout", tmp_path / "root"
    compiled = shutil.ignore_patterns("__pycache__")
    for name in ("ovnhook", "packaging"):
        shutil.copytree(REPO / name, checkout / name, ignore=compiled)
    shutil.copy(REPO / "Makefile", checkout)

    def install() -> set[Path]:
        command = ["make", "-C", str(checkout), f"DESTDIR={root}", "install"]
        subprocess.run(command, check=True, capture_output=True, timeout=HANG)
        return {path.relative_to(root) for path in root.rglob("*")}

    there = install()
    (package,) = root.rglob("dist-packages/ovnhook")
    (package / "gone").mkdir()
    (package / "gone" / "moved.py").touch()
    (package.parent / "theirs.py").touch()
    assert install() == there | {package.parent.relative_to(root) / "theirs.py"}
