"""What the reconciler does next, with a clock of the test's."""

from __future__ import annotations

from uuid import UUID

from ovnhook.agent.agenda import Agenda, Event, Failures, Scan
from ovnhook.diagnosis.values import Difference, ManualRepair
from tests.clock import Clock

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
ONE, TWO = (Difference(name, "", "it is wrong", ManualRepair("")) for name in ("one", "two"))


def started(clock: Clock) -> Agenda:
    """An agenda whose next scan is between half a minute and a minute away."""
    agenda = Agenda(clock)
    assert agenda.next(0) == Scan()
    agenda.scan_within(60)
    return agenda


def test_events_of_one_kind_and_domain_are_one() -> None:
    """A hundred of them are worked on once; others have their own turn."""
    agenda = started(Clock())
    for _ in range(100):
        agenda.add(Event.CHANGED, WEB)
        agenda.add(Event.GONE, WEB)
    assert [agenda.next(0) for _ in range(3)] == [(Event.CHANGED, WEB), (Event.GONE, WEB), None]


def test_one_that_comes_while_it_is_worked_on_is_another() -> None:
    """It may tell of something that was not read."""
    agenda = started(Clock())
    agenda.add(Event.CHANGED, WEB)
    assert agenda.next(0) == (Event.CHANGED, WEB)
    agenda.add(Event.CHANGED, WEB)
    assert agenda.next(0) == (Event.CHANGED, WEB)


def test_events_do_not_bring_the_scan_forward() -> None:
    """Hundreds of them, and not one scan before its time."""
    clock = Clock()
    agenda = started(clock)
    clock.now += 29.9
    for number in range(300):
        agenda.add(Event.CHANGED, UUID(int=number))
        assert agenda.next(0) == (Event.CHANGED, UUID(int=number))
    assert agenda.next(0) is None
    clock.now += 30.1
    assert agenda.next(0) == Scan()


def test_events_do_not_starve_a_scan() -> None:
    """One that is due comes first, however many events wait."""
    clock = Clock()
    agenda = started(clock)
    agenda.add(Event.CHANGED, WEB)
    clock.now += 60
    assert agenda.next(0) == Scan()
    assert agenda.next(0) == (Event.CHANGED, WEB)


def test_a_wish_during_a_scan_is_not_lost() -> None:
    """What was asked for while it ran counts more than the usual pause after it."""
    clock = Clock()
    agenda = Agenda(clock)
    assert agenda.next(0) == Scan()
    agenda.scan_within(2)
    agenda.scan_within(60)
    clock.now += 2
    assert agenda.next(0) == Scan()


def test_a_change_is_followed_by_a_scan() -> None:
    """Within two seconds; any number of changes by one."""
    clock = Clock()
    agenda = started(clock)
    clock.now += 15
    for _ in range(100):
        agenda.scan_after_change()
        assert agenda.next(0) is None
    clock.now += 2
    assert agenda.next(0) == Scan()
    clock.now += 2
    assert agenda.next(0) is None


def test_changes_do_not_cause_scan_after_scan() -> None:
    """However many come, a scan follows the last one, and ten seconds are between two of them."""
    clock = Clock()
    agenda = started(clock)
    scans = 0
    for _ in range(200):  # for twenty seconds
        agenda.scan_after_change()
        scans += agenda.next(0) == Scan()
        clock.now += 0.1
    assert scans == 2
    clock.now += 12
    assert agenda.next(0) == Scan()


def test_any_scan_covers_a_change() -> None:
    """One that was due for another reason; a change after it has one of its own."""
    clock = Clock()
    agenda = started(clock)
    agenda.scan_after_change()
    agenda.scan_within(0)
    assert agenda.next(0) == Scan()
    clock.now += 2
    assert agenda.next(0) is None
    agenda.scan_after_change()
    clock.now += 2
    assert agenda.next(0) == Scan()


def test_more_events_than_are_kept_are_a_scan() -> None:
    """The queue has a limit, and nothing is lost by that."""
    agenda = started(Clock())
    for number in range(10_001):
        agenda.add(Event.CHANGED, UUID(int=number))
    assert agenda.next(0) == Scan()


def test_a_failure_waits_for_itself_alone() -> None:
    """Others are tried meanwhile, and first."""
    clock = Clock()
    failures: Failures[Difference] = Failures(clock)
    assert failures.add(ONE, "no")
    assert failures.due([ONE, TWO]) == [TWO]
    clock.now += 2
    assert failures.due([ONE, TWO]) == [TWO, ONE]
    assert not failures.add(ONE, "no")
    assert failures.add(ONE, "no, for another reason")
    assert failures.times(ONE) == 3


def test_it_waits_longer_each_time_up_to_a_bound() -> None:
    """And never for ever, however often it fails."""
    clock = Clock()
    failures: Failures[Difference] = Failures(clock)
    waits = []
    for _ in range(2000):
        failures.add(ONE, "no")
        waits.append(failures.wait())
    assert 1 <= waits[0] <= 2
    assert 2 <= waits[1] <= 4
    assert all(5 <= wait <= 10 for wait in waits[3:])
    assert len(set(waits[3:])) > 1
    failures.keep([TWO])
    assert failures.wait() == float("inf")
    assert failures.times(ONE) == 0
