"""Earlier versions: the code of the previous one, and databases as each one has written them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.waiting import HANG
from ovnhook.ovsdb.operation import Operation, as_map

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


def inserts(version: str) -> Iterator[Operation]:
    """Operations that fill a northbound database with the rows that a version has written."""
    tables = json.loads(database(version).read_text())["rows"]
    for table, rows in tables.items():
        for uuid, row in rows.items():
            columns = {name: as_map(value) if isinstance(value, dict) else value for name, value in row.items()}
            yield {"op": "insert", "table": table, "uuid": uuid, "row": columns}


def unpack(version: str, folder: Path) -> Path:
    """A version's code, ready to run, in a folder; returns the folder."""
    subprocess.run(["tar", "--extract", "--xz", f"--file={archive(version)}"], cwd=folder, check=True, timeout=HANG)
    subprocess.run([folder / "packaging" / "protos"], check=True, timeout=HANG)
    return folder
