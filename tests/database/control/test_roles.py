"""Who may do what, by certificate: real databases, real TLS."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from lab.waiting import HANG
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2
from ovnhook.api.v1 import (
    status_pb2,
    status_pb2_grpc,
    subnets_pb2,
    subnets_pb2_grpc,
)
from ovnhook.control.server import ControlServer
from ovnhook.control.services import status
from ovnhook.control.services.health import Health
from ovnhook.control.services.subnets import Subnets
from ovnhook.control.services.watches import Changes
from tests.database.clients import DENIED, Clients, refusal
from tests.database.control_service import Control
from tests.database.southbound_rows import start_northd
from tests.methods import OWN, READING, RULES, STANDARD

METHODS = [
    method
    for method in (*OWN.values(), *STANDARD.values())
    if method.containing_service.name != "Enrolment"  # where hosts join without a certificate: test_certificates.py
]
OF_AGENTS = {method.name for method in METHODS if method.containing_service.name == "Agents"}
OF_A_HOST = {"Attach", "Detach", "CreatePort", "DeletePort", *OF_AGENTS}


def call(channel: grpc.Channel, method: MethodDescriptor) -> str:
    """The status of a call with an empty request; of a stream, that of its first answer."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.client_streaming:
            requests = iter([reflection_pb2.ServerReflectionRequest().SerializeToString()])
            next(channel.stream_stream(path)(requests, timeout=HANG))
        elif method.server_streaming:
            stream = channel.unary_stream(path)(b"", timeout=HANG)
            next(stream)
            stream.cancel()
        else:
            channel.unary_unary(path)(b"", timeout=HANG)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def denied(channel: grpc.Channel) -> set[str]:
    """The methods that one may not call, whatever for."""
    return {method.name for method in METHODS if call(channel, method) == DENIED}


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that are silent are not waited for so long; a database that answers has all the time."""
    monkeypatch.setattr(status, "_CHASSIS_TIMEOUT", 0.1)
    monkeypatch.setattr(status, "_TIMEOUT", HANG)


@pytest.mark.usefixtures("_impatient")
def test_each_role_and_each_method(clients: Clients) -> None:
    """A reader reads, a node changes besides what is its own, who has no role does nothing, the others all."""
    names = {method.name for method in METHODS}
    changing = {method.name for method in METHODS if not READING.fullmatch(f"/{method.full_name.replace('.', '/')}")}
    changing.remove("RenewCertificate")  # one's own
    changing |= OF_AGENTS  # what these read is a host's
    assert len(names) == len(RULES) - 1
    assert denied(clients.channel("nobody", "")) == names
    assert denied(clients.channel("ann", "admin")) == names
    assert denied(clients.channel("ann", "reader")) == changing
    assert denied(clients.channel("hv1", "node")) - OF_A_HOST == changing - OF_A_HOST
    assert denied(clients.channel("ann", "operator")) == set()
    assert denied(clients.channel("control2", "control")) == set()


@pytest.mark.usefixtures("_impatient")
def test_a_status_for_who_only_reads(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes northd and the hosts write no more often than once in a while, however often it is asked for."""
    northbound = clients.control.northbound
    start_northd(northbound, clients.control.southbound)

    def counted(role: str) -> int:
        request = status_pb2.GetStatusRequest()
        assert status_pb2_grpc.StatusStub(clients.channel("ann", role)).GetStatus(request, timeout=HANG).northd.active
        (row,) = northbound.dump()["NB_Global"].values()
        return int(row["nb_cfg"])

    monkeypatch.setattr(status, "MAX_AGE", 1e9)
    assert [counted(role) for role in ("operator", "reader", "node", "reader", "operator", "reader")] == [1] * 4 + [
        2
    ] * 2
    monkeypatch.setattr(status, "MAX_AGE", 0.0)
    assert counted("reader") == 3


@pytest.mark.usefixtures("_impatient")
def test_on_the_control_host(control: Control) -> None:
    """Who comes by the unix socket is an operator."""
    with control.channel() as channel:
        assert denied(channel) == set()


@pytest.mark.usefixtures("_impatient")
def test_in_the_clear(control: Control, directory: Path, port: int) -> None:
    """So is who is served in the clear, which is on this host."""
    service = ControlServer(directory / "run" / "clear.sock", replace(control.config, listen=f"127.0.0.1:{port}"))
    service.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert denied(channel) == set()
    service.stop()


def test_a_method_without_a_rule(control: Control, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused to everybody, and the command says so with an exit status of its own."""
    for service, method in ((Subnets, "ListSubnets"), (Changes, "WatchChanges"), (Health, "Check")):
        assert method in service.RULES
        kept = {name: rule for name, rule in service.RULES.items() if name != method}
        monkeypatch.setattr(service, "RULES", kept)
    other = ControlServer(directory / "run" / "other.sock", control.config)
    other.start()
    said = control.refused(9, "--socket", str(directory / "run" / "other.sock"), "subnet", "list")
    assert said == ("operator localhost may not call ovnhook.v1.Subnets/ListSubnets", "")
    with grpc.insecure_channel(f"unix:{directory / 'run' / 'other.sock'}") as channel:
        assert {"WatchChanges", "Check"} <= denied(channel)
    other.stop()


@pytest.mark.parametrize(
    ("name", "role", "why"),
    [
        ("ann", "", "unknown role ''"),
        ("ann", "admin", "unknown role 'admin'"),
        ("ann", "Operator", "unknown role 'Operator'"),
        ("a b", "operator", "invalid certificate name 'a b'"),
    ],
)
def test_certificates_that_say_no_role(clients: Clients, name: str, role: str, why: str) -> None:
    """Nothing is served, and the hint says how such a certificate is made."""
    stub = subnets_pb2_grpc.SubnetsStub(clients.channel(name, role))
    said, hint = refusal(partial(stub.ListSubnets, subnets_pb2.ListSubnetsRequest(), timeout=HANG))
    assert said == f"invalid subject of the client certificate: {why}"
    assert "/OU=ROLE/CN=NAME" in hint
