"""Signs of life, with a clock of the test's."""

from __future__ import annotations

from ovnhook.base.liveness import Liveness
from tests.clock import Clock


def test_every_loop_has_to_go_on() -> None:
    """One that stands still is named, whatever the others do; it may go on again."""
    clock = Clock()
    liveness = Liveness(("hook", "reconcile"), clock)
    hook, reconcile = liveness.beat("hook"), liveness.beat("reconcile")
    for _ in range(12):
        clock.now += 5
        hook()
    assert liveness.stuck() == []
    clock.now += 1
    assert liveness.stuck() == ["reconcile"]
    reconcile()
    assert liveness.stuck() == []
    clock.now += 100
    assert liveness.stuck() == ["hook", "reconcile"]
