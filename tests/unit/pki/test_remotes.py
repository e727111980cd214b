"""Rows of remotes: which of them are a control host's own."""

from __future__ import annotations

import pytest

from ovnhook.pki import remotes


@pytest.mark.parametrize(
    ("row", "is_ours"),
    [
        (remotes.Connection("pssl:6641"), True),
        (remotes.Connection("pssl:6641:[::]"), True),
        (remotes.Connection("pssl:6641:0.0.0.0"), False),
        (remotes.Connection("pssl:6642", "ovn-controller"), False),
        (remotes.Connection("ptcp:6641"), False),
        (remotes.Connection("punix:/root/x"), False),
        (remotes.Keys("/k", "/c", "/a"), True),
        (remotes.Keys("/k", "/c", "/a", bootstrap=True), False),
        (remotes.Keys("/k", "/c", "/b"), False),
    ],
)
def test_which_rows_are_ours(row: remotes.Row, *, is_ours: bool) -> None:
    assert remotes.foreign("OVN_Northbound", [row], remotes.Keys("/k", "/c", "/a")) == ([] if is_ours else [row])
