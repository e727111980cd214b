"""How long the service takes: no longer than a client lets it, and nothing is written for one that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from ovnhook.api.protos import message_class
from ovnhook.api.v1 import leases_pb2, routers_pb2, subnets_pb2
from ovnhook.control import calls
from tests.database.control_service import Control
from tests.database.ovsdb_server import wait_for
from tests.methods import OWN

METHODS = [
    method
    for method in OWN.values()
    if not method.server_streaming
    and method.name not in ("GetNode", "GetStatus")
    and method.containing_service.name not in ("Certificates", "Enrolment")
]
"""Those that have nothing to say while the northbound database is silent: GetStatus tells just that.

Those about certificates, which need an authority, are in test_certificates.py.
"""

REQUESTS = {
    "CreateSubnet": subnets_pb2.CreateSubnetRequest(subnet=subnets_pb2.Subnet(name="green", cidr="10.2.0.0/24")),
    "UpdateSubnet": subnets_pb2.UpdateSubnetRequest(
        subnet=subnets_pb2.Subnet(name="blue", mtu=1300), update_mask={"paths": ["mtu"]}
    ),
    "DeleteSubnet": subnets_pb2.DeleteSubnetRequest(name="blue"),
    "CreateRouter": routers_pb2.CreateRouterRequest(router=routers_pb2.Router(name="lab")),
    "ReleaseLease": leases_pb2.ReleaseLeaseRequest(address="10.1.0.11"),
}
"""What would change something; the other methods are called with nothing."""


@pytest.fixture
def channel(control: Control) -> Iterator[grpc.Channel]:
    """A client's, of a service with a subnet and a lease."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.stop(control.attach("web1", "blue", "10.1.0.11"))
    with control.channel() as made:
        yield made


def status(channel: grpc.Channel, method: Any, timeout: float | None) -> str:
    """How a call ends."""
    request = REQUESTS.get(method.name, message_class(method.input_type)())
    call = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=message_class(method.output_type).FromString,
    )
    try:
        call(request, timeout=timeout)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_database_that_is_silent(control: Control, channel: grpc.Channel, method: Any) -> None:
    """The client hears of it in time, and nothing is written when the database goes on."""
    before = control.northbound.dump(versions=True)
    control.northbound.pause()
    try:
        found = {status(channel, method, timeout) for timeout in (0.001, 0.3)}
    finally:
        control.northbound.resume()
    # What is wrong in itself is told without asking the database.
    assert found <= {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT"}
    if method.name in REQUESTS:
        assert "INVALID_ARGUMENT" not in found
    assert control.northbound.dump(versions=True) == before


def test_more_calls_than_threads_while_it_is_silent(control: Control, channel: grpc.Channel) -> None:
    """Those that wait are ended in time as well, and none is carried out when nobody waits for it any more."""
    before = control.northbound.dump(versions=True)
    writes = [method for method in METHODS if method.name in REQUESTS]
    control.northbound.pause()
    try:
        with ThreadPoolExecutor(60) as pool:
            found = set(pool.map(lambda number: status(channel, writes[number % len(writes)], 1.0), range(60)))
    finally:
        control.northbound.resume()
    assert found <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert control.done("subnet", "list", "--format", "json").json[0]["name"] == "blue"
    assert control.northbound.dump(versions=True) == before


def test_a_client_that_sets_none(control: Control, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given the usual time, and not the longest."""
    monkeypatch.setattr(calls, "_DEFAULT_TIMEOUT", 0.5)
    monkeypatch.setattr(calls, "_MAX_TIMEOUT", 1e6)
    control.northbound.pause()
    try:
        assert status(channel, next(method for method in METHODS if method.name == "ListPorts"), None) == "UNAVAILABLE"
    finally:
        control.northbound.resume()


def test_little_time_is_enough(control: Control, channel: grpc.Channel) -> None:
    """A client that is in a hurry is served as long as there is time."""
    method = next(method for method in METHODS if method.name == "ListPorts")
    wait_for(lambda: status(channel, method, 0.15) == "OK")
