"""Rate limits as users write them, and the meters that they become."""

from __future__ import annotations

import pytest

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources import limits
from ovnhook.resources.limits import NO_LIMITS, Limits


@pytest.mark.parametrize(
    ("text", "canonical", "kbit", "burst"),
    [
        ("100k", "100k", 100, 600),
        ("100000", "100k", 100, 600),
        ("2000K", "2M", 2000, 1600),
        ("1500M", "1500M", 1_500_000, 1_200_000),
        ("1000G", "1000G", 10**9, 8 * 10**8),
    ],
)
def test_rates(text: str, canonical: str, kbit: int, burst: int) -> None:
    """In bits per second, with the largest unit that fits; a burst holds the largest packet of a guest."""
    assert limits.requested("subnet blue", text, "") == Limits(canonical)
    assert limits.bandwidth(canonical) == {"rate": kbit, "burst": burst}


@pytest.mark.parametrize(
    "text", ["0", "99k", "1001G", "100001", "-1M", "1.5M", "1m", "1 M", "M", "none", "\u0661M", "x" * 99]
)
def test_invalid_rates(text: str) -> None:
    """They are refused, with what they are of."""
    with pytest.raises(InvalidRequest) as refused:
        limits.requested("subnet blue", "", text)
    assert refused.value.message.startswith(f"subnet blue: limit-outbound='{text[:40]}': expected bits per second")


def test_over_a_default() -> None:
    """Each direction has its own, or that of the subnet; "none" is no limit."""
    default = Limits("10M", "20M")
    assert NO_LIMITS.over(default) == default
    assert Limits("1M", "").over(default) == Limits("1M", "20M")
    assert limits.requested("interface", "none", "5M", accept_none=True).over(default) == Limits("", "5M")
    assert str(Limits("1M", "none")) == 'limit-inbound="1M" limit-outbound="none"'
    assert str(NO_LIMITS) == ""
