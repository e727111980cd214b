"""Characters that arrive in two parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ovnhook.ovsdb.characters import incomplete


@given(st.text())
def test_any_text(text: str) -> None:
    """Wherever it is cut, what is complete can be decoded, and no whole character is held back."""
    data = text.encode()
    for end in range(len(data) + 1):
        whole = data[: end - incomplete(data[:end])]
        assert text.startswith(whole.decode())
        assert 0 <= end - len(whole) < 4
        assert (len(whole) == end) == (data[:end].decode(errors="ignore").encode() == data[:end])


def test_what_is_not_text() -> None:
    """It is passed on, for the library to refuse it."""
    for data in (b"", b"\xff", b"a\xff", b"\x80\x80\x80\x80", b"\x80"):
        assert incomplete(data) in (0, 1)
