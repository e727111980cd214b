"""Watchers that are slow, many, or leave: none of them holds up another one, or the service."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from uuid import UUID

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.control import backlog, calls, listener
from ovnhook.control.services import watches
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import key, mutate, set_keys
from tests.database.control_service import Control
from tests.database.ovsdb_server import wait_for
from tests.database.watch import END, Watch, idle


def test_a_watcher_that_is_too_slow(
    control: Control, channel: grpc.Channel, narrow: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is sent away, and the others are told all the same."""
    monkeypatch.setattr(watches, "_MAX_BACKLOG", 20)
    monkeypatch.setattr(backlog, "_GRACE", 1e6)  # it hears of it whenever it reads on,
    monkeypatch.setattr(calls, "SEND_TIMEOUT", 1e6)  # and nobody else ends it before
    slow, quick = Watch(narrow), Watch(channel)
    slow.begin()
    with overtaken(control, quick):
        assert quick.known["subnet", "blue"].dns_domain.startswith(f"{CHANGES - 1}.")
    with pytest.raises(grpc.RpcError) as caught:
        slow.until("CREATED", "subnet", END)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more than 20 changes behind" in caught.value.details()


def test_a_watcher_that_reads_nothing(
    control: Control, channel: grpc.Channel, narrow: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is cut off, so that it does not hold a thread for ever."""
    monkeypatch.setattr(watches, "_MAX_BACKLOG", 20)
    monkeypatch.setattr(backlog, "_GRACE", 0.0)
    watch = Watch(narrow)
    watch.begin()
    with overtaken(control, Watch(channel)):
        pass
    wait_for(idle)
    with pytest.raises(grpc.RpcError):
        watch.until("CREATED", "subnet", END)


CHANGES = 100  # of 50 kB each: far more than a wire holds


@contextlib.contextmanager
def overtaken(control: Control, quick: Watch) -> Iterator[None]:
    """More changes than anybody is told who does not read; one who does has them all, and leaves afterwards.

    Each is a transaction of its own, made when the one before was told: the database may tell several as one.
    """
    quick.begin()
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    quick.until("CREATED", "subnet", "blue")
    switch = next(uuid for uuid, row in control.northbound.dump()["Logical_Switch"].items() if row["name"] == "blue")
    database = Database(control.northbound.remote, "OVN_Northbound")
    for number in range(CHANGES):
        ids = {"ovnhook:dns-domain": f"{number}.{'x' * 50_000}"}
        database.transact(
            [mutate("Logical_Switch", key(UUID(switch)), set_keys("external_ids", ids))], Deadline.after(HANG)
        )
        quick.until("UPDATED", "subnet", "blue")
    database.close()
    yield
    quick.call.cancel()


def test_as_many_as_there_can_be(control: Control) -> None:
    """One more is refused, calls are answered beside them all, and who leaves makes room."""
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(control.channel()) for _ in range(listener.STREAMS + 1)]
        found = [Watch(channel) for channel in channels[:-1]]
        for watch in found:
            watch.begin()
        assert sum(thread.name == "changes" for thread in threading.enumerate()) == 1
        reflections = [
            reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(threading.Event().wait, None))
            for channel in channels
        ]
        with pytest.raises(grpc.RpcError) as caught:
            Watch(channels[-1]).begin()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert control.done("subnet", "list", "--format", "json").json == []
        found[0].call.cancel()

        def joins() -> bool:
            with contextlib.suppress(grpc.RpcError):
                return Watch(channels[-1]).begin() == []
            return False

        wait_for(joins)
        assert reflections
    wait_for(idle)


def test_those_who_leave(control: Control, channel: grpc.Channel) -> None:
    """By a deadline, by cancelling, with their connection: nobody follows the database any more."""
    watch = Watch(channel, timeout=1)
    watch.begin()
    with pytest.raises(grpc.RpcError) as caught:
        watch.until("CREATED", "subnet", END)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(idle)
    watch = Watch(channel)
    watch.begin()
    assert not idle()
    watch.call.cancel()
    wait_for(idle)
    with control.channel() as other:
        Watch(other).begin()
    wait_for(idle)
    Watch(channel).begin()
    assert not idle()


def test_the_end_of_the_service(control: Control, channel: grpc.Channel) -> None:
    """Ends the streams at once, and says so."""
    watch = Watch(channel)
    watch.begin()
    control.service.stop()
    with pytest.raises(grpc.RpcError) as caught:
        watch.until("CREATED", "subnet", END)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "the control service is stopping"
    assert idle()
