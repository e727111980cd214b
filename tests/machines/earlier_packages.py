"""Packages of an earlier commit, for upgrades."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from lab import state
from tests.machines.disk_image import CACHE
from tests.packages.machine import REPO

EARLIER = "d3e34c3"
"""The commit before hosts had external connectivity, names and libvirt networks of their own."""

_LONG = 3600.0  # seconds


def earlier_packages() -> list[Path]:
    """The packages of that commit, built once and kept."""
    made = CACHE / f"packages-{EARLIER}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with state.lock(CACHE):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="tmp.") as name:
                _build(Path(name) / "checkout").rename(made)
    return sorted(made.glob("*.deb"))


def _build(checkout: Path) -> Path:
    """Build in a checkout of that commit; returns the folder of packages."""
    git = ["git", "-c", "advice.detachedHead=false", "clone", "--quiet", "--shared", "--no-checkout"]
    subprocess.run([*git, str(REPO), str(checkout)], check=True, timeout=_LONG)
    subprocess.run(["git", "checkout", "--quiet", EARLIER], cwd=checkout, check=True, timeout=_LONG)
    environment = {**os.environ, "DEB_BUILD_OPTIONS": "nocheck"}
    subprocess.run([checkout / "packaging" / "build"], check=True, env=environment, timeout=_LONG)
    return checkout / "dist"
