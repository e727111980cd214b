"""A piece of the soak, and its course; half an hour of it: ``make soak``."""

from __future__ import annotations

from itertools import islice

from tests.faults.runner import CellRunner
from tests.faults.soak import Soak
from tests.faults.workload import BREAKDOWNS, DOMAINS, Verb, workload

SECONDS = 30
SEED = 0


def test_half_a_minute(runner: CellRunner) -> None:
    """Nothing is left wrong after any round, and in the end our daemons take what they took before."""
    soak = Soak(runner, print)
    wrong = soak.run(SEED, SECONDS)
    print("\n".join(soak.summary()))
    assert not wrong, "\n".join(wrong)


def test_the_same_seed_is_the_same_course() -> None:
    """So that what went wrong can be done again."""
    assert list(islice(workload(7, BREAKDOWNS), 50)) == list(islice(workload(7, BREAKDOWNS), 50))
    assert list(islice(workload(7, BREAKDOWNS), 50)) != list(islice(workload(8, BREAKDOWNS), 50))


def test_the_course_has_everything() -> None:
    """Every verb comes, for every domain, with faults and without."""
    rounds = list(islice(workload(SEED, BREAKDOWNS), 500))
    assert {step.verb for one in rounds for step in one.steps} == set(Verb)
    assert {step.domain for one in rounds for step in one.steps} == set(DOMAINS)
    assert {one.fault[:2] for one in rounds if one.fault} == set(BREAKDOWNS)
    assert 100 < sum(one.fault is not None for one in rounds) < 400
