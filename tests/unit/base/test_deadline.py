"""What is said when time is over, with a clock of the test's."""

from __future__ import annotations

import pytest

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time."""
    made = Clock()
    monkeypatch.setattr("ovnhook.base.deadline.time.monotonic", made)
    return made


def over(one: Deadline) -> str:
    """What is said."""
    with pytest.raises(Unavailable) as caught:
        one.check("OVN_Northbound at unix:/db")
    return str(caught.value)


def test_a_slow_database_is_to_blame(clock: Clock) -> None:
    """It is named, with how long it took; so is what waited for it in part of the work."""
    whole = Deadline.after(3)
    with whole.within(2).waiting("Open_vSwitch"):
        clock.now += 2.5
    clock.now += 0.5
    said = over(whole)
    assert said == (
        "OVN_Northbound at unix:/db: deadline exceeded: Open_vSwitch took 2.5 s, local processing took 0.5 s"
    )


def test_a_slow_host_is_to_blame(clock: Clock) -> None:
    """And no database that was not even asked."""
    whole = Deadline(clock.now + 2, clock.now - 4, {"loading ovnhook": 4.0})
    with whole.waiting("Open_vSwitch"):
        clock.now += 0.25
    clock.now += 6
    assert over(whole) == (
        "OVN_Northbound at unix:/db: deadline exceeded: this host was too slow:"
        " local processing took 6.0 s, loading ovnhook took 4.0 s, Open_vSwitch took 0.2 s"
    )


def test_a_part_ends_no_later_than_the_whole(clock: Clock) -> None:
    """However much is asked for."""
    whole = Deadline.after(3)
    assert whole.within(10).remaining == 3
    assert whole.half(10).remaining == 1.5
    clock.now += 5
    assert whole.within(10).remaining == 0
