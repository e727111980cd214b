"""The rules that keep nodes from what control hosts have among themselves, as nft reads them."""

from __future__ import annotations

import subprocess

import pytest

from ovnhook import fence


@pytest.mark.parametrize("members", [["192.0.2.1"], ["192.0.2.2", "2001:db8::1", "192.0.2.1"], ["2001:db8::1"], []])
def test_nft_understands_them(members: list[str]) -> None:
    """Every control host is let in, each by its family's rule."""
    text = fence.rules(members)
    done = subprocess.run(["nft", "-c", "-f", "-"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(one in text for one in members)
    assert text.index("accept") < text.index("drop")
    assert fence.rules(reversed(members)) == text
