"""Ownership of rows: keys of external_ids with the prefix ``ovnhook:``. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ovnhook.ovsdb.operation import Row, map_of

KIND = "ovnhook:kind"
"""Key of external_ids with the kind of a row."""


def kind(name: str, **values: str) -> dict[str, str]:
    """Build external_ids of a row of ours, or a subset to search for; ``_`` in a key stands for ``-``."""
    return {KIND: name, **{f"ovnhook:{key.replace('_', '-')}": value for key, value in values.items()}}


def own(row: Row) -> Mapping[str, str]:
    """Our external_ids of a row, without the prefix."""
    ids = map_of(row["external_ids"])
    return {key.removeprefix("ovnhook:"): value for key, value in ids.items() if key.startswith("ovnhook:")}
