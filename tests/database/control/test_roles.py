"""Who may do what, by certificate: real databases, real TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from netaddr import IPNetwork

from lab.waiting import HANG
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2
from ovnhook.api.v1 import (
    attachments_pb2,
    attachments_pb2_grpc,
    ports_pb2,
    ports_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
    subnets_pb2,
    subnets_pb2_grpc,
)
from ovnhook.api.v1.attachments_pb2 import Interface
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import PermissionDenied
from ovnhook.control.server import ControlServer
from ovnhook.control.services import status
from ovnhook.control.services.health import Health
from ovnhook.control.services.subnets import Subnets
from ovnhook.control.services.watches import Changes
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.queries import Query
from ovnhook.domains import clientdomain
from ovnhook.domains.clientdomain import ClientInterface
from ovnhook.domains.values import Domain
from ovnhook.engine.attach import Attachment
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet.wanted import Underlay
from tests.database.control_service import Control
from tests.database.openssl import OpensslAuthority
from tests.database.southbound_rows import add_chassis, start_northd
from tests.methods import OWN, READING, RULES, STANDARD

METHODS = [
    method
    for method in (*OWN.values(), *STANDARD.values())
    if method.containing_service.name != "Enrolment"  # where hosts join without a certificate: test_certificates.py
]
OF_A_HOST = {"Attach", "Detach", "CreatePort", "DeletePort"}
DENIED = "PERMISSION_DENIED"
NIC = "52:54:00:00:00:0a"
SECOND = "52:54:00:00:00:0b"


class Clients:
    """Clients with certificates, of a service beside the one on the unix socket.

    Args:
        control: that one, which has the same databases.
        authority: signs.
        address: where the service is.
    """

    def __init__(self, control: Control, authority: OpensslAuthority, address: str) -> None:
        self.control = control
        self._authority = authority
        self._address = address
        self._opened: list[grpc.Channel] = []

    def channel(self, name: str, role: str) -> grpc.Channel:
        """One's that has a certificate of that name and role."""
        certificate, key = self._authority.sign(name, role)
        ca = self._authority.certificate.read_bytes()
        credentials = grpc.ssl_channel_credentials(ca, key.read_bytes(), certificate.read_bytes())
        self._opened.append(grpc.secure_channel(self._address, credentials))
        return self._opened[-1]

    def close(self) -> None:
        """End them."""
        for channel in self._opened:
            channel.close()


@pytest.fixture
def clients(control: Control, authority: OpensslAuthority, directory: Path, port: int) -> Iterator[Clients]:
    """Two hosts, a default subnet, and a service for clients with certificates."""
    for host in ("hv1", "hv2"):
        add_chassis(control.southbound, host, options="")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    certificate, key = authority.sign("control", "control")
    config = replace(
        control.config,
        listen=f"127.0.0.1:{port}",
        certificate=str(certificate),
        private_key=str(key),
        ca=str(authority.certificate),
    )
    service = ControlServer(directory / "run" / "tls.sock", config)
    service.start()
    made = Clients(control, authority, config.listen)
    yield made
    made.close()
    service.stop()


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
    monkeypatch.setattr(status, "_SILENCE", 0.1)
    monkeypatch.setattr(status, "_PATIENCE", HANG)


@pytest.mark.usefixtures("_impatient")
def test_each_role_and_each_method(clients: Clients) -> None:
    """A reader reads, a node changes besides what is its own, who has no role does nothing, the others all."""
    names = {method.name for method in METHODS}
    changing = {method.name for method in METHODS if not READING.fullmatch(f"/{method.full_name.replace('.', '/')}")}
    changing.remove("RenewCertificate")  # one's own
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

    monkeypatch.setattr(status, "FRESH", 1e9)
    assert [counted(role) for role in ("operator", "reader", "node", "reader", "operator", "reader")] == [1] * 4 + [
        2
    ] * 2
    monkeypatch.setattr(status, "FRESH", 0.0)
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


def refusal(answer: Callable[[], Any]) -> tuple[str, str]:
    """What is said of a call that one may not make, and what one may do."""
    with pytest.raises(grpc.RpcError) as refused:
        answer()
    assert refused.value.code().name == DENIED
    hints = [value for key, value in refused.value.trailing_metadata() if key == "ovnhook-hint"]
    return refused.value.details(), *hints


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
    assert said == f"the client's certificate does not say who it is and what it may do: {why}"
    assert "/OU=ROLE/CN=NAME" in hint


class BoxClient:
    """What somebody asks for the domain called box."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._attachments = attachments_pb2_grpc.AttachmentsStub(channel)
        self._ports = ports_pb2_grpc.PortsStub(channel)

    def attach(self, host: str, *macs: str) -> list[str]:
        """Its interfaces; the ports' ids."""
        asked = attachments_pb2.AttachRequest(name="box", host=host, interfaces=[Interface(mac=mac) for mac in macs])
        return [one.id for one in self._attachments.Attach(asked, timeout=HANG).interfaces]

    def detach(self, host: str, *, forget: bool = False) -> None:
        """All that it has there."""
        self._attachments.Detach(attachments_pb2.DetachRequest(name="box", host=host, forget=forget), timeout=HANG)

    def create(self, host: str, mac: str) -> str:
        """One interface; the port's id."""
        asked = ports_pb2.CreatePortRequest(name="box", host=host, interface=Interface(mac=mac))
        return str(self._ports.CreatePort(asked, timeout=HANG).id)

    def delete(self, port: str) -> None:
        """One interface."""
        self._ports.DeletePort(ports_pb2.DeletePortRequest(id=port), timeout=HANG)


@pytest.fixture
def hv1(clients: Clients) -> BoxClient:
    """A node that has the certificate of its chassis."""
    return BoxClient(clients.channel("hv1", "node"))


@pytest.fixture
def hv2(clients: Clients) -> BoxClient:
    """Another one."""
    return BoxClient(clients.channel("hv2", "node"))


@pytest.fixture
def operator(clients: Clients) -> BoxClient:
    """Somebody who may do everything."""
    return BoxClient(clients.channel("ann", "operator"))


def hosts(control: Control) -> dict[str, str]:
    """Where each port is."""
    return {port["id"]: port["host"] for port in control.done("port", "list", "--format", "json").json}


def test_a_node_on_its_own_chassis(clients: Clients, hv1: BoxClient) -> None:
    """It attaches and detaches, makes and deletes."""
    (first,) = hv1.attach("hv1", NIC)
    second = hv1.create("hv1", SECOND)
    assert hosts(clients.control) == {first: "hv1", second: "hv1"}
    assert hv1.attach("hv1", NIC, SECOND) == [first, second]
    hv1.delete(second)
    assert hosts(clients.control) == {first: "hv1"}
    hv1.detach("hv1")
    assert hosts(clients.control) == {}
    hv1.detach("hv1", forget=True)
    assert clients.control.done("lease", "list", "--format", "json").json == []


def test_a_node_for_another_chassis(clients: Clients, hv1: BoxClient, hv2: BoxClient) -> None:
    """It may not, whether there is something or not; the message names both."""
    said = "node hv1 may not change ports of host 'hv2'"
    for there in (False, True):
        (port,) = hv2.attach("hv2", NIC) if there else ("",)
        before = clients.control.northbound.dump(versions=True)
        calls: list[Callable[[], Any]] = []
        calls += [partial(hv1.attach, "hv2", NIC), partial(hv1.detach, "hv2"), partial(hv1.create, "hv2", NIC)]
        calls += [partial(hv1.detach, "hv2", forget=True), *([partial(hv1.delete, port)] if there else ())]
        for ask in calls:
            words, hint = refusal(ask)
            assert words == said
            assert hint
        assert refusal(partial(hv2.create, "hv1", NIC))[0] == "node hv2 may not change ports of host 'hv1'"
        assert clients.control.northbound.dump(versions=True) == before


def test_a_domain_that_another_node_has(clients: Clients, hv1: BoxClient, hv2: BoxClient, operator: BoxClient) -> None:
    """A node does not draw it to itself, not by another interface either; from where it was detached it may come."""
    (port,) = hv2.attach("hv2", NIC)
    before = clients.control.northbound.dump(versions=True)
    said = f"domain box has interface {NIC} on host 'hv2', not on hv1"
    for ask in (
        partial(hv1.attach, "hv1", NIC),
        partial(hv1.attach, "hv1", SECOND),
        partial(hv1.create, "hv1", SECOND),
    ):
        assert refusal(ask) == (said, "detach it on hv2 first, or ask as operator")
    hv1.detach("hv1")  # what is gone to another host is not taken from it, as after a migration
    hv1.detach("hv1", forget=True)
    assert clients.control.northbound.dump(versions=True) == before

    hv2.detach("hv2")
    assert hv1.attach("hv1", NIC) == [port]
    assert hosts(clients.control) == {port: "hv1"}
    hv2.detach("hv2", forget=True)
    assert refusal(partial(hv2.delete, port))[0] == "node hv2 may not change ports of host 'hv1'"
    assert hosts(clients.control) == {port: "hv1"}
    assert operator.attach("hv2", NIC) == [port]
    assert hosts(clients.control) == {port: "hv2"}
    hv2.delete(port)
    assert hosts(clients.control) == {}


def test_a_port_of_libvirt_that_migrates(clients: Clients, hv1: BoxClient, hv2: BoxClient) -> None:
    """It is on the host that has it, until that one has let go; and it is libvirt's on either."""
    domain = clients.control.attach("web1", "blue")
    attachment = attachment_at(Northbound(clients.control.northbound.remote))
    attachment.announce(domain, "hv2", Deadline.after(HANG))
    (port,) = hosts(clients.control)
    before = clients.control.northbound.dump(versions=True)
    assert refusal(partial(hv2.delete, port))[0] == "node hv2 may not change ports of host 'hv1'"
    with pytest.raises(grpc.RpcError) as refused:
        hv1.delete(port)
    assert refused.value.code().name == "FAILED_PRECONDITION"
    assert clients.control.northbound.dump(versions=True) == before


def test_long_names(hv1: BoxClient) -> None:
    """Are answered as well."""
    for host in ("x" * 100_000, "é" * 10_000, "\n", "\x1b[31m"):
        assert refusal(partial(hv1.detach, host))[0].startswith("node hv1 may not change ports of host '")


def attachment_at(northbound: Northbound) -> Attachment:
    """What attaches, at a database."""
    return Attachment(northbound, IPNetwork("10.240.0.0/16"), lambda _: Underlay())


class OvertakenAfterReading(Northbound):
    """A database in which something happens once a domain was looked at.

    Args:
        remote: of it.
        reads: how often the domain was looked at by then.
        meanwhile: what happens.
    """

    def __init__(self, remote: str, reads: int, meanwhile: Callable[[], Any]) -> None:
        super().__init__(remote)
        self._left = reads
        self._meanwhile = meanwhile

    def ask(self, observed: Observed, wanted: Iterable[Query], deadline: Deadline) -> Observed:
        """What there is of it, which is no more so."""
        found = super().ask(observed, wanted, deadline)
        self._left -= 1
        if self._left == 0:
            self._meanwhile()
        return found


def box(*macs: str) -> Domain:
    """The domain."""
    return clientdomain.make("", "box", [ClientInterface(mac=mac) for mac in macs])


@pytest.mark.parametrize("mac", [NIC, SECOND])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("reads", [1, 2])
def test_a_domain_that_another_node_attaches_meanwhile(
    clients: Clients, hv2: BoxClient, operator: BoxClient, mac: str, known: bool, reads: int
) -> None:
    """Who comes second is refused, and takes nothing, whichever interface it is and whether the domain is known."""
    if known:
        operator.attach("hv1", NIC, SECOND)
        operator.detach("hv1")
    northbound = OvertakenAfterReading(clients.control.northbound.remote, reads, lambda: hv2.attach("hv2", NIC))
    with pytest.raises(PermissionDenied, match="on host 'hv2', not on hv1"):
        attachment_at(northbound).attach(box(mac), "hv1", Deadline.after(HANG), take_over=False)
    assert list(hosts(clients.control).values()) == ["hv2"]
