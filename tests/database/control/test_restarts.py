"""A restart of the control service: it takes as long as its work does, and not as long as others let it wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.agentmessages import domain_message
from ovnhook.api.grpc.health.v1 import health_pb2, health_pb2_grpc
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.api.v1 import agents_pb2_grpc
from ovnhook.domains.values import Domain
from tests.database.control_process import ControlProcess
from tests.database.control_service import Control
from tests.database.hostwatch import HostWatch
from tests.database.hypervisors import interface
from tests.database.nodes import NodeClient
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis

SOON = 20.0
"""Seconds: less than the 30 that a call may wait, and far more than the service needs."""


class Restarted:
    """A control service that runs on the same socket after a restart, and a client of host hv1."""

    def __init__(self, control: Control, directory: Path) -> None:
        self.control = control
        self._path = directory / "own" / "control.sock"
        self.service = ControlProcess(self._path, control.config)

    def channel(self) -> grpc.Channel:
        """A channel to it."""
        return grpc.insecure_channel(f"unix:{self._path}", [("grpc.use_local_subchannel_pool", 1)])

    def end(self) -> None:
        """End it as systemd does."""
        self.service.process.terminate()
        assert self.service.process.wait(SOON) == 0

    def start(self) -> None:
        """Start it again."""
        self.service = ControlProcess(self._path, self.control.config)


@pytest.fixture
def restarted(control: Control, directory: Path) -> Iterator[Restarted]:
    """One, with a host and a default subnet."""
    add_chassis(control.southbound, "hv1")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    made = Restarted(control, directory)
    yield made
    made.service.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for calls that wait."""
    with ThreadPoolExecutor(60) as made:
        yield made


def code(call: Future[Any]) -> grpc.StatusCode:
    """Status of a call that fails."""
    error = call.exception(HANG)
    assert isinstance(error, grpc.RpcError)
    found: grpc.StatusCode = error.code()
    return found


def test_calls_and_streams_that_wait(restarted: Restarted, pool: ThreadPoolExecutor) -> None:
    """They end with UNAVAILABLE, and the process does not wait for them."""
    with ExitStack() as stack:
        channel = stack.enter_context(restarted.channel())
        hv1, hv2 = NodeClient(channel, "hv1"), NodeClient(channel, "hv2")
        hv1.report(agent_version="1")
        hv1.attach()
        watches = [HostWatch(channel, f"hv{number}") for number in range(20)]
        for watch in watches:
            watch.next()
        announced = pool.submit(hv2.call, "AnnounceMigration")
        watches[1].until(lambda: any(one.leases.requested_by == "hv2" for one in watches[1].known.values()))
        ends = [pool.submit(watch.until, lambda: False) for watch in watches]
        restarted.end()
        assert {code(end) for end in (announced, *ends)} == {grpc.StatusCode.UNAVAILABLE}
        restarted.start()
        hv1.confirm("hv2")  # the request outlives the service: the destination repeats it
        hv2.call("AnnounceMigration")


@pytest.mark.parametrize("paused", ["northbound", "southbound"])
def test_a_database_that_hangs(restarted: Restarted, pool: ThreadPoolExecutor, paused: str) -> None:
    """The process waits neither for calls nor for its loops."""
    database = getattr(restarted.control, paused)
    with restarted.channel() as channel:
        node = NodeClient(channel, "hv1")
        node.report(agent_version="1")
        node.attach()
        database.pause()
        try:
            calls = [pool.submit(node.call, "GetDomain"), pool.submit(node.report, agent_version="2")]
            # The service has the calls: it answers one that came after them.
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=HANG)
            restarted.end()
        finally:
            database.resume()
        assert {code(call) for call in calls if call.exception(HANG)} == {grpc.StatusCode.UNAVAILABLE}
        restarted.start()


def test_starts_during_restarts(restarted: Restarted, pool: ThreadPoolExecutor) -> None:
    """50 domains that start at once: each call that gRPC fails is repeated, and all have one port in the end."""
    stop, failed = threading.Event(), list[str]()

    def start(number: int) -> None:
        request = api.AttachDomainRequest(host="hv1", domain=domain_message(numbered(number)))
        with restarted.channel() as channel:
            stub = agents_pb2_grpc.AgentsStub(channel)
            while not stop.is_set():
                try:
                    stub.AttachDomain(request, timeout=HANG, wait_for_ready=True)
                except grpc.RpcError as error:
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                        failed.append(f"{error.code()} {error.details()}")

    calls = [pool.submit(start, number) for number in range(50)]
    for _ in range(2):
        restarted.end()
        restarted.start()
    wait_for(lambda: len(restarted.control.done("port", "list", "--format", "json").json) == 50)
    stop.set()
    for call in calls:
        call.result(HANG)
    assert failed == []
    assert len(restarted.control.done("lease", "list", "--format", "json").json) == 50


def numbered(number: int) -> Domain:
    """One of many domains."""
    mac = f"52:54:00:00:01:{number:02x}"
    return Domain(UUID(int=number + 1), f"web{number}", 1, (interface(mac),), (mac,))
