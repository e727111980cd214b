"""Keep a version: ``python3 -m tests.versions COMMIT`` writes its code and the database that it fills.

It boots a lab. See CONTRIBUTING.md for when this is done.
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.versions import FOLDER, PARTS, archive, database, unpack
from tests.versions.filling import Frozen, filled


def main(commit: str) -> None:
    """Write the two files of a version."""
    version = subprocess.run(
        ["git", "rev-parse", "--short=7", commit], cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    git = ["git", "-C", str(FOLDER.parents[1]), "archive", "--format=tar", version, *PARTS]
    code = subprocess.run(git, stdout=subprocess.PIPE, check=True).stdout
    archive(version).write_bytes(lzma.compress(code, preset=9 | lzma.PRESET_EXTREME))
    with tempfile.TemporaryDirectory() as folder:
        rows, authority = filled(unpack(version, Path(folder)), f"k{os.getpid()}")
    database(version).write_text(text(rows, authority), encoding="utf-8")
    print(f"wrote {archive(version)} and {database(version)}")


def text(rows: Frozen, authority: dict[str, str]) -> str:
    """The file of a database: a column on each line, so that two versions can be compared with diff(1)."""
    lines = ["{", f' "authority": {json.dumps(authority)},', ' "rows": {']
    for table, found in sorted(rows.items()):
        lines.append(f"  {json.dumps(table)}: {{")
        for uuid, row in sorted(found.items()):
            columns = (f"    {json.dumps(name)}: {json.dumps(_sorted(value))}" for name, value in sorted(row.items()))
            lines += [f"   {json.dumps(uuid)}: {{", ",\n".join(columns), "   },"]
        lines[-1] = lines[-1].rstrip(",")
        lines.append("  },")
    lines[-1] = lines[-1].rstrip(",")
    return "\n".join([*lines, " }", "}", ""])


def _sorted(value: Any) -> Any:
    """A map as an object, and a set in an order that is always the same."""
    match value:
        case ["map", [*pairs]]:
            return dict(sorted(pairs))
        case ["set", [*members]]:
            return ["set", sorted(members, key=str)]
    return value


if __name__ == "__main__":
    main(*sys.argv[1:] or ["HEAD"])
