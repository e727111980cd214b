"""What the agent of a migration's source says to a request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from lab.waiting import HANG, until
from ovnhook.agent.consent import MigrationConsent
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.resources.lease.values import LeaseIndex

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
REQUESTED = LeaseIndex(WEB, "web1", "hv1", (), requested_by="hv2")


class AskedSource:
    """A source whose libvirt says what the test says."""

    def __init__(self, migrates: Callable[[UUID], bool], timeout: float = HANG) -> None:
        self.confirmed: list[tuple[UUID, str]] = []
        self.done = threading.Event()
        self.consent = MigrationConsent(migrates, self._confirm, timeout)

    def _confirm(self, domain: UUID, destination: str, deadline: Deadline) -> None:
        assert deadline.remaining
        self.confirmed.append((domain, destination))
        self.done.set()


def test_a_migration_is_confirmed() -> None:
    """To the host that requests it."""
    source = AskedSource(lambda _: True)
    source.consent.consider(REQUESTED)
    assert source.done.wait(HANG)
    assert source.confirmed == [(WEB, "hv2")]


def test_a_request_without_a_migration(caplog: pytest.LogCaptureFixture) -> None:
    """A node that asks for what is not on its way to it gets nothing; it is said once."""
    source = AskedSource(lambda _: False)
    for _ in range(3):
        source.consent.consider(REQUESTED)
    until(lambda: caplog.records, HANG, "a message")
    (said,) = {record.getMessage() for record in caplog.records}
    assert "domain web1: hv2 requests it, but libvirt is not migrating it" in said
    assert source.confirmed == []


def test_a_domain_that_goes_to_another_host(caplog: pytest.LogCaptureFixture) -> None:
    """Who requests it while it is under way does not get it."""
    source = AskedSource(lambda _: True)
    source.consent.consider(replace(REQUESTED, moving_to="hv3"))
    until(lambda: caplog.records, HANG, "a message")
    assert "domain web1: hv2 requests it, but it goes to hv3" in caplog.text
    assert source.confirmed == []


@pytest.mark.parametrize("error", [Unavailable("libvirt does not answer"), RuntimeError("unexpected")])
def test_libvirt_does_not_say(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    """Nothing is confirmed that is not known; and the next one is."""
    answers: list[Exception | None] = [error, None]

    def migrates(_: UUID) -> bool:
        if said := answers.pop(0):
            raise said
        return True

    source = AskedSource(migrates)
    with caplog.at_level(logging.WARNING):
        source.consent.consider(REQUESTED)
        until(lambda: caplog.records, HANG, "a message")
    assert source.confirmed == []
    source.consent.consider(REQUESTED)
    assert source.done.wait(HANG)


def test_one_whose_libvirt_is_silent_holds_up_no_other() -> None:
    """A second domain is confirmed while the first is asked about."""
    held = threading.Event()
    try:
        source = AskedSource(lambda domain: held.wait(HANG) if domain == WEB else True)
        source.consent.consider(REQUESTED)
        source.consent.consider(LeaseIndex(UUID(int=2), "web2", "hv1", (), requested_by="hv2"))
        assert source.done.wait(HANG)
        assert source.confirmed == [(UUID(int=2), "hv2")]
    finally:
        held.set()


def test_nobody_waits_any_more(caplog: pytest.LogCaptureFixture) -> None:
    """What is too late is not done."""
    source = AskedSource(lambda _: True, timeout=-1)
    source.consent.consider(REQUESTED)
    until(lambda: caplog.records, HANG, "a message")
    assert "hv2 no longer waits" in caplog.text
    assert source.confirmed == []
