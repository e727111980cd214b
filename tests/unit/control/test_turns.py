"""Turns of RPCs: a busy client delays itself, in the order of arrival, and nobody else."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from lab.waiting import HANG, until
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import QuotaExceeded
from ovnhook.control.turns import Turns


def soon() -> Deadline:
    return Deadline.after(HANG)


def test_one_too_many() -> None:
    """It waits for its turn until its deadline, and others need not wait; what has ended leaves nothing behind."""
    turns = Turns(2)
    with turns.turn("eve", soon()), turns.turn("eve", soon()):
        with pytest.raises(QuotaExceeded, match="eve has 2 RPCs that take long"), turns.turn("eve", Deadline.after(0)):
            pass
        with turns.turn("ann", soon()), turns.turn("ann", soon()):
            pass
    with turns.turn("eve", soon()), turns.turn("eve", soon()):
        pass
    assert not turns._busy
    assert not turns._waiting


def test_the_order_of_arrival() -> None:
    """Whoever waits is served in turn; one that gives up is passed over, and an error gives its turn back."""
    turns, served, deadline = Turns(1), list[int](), soon()

    def call(number: int) -> None:
        with turns.turn("eve", deadline if number != 1 else Deadline.after(0.01)):
            served.append(number)
            raise ZeroDivisionError

    with ThreadPoolExecutor(4) as pool:
        calls: list[Future[None]] = []
        with turns.turn("eve", soon()):
            for number in range(4):
                calls.append(pool.submit(call, number))
                if number == 1:
                    assert isinstance(calls[1].exception(HANG), QuotaExceeded)
                else:
                    until(lambda: len(turns._waiting["eve"]) == len(calls) - (len(calls) > 2), HANG, "it waits")
            assert served == []
        assert [type(one.exception(HANG)) for one in calls if one is not calls[1]] == [ZeroDivisionError] * 3
    assert served == [0, 2, 3]
    assert "earlier calls of eve" in deadline.waited
    assert not turns._busy


def test_many_at_once() -> None:
    """No more than may be, and all of them in the end."""
    turns, lock, now, most = Turns(3), threading.Lock(), 0, 0

    def call(_number: int) -> None:
        nonlocal now, most
        with turns.turn("eve", soon()):
            with lock:
                now += 1
                most = max(most, now)
            with lock:
                now -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(call, range(500)))
    assert most <= 3
    assert not turns._busy
    assert not turns._waiting


def test_any_number() -> None:
    """Without a limit none waits."""
    turns = Turns(None)
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(turns.turn("root", Deadline.after(0)))
