"""Roles of hosts: each attaches domains to its own chassis alone. Real databases, real TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import grpc
import pytest
from netaddr import IPNetwork

from lab.waiting import HANG
from ovnhook.api.v1 import (
    attachments_pb2,
    attachments_pb2_grpc,
    ports_pb2,
    ports_pb2_grpc,
)
from ovnhook.api.v1.attachments_pb2 import Interface
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import PermissionDenied
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.queries import Query
from ovnhook.domains import clientdomain
from ovnhook.domains.clientdomain import ClientInterface
from ovnhook.domains.presence import AgentState
from ovnhook.domains.values import Domain
from ovnhook.engine.attach import Attachment
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet.request import Underlay
from tests.database.clients import NIC, Clients, refusal
from tests.database.control_service import Control

SECOND = "52:54:00:00:00:0b"


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

    def query(self, observed: Observed, wanted: Iterable[Query], deadline: Deadline) -> Observed:
        """What there is of it, which is no more so."""
        found = super().query(observed, wanted, deadline)
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
        attachment_at(northbound).attach(box(mac), "hv1", Deadline.after(HANG), find_state=lambda _: AgentState.ALIVE)
    assert list(hosts(clients.control).values()) == ["hv2"]
