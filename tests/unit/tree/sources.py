"""The Python sources of the tree, without what is generated."""

from __future__ import annotations

from pathlib import Path

REPO = Path(__file__).parents[3]


def sources() -> dict[str, str]:
    """Every module by name, with its source; a package is called like its folder."""
    folders = ("ovnhook", "lab", "bench", "reference", "tests")
    files = (file for folder in folders for file in (REPO / folder).rglob("*.py"))
    return {
        ".".join(file.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): file.read_text()
        for file in files
        if not file.stem.endswith(("_pb2", "_pb2_grpc"))
    }
