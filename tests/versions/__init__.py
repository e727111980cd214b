"""Earlier versions: the code of the previous one, and databases as each one has written them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.waiting import HANG

FOLDER = Path(__file__).parent
PREVIOUS = "4dbeaa1"
"""The version before this one, by its commit: the one whose code is kept."""

PARTS = ("ovnhook", "hooks", "packaging/protos")
"""All that a host runs of a checkout."""


def archive(version: str) -> Path:
    """The file with a version's code."""
    return FOLDER / f"{version}.tar.xz"


def database(version: str) -> Path:
    """The file with the northbound database that a version has written."""
    return FOLDER / f"{version}.json"


def unpack(version: str, folder: Path) -> Path:
    """A version's code, ready to run, in a folder; returns the folder."""
    subprocess.run(["tar", "--extract", "--xz", f"--file={archive(version)}"], cwd=folder, check=True, timeout=HANG)
    subprocess.run([folder / "packaging" / "protos"], check=True, timeout=HANG)
    return folder
