"""Calls of agents and hooks: control hosts that are away, silent, busy, of another version, or restarted meanwhile."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.agent.control import SERVICE, ControlService
from ovnhook.api import calls as module
from ovnhook.api import hints
from ovnhook.api.calls import Calls
from ovnhook.api.channels import Method
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import (
    AlreadyExists,
    Exhausted,
    NewerFormat,
    NotFound,
    OvnhookError,
    PermissionDenied,
    QuotaExceeded,
    Unavailable,
)
from ovnhook.control.server import ControlServer
from ovnhook.domains.values import Domain
from ovnhook.pki import keyfiles
from ovnhook.pki.keyfiles import Files
from ovnhook.resources.chassis import Report
from tests.database.control_host import ControlHost, cloud
from tests.database.hypervisors import WEB, domain, interface, soon
from tests.methods import OWN

__all__ = ["cloud"]  # the fixture

DETACH = Method(SERVICE, "DetachDomain", api.DomainResponse, is_idempotent=True)
REQUEST = api.DomainRequest(host="hv1", domain=api.LibvirtDomain(uuid=str(WEB)))


class ScriptedControl:
    """A control host that answers each call as a test says.

    Args:
        cloud: has its certificate.
        answer: raises an error of the service, or returns; None to not know the method.
        most: number of calls at a time.
    """

    def __init__(self, cloud: ControlHost, answer: Callable[[], object] | None, most: int | None) -> None:
        self.calls = 0
        self._answer = answer
        self._server = grpc.server(ThreadPoolExecutor(32), maximum_concurrent_rpcs=most)
        files = cloud.files.api
        shown = grpc.ssl_server_credentials([(files.key.read_bytes(), files.certificate.read_bytes())])
        self.where = f"127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', shown)}"
        self._server.add_generic_rpc_handlers((self,))
        self._server.start()

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """See grpc.GenericRpcHandler."""
        self.calls += 1
        return grpc.unary_unary_rpc_method_handler(self._end) if self._answer else None

    def _end(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        assert self._answer
        try:
            self._answer()
        except OvnhookError as error:
            context.set_trailing_metadata(hints.metadata(error))
            context.abort(grpc.StatusCode[error.status], error.message)
        return b""

    def stop(self) -> None:
        """End."""
        self._server.stop(None).wait()


Script = Callable[..., ScriptedControl]


@pytest.fixture
def script(cloud: ControlHost) -> Iterator[Script]:
    """Function that starts scripted control hosts."""
    made: list[ScriptedControl] = []

    def start(answer: Callable[[], object] | None, most: int | None = None) -> ScriptedControl:
        made.append(ScriptedControl(cloud, answer, most))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that lets everybody connect and says nothing, as one that is frozen."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def files(cloud: ControlHost) -> Files:
    """Certificate of node hv1."""
    return cloud.enrol(cloud.create_token("hv1"))


@pytest.fixture
def of(files: Files) -> Callable[..., Calls]:
    """Function that makes hv1's calls of some control hosts."""

    def make(*servers: str) -> Calls:
        return Calls.of_host(
            Config(
                control=", ".join(servers),
                database_certificate=str(files.certificate),
                database_private_key=str(files.key),
                database_ca=str(files.ca),
            )
        )

    return make


def raising(*errors: OvnhookError) -> Callable[[], None]:
    """Raise these errors, one at each call; afterwards nothing."""
    left = [*errors]

    def answer() -> None:
        if left:
            raise left.pop(0)

    return answer


def detach(calls: Calls, deadline: Deadline | None = None) -> Any:
    """Call a method."""
    return calls.call(DETACH, REQUEST, deadline or soon())


def refusal(call: Callable[[Deadline], object], reason: str) -> Unavailable:
    """The error of a call that is repeated until its deadline: a later one, if that was too early for the reason."""
    for seconds in (0.5, 5, HANG):
        with pytest.raises(Unavailable) as caught:
            call(Deadline.after(seconds))
        if re.search(reason, str(caught.value)):
            break
    else:
        pytest.fail(f"{caught.value} instead of {reason}")
    return caught.value


def test_from_a_host_to_the_database(cloud: ControlHost, of: Callable[..., Calls]) -> None:
    """With the node's own certificate, and for its own host only."""
    service = ControlService(of(cloud.api))
    cloud.client.call("CreateSubnet", subnet={"name": "blue", "cidr": "10.1.0.0/24"})
    web = domain(interface(subnet="blue", address="10.1.0.20"))
    assert not service.attach(web, "hv1", soon(), running=False).arrives
    (port,) = cloud.client.pages("ListPorts", "ports")
    assert (port["host"], port["addresses"]) == ("hv1", ["10.1.0.20"])
    (refused,) = service.attach(
        domain(interface("52:54:00:00:00:07", "blue", "10.1.0.20"), uuid=UUID(int=7), name="web7"),
        "hv1", soon(), running=True,
    ).refused  # fmt: skip
    assert isinstance(refused, AlreadyExists)
    assert "address 10.1.0.20 of subnet blue is leased to domain web1" in refused.message
    with pytest.raises(PermissionDenied, match="may not change ports of host 'hv2'"):
        service.detach(web, "hv2", soon())
    service.detach(web, "hv1", soon())
    assert cloud.client.pages("ListPorts", "ports") == []
    with pytest.raises(NotFound, match="does not know host hv1"):
        service.report("hv1", Report("1", "3", ()), soon())


@pytest.mark.parametrize(
    "error",
    [
        AlreadyExists("address 10.1.0.20 is leased", "ovnhook lease list"),
        Exhausted("no free address"),
        NewerFormat("rows of a newer version", "apt upgrade"),
        OvnhookError("internal error: see journalctl -u ovnhook-control"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_service(script: Script, of: Callable[..., Calls], error: OvnhookError) -> None:
    """Has the same class, text and hint here; no other host is asked."""
    first, other = script(raising(error)), script(raising())
    with pytest.raises(OvnhookError) as caught:
        detach(of(first.where, other.where))
    assert (type(caught.value), caught.value.message, caught.value.hint) == (type(error), error.message, error.hint)
    assert (first.calls, other.calls) == (1, 0)


def test_a_silent_host_leaves_time_for_the_others(cloud: ControlHost, silent: str, of: Callable[..., Calls]) -> None:
    """And is asked last from then on."""
    calls = of(silent, silent.replace("127.0.0.1", "127.0.0.2"), cloud.api)
    detach(calls, Deadline.after(8))
    assert calls._servers[0] == cloud.api
    detach(calls, Deadline.after(HANG))


def test_hosts_that_do_not_answer(silent: str, of: Callable[..., Calls], make_port: Callable[[], int]) -> None:
    """The call ends by its deadline; the error names each host, and what took the time."""
    away, began = f"127.0.0.1:{make_port()}", time.monotonic()
    with pytest.raises(Unavailable) as caught:
        detach(of(silent), Deadline.after(1))
    assert caught.value.message.startswith(f"the control service at {silent} did not answer within ")
    assert ": the control service took " in caught.value.message
    with pytest.raises(Unavailable) as caught:
        detach(of(silent, away), Deadline.after(1))
    assert f"the control service at {silent} did not answer within " in caught.value.message
    assert f"the control service at {away} can't be reached: " in caught.value.message
    assert caught.value.hint == "on a control host: systemctl status ovnhook-control"
    assert time.monotonic() - began < HANG


def test_a_host_without_an_address(of: Callable[..., Calls]) -> None:
    """A name is looked up no longer than the call may take."""
    with pytest.raises(Unavailable, match=r"the control service at control\.invalid:6645 "):
        detach(of("control.invalid:6645"), Deadline.after(1))


def test_a_service_that_is_not_running(cloud: ControlHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this host."""
    monkeypatch.setattr(module, "CONTROL_SOCKET", cloud.path.with_name("none.sock"))
    calls = Calls.of_host(Config())
    error = refusal(partial(detach, calls), r"the control service is not running at .*none\.sock")
    assert error.hint == "systemctl start ovnhook-control"


def test_a_control_host_of_a_cluster(
    cloud: ControlHost, script: Script, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hypervisor calls its own service; while that is away, or its database, the other members, as a node."""
    monkeypatch.setattr(module, "CONTROL_SOCKET", cloud.path)
    other = script(raising())
    config = Config(
        authority=str(cloud.files.folder),
        control=other.where,
        database_certificate=str(files.certificate),
        database_private_key=str(files.key),
        database_ca=str(files.ca),
    )
    calls = Calls.of_host(config)
    detach(calls)
    assert other.calls == 0
    cloud.service.stop()
    detach(calls)
    detach(Calls.of_host(config))
    assert other.calls == 2
    other.stop()
    cloud.service = ControlServer(cloud.path, cloud.config)
    cloud.service.start()
    detach(calls)
    files.certificate.unlink()  # of no use to the unix socket
    detach(calls)
    detach(Calls.of_host(config))
    cloud.service.stop()
    refusal(partial(detach, Calls.of_host(config)), f"is not running at .*; {files.certificate}: No such file")


def test_a_restart(cloud: ControlHost, of: Callable[..., Calls], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for the service, on kept connections and on new ones, by TCP and by the unix socket."""
    monkeypatch.setattr(module, "CONTROL_SOCKET", cloud.path)
    kept, unix = of(cloud.api), Calls.of_host(Config())
    detach(kept)
    detach(unix)
    cloud.service.stop()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(detach, one) for one in (kept, unix, of(cloud.api)) for _ in range(2)]
        failed = threading.Event()
        rounds = kept._rounds

        def count(deadline: Deadline) -> Iterator[float]:
            for number, connect in enumerate(rounds(deadline)):
                if number:
                    failed.set()
                yield connect

        monkeypatch.setattr(kept, "_rounds", count)
        waiting.append(pool.submit(detach, kept))
        assert failed.wait(HANG)
        cloud.service = ControlServer(cloud.path, cloud.config)
        cloud.service.start()
        assert [one.result(HANG) for one in waiting] == [api.DomainResponse()] * 7


def test_a_connection_that_breaks(script: Script, of: Callable[..., Calls]) -> None:
    """In the middle of a call: it is repeated on another host."""
    asked, end = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        end.wait(HANG)

    first, other = script(hang), script(raising())
    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(detach, of(first.where, other.where))
        assert asked.wait(HANG)
        first.stop()
        end.set()
        assert called.result(HANG) == api.DomainResponse()
    assert other.calls == 1


def test_a_service_without_its_database(script: Script, of: Callable[..., Calls]) -> None:
    """Each host is asked once: the outage of a database lasts longer than a call."""
    error = Unavailable("OVN_Northbound: no answer in time", "ovnhook status")
    first, other = script(raising(*[error] * 9)), script(raising(*[error] * 9))
    with pytest.raises(Unavailable) as caught:
        detach(of(first.where, other.where))
    assert caught.value.message == f"{error.message}; {error.message}"
    assert caught.value.hint == error.hint
    assert (first.calls, other.calls) == (1, 1)
    third = script(raising())
    assert detach(of(first.where, third.where)) == api.DomainResponse()


def test_a_quota(script: Script, of: Callable[..., Calls]) -> None:
    """Is waited for; at the deadline the error is one of a service that is unavailable, so that a domain may start."""
    error = QuotaExceeded("quota exceeded: node hv1 has 16 RPCs open")
    busy = script(raising(error, error))
    assert detach(of(busy.where)) == api.DomainResponse()
    assert busy.calls == 3
    calls = of(script(raising(*[error] * 1000)).where)
    refusal(partial(detach, calls), "quota exceeded: node hv1 has 16")


def test_a_service_whose_queue_is_full(script: Script, of: Callable[..., Calls]) -> None:
    """Is asked again, as with any quota."""
    running, end = threading.Event(), threading.Event()

    def hang() -> None:
        running.set()
        end.wait(HANG)

    calls = of(script(hang, 1).where)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(detach, calls)
        assert running.wait(HANG)
        refusal(partial(detach, calls), "is overloaded: Concurrent RPC limit exceeded")
        end.set()
        assert first.result(HANG) == api.DomainResponse()
    assert detach(calls) == api.DomainResponse()


def test_a_service_of_an_earlier_version(
    script: Script, of: Callable[..., Calls], make_port: Callable[[], int]
) -> None:
    """Another one is asked; if there is none, what to do is said."""
    old = script(None)
    assert detach(of(old.where, script(raising()).where)) == api.DomainResponse()
    for hosts in ([old.where], [f"127.0.0.1:{make_port()}", old.where]):
        call = partial(ControlService(of(*hosts)).detach, Domain(WEB, ""), "hv1")
        error = refusal(call, "does not implement this method: it is another version")
        assert error.hint == "upgrade the control hosts first"


def test_many_calls_at_once(script: Script, of: Callable[..., Calls]) -> None:
    """A part of what the service admits is left to others; those that wait have their deadline."""
    running, most, end = threading.Semaphore(0), [0], threading.Event()
    lock, now = threading.Lock(), [0]

    def count() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        running.release()
        end.wait(HANG)
        with lock:
            now[0] -= 1

    calls = of(script(count).where)
    with ThreadPoolExecutor(30) as pool:
        called = [pool.submit(detach, calls) for _ in range(30)]
        for _ in range(module._MOST_CALLS):
            assert running.acquire(timeout=HANG)
        with pytest.raises(Unavailable, match="too many calls of the control service are in progress: the control"):
            detach(calls, Deadline.after(0.2))
        end.set()
        assert [one.result(HANG) for one in called] == [api.DomainResponse()] * 30
    assert most[0] == module._MOST_CALLS


def test_calls_that_wait_for_another_host(script: Script, of: Callable[..., Calls]) -> None:
    """Leave a part of the calls to those that others wait for: two hosts would block each other."""
    waits, running, end = replace(DETACH, waits=True), threading.Semaphore(0), threading.Event()

    def hang() -> None:
        running.release()
        end.wait(HANG)

    calls = of(script(hang).where)
    with ThreadPoolExecutor(30) as pool:
        called = [pool.submit(calls.call, waits, REQUEST, soon()) for _ in range(20)]
        called += [pool.submit(detach, calls) for _ in range(module._MOST_CALLS - module._MOST_WAITING)]
        for _ in range(module._MOST_CALLS):
            assert running.acquire(timeout=HANG)
        end.set()
        assert [one.result(HANG) for one in called] == [api.DomainResponse()] * len(called)


def test_a_renewed_certificate(cloud: ControlHost, files: Files, of: Callable[..., Calls]) -> None:
    """New calls show it, without a restart; the connection with the old one ends with its last call."""
    calls = of(cloud.api)
    detach(calls)
    (before,) = calls._channels._channels.values()
    new = cloud.enrol(cloud.create_token("hv1"))
    for old, path in ((files.key, new.key), (files.certificate, new.certificate)):
        keyfiles.write(old, path.read_bytes(), keyfiles.SECRET)
    detach(calls)
    (after,) = calls._channels._channels.values()
    assert (before == after, after[0][2]) == (False, new.certificate.read_bytes())
    detach(calls)
    assert [*calls._channels._channels.values()] == [after]


def test_a_certificate_that_is_missing(cloud: ControlHost, files: Files, of: Callable[..., Calls]) -> None:
    """Is no reason to refuse a start."""
    files.certificate.unlink()
    with pytest.raises(Unavailable, match=f"{files.certificate}: No such file") as caught:
        ControlService(of(cloud.api)).detach(Domain(WEB, ""), "hv1", soon())
    assert caught.value.hint == "ovnhook node join"


def test_the_methods_of_a_host() -> None:
    """Are declared idempotent, as they are repeated."""
    unary = [one for name, one in OWN.items() if name.startswith(f"/{SERVICE}/")]
    assert unary
    for method in unary:
        options = method.GetOptions()
        assert options.idempotency_level in (options.IDEMPOTENT, options.NO_SIDE_EFFECTS)
