"""Which half-open calls are cancelled: never root's, and first those of who has the most."""

from __future__ import annotations

from typing import cast

import grpc
import pytest

from ovnhook.base.errors import QuotaExceeded
from ovnhook.control.admission import HALF_OPEN, HALF_OPEN_AGE, Admission, Call, CallKind, Limit
from tests.clock import Clock


class Context:
    """Of a call, as far as an admission knows it."""

    cancelled = False

    def cancel(self) -> None:
        """Note it."""
        self.cancelled = True

    def add_callback(self, _: object) -> bool:
        """Never call back: the call has not ended."""
        return True


class Caller:
    """Somebody who makes calls whose message does not come."""

    def __init__(self, admission: Admission, name: str) -> None:
        self._admission, self._name = admission, name
        self.contexts: list[Context] = []

    def call(self, times: int = 1) -> list[Call]:
        """Begin so many calls."""
        made = []
        for _ in range(times):
            self.contexts.append(Context())
            context = cast("grpc.ServicerContext", self.contexts[-1])
            made.append(self._admission.admit(self._name, CallKind.SHORT, context))
            self._admission.wait(made[-1])
        return made

    @property
    def cancelled(self) -> list[bool]:
        """Which of them were cancelled."""
        return [one.cancelled for one in self.contexts]


def test_as_many_as_may_be() -> None:
    """None of them is cancelled, nor one more when another one has its message."""
    admission = Admission({})
    ann = Caller(admission, "ann")
    first, *_ = ann.call(HALF_OPEN)
    admission.proceed(first, None)
    ann.call()
    assert not any(ann.cancelled)


def test_who_has_the_most() -> None:
    """Loses the oldest, however long the few of others have waited."""
    admission = Admission({})
    ann, eve = Caller(admission, "ann"), Caller(admission, "eve")
    ann.call(3)
    eve.call(HALF_OPEN)
    assert not any(ann.cancelled)
    assert eve.cancelled == [True] * 3 + [False] * (HALF_OPEN - 3)


@pytest.mark.parametrize("half_open", [None, HALF_OPEN])
def test_many_with_one_each(half_open: int | None) -> None:
    """The oldest is lost, where there is a limit: root has none."""
    admission = Admission({}, half_open)
    callers = [Caller(admission, f"client{number}") for number in range(HALF_OPEN + 1)]
    for one in callers:
        one.call()
    assert [any(one.cancelled) for one in callers] == [half_open is not None] + [False] * HALF_OPEN


@pytest.mark.parametrize("limit", [Limit(per_client=16), Limit(total=16)])
def test_one_more_than_there_may_be(limit: Limit) -> None:
    """It is refused while the others may only wait for their threads' turn; later the oldest of these goes for it."""
    clock = Clock()
    admission = Admission({CallKind.SHORT: limit}, clock=clock)
    ann = Caller(admission, "ann")
    first, *_ = ann.call(16)
    with pytest.raises(QuotaExceeded, match="16 RPCs open"):
        ann.call()
    clock.now += HALF_OPEN_AGE
    admission.proceed(first, None)
    ann.contexts.pop()
    ann.call()
    assert ann.cancelled == [False, True] + [False] * 15
