"""Rows that are ours, by the keys of their external_ids: they begin with ``ovnhook:``. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ovnhook.ovsdb.operation import Row, map_of

KIND = "ovnhook:kind"
"""The key of external_ids that says what a row is."""


def kind(name: str, **values: str) -> dict[str, str]:
    """The external_ids of a row of ours, or the part of them to search for; ``_`` in a key stands for ``-``."""
    return {KIND: name, **{f"ovnhook:{key.replace('_', '-')}": value for key, value in values.items()}}


def own(row: Row) -> Mapping[str, str]:
    """Our keys of a row's external_ids, without the prefix."""
    ids = map_of(row["external_ids"])
    return {key.removeprefix("ovnhook:"): value for key, value in ids.items() if key.startswith("ovnhook:")}
