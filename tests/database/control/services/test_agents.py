"""What hooks and agents of nodes ask for: real databases, real TLS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api import hints
from ovnhook.api.agentmessages import domain_message, lease_index_of, lease_of, port_of
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.api.v1 import agents_pb2_grpc
from ovnhook.domains.values import Domain
from tests.database.clients import Clients, refusal
from tests.database.hypervisors import MACS, WEB, domain, interface
from tests.database.southbound_rows import reports_of

WEB1 = domain(interface())
UNARY = (
    *("AttachDomain", "RollBackStart", "DetachDomain", "UpdateDomainLeases", "ReleaseDomainLeases"),
    *("AnnounceMigration", "ConfirmMigration", "FinishMigration", "CancelMigration", "GetDomain", "ReportHost"),
)


class NodeClient:
    """A client that calls for a host.

    Args:
        channel: to the service.
        host: that it names.
    """

    def __init__(self, channel: grpc.Channel, host: str) -> None:
        self._stub = agents_pb2_grpc.AgentsStub(channel)
        self.host = host

    def attach(self, wanted: Domain = WEB1, *, running: bool = False) -> api.AttachDomainResponse:
        """Attach a domain."""
        request = api.AttachDomainRequest(host=self.host, domain=domain_message(wanted), running=running)
        answer: api.AttachDomainResponse = self._stub.AttachDomain(request, timeout=HANG)
        return answer

    def call(self, method: str, wanted: Domain = WEB1) -> Any:
        """Call a method with a DomainRequest."""
        request = api.DomainRequest(host=self.host, domain=domain_message(wanted))
        return getattr(self._stub, method)(request, timeout=HANG)

    def confirm(self, destination: str, uuid: UUID = WEB) -> None:
        """Confirm a migration."""
        request = api.ConfirmMigrationRequest(host=self.host, domain=str(uuid), destination=destination)
        self._stub.ConfirmMigration(request, timeout=HANG)

    def report(self, **fields: Any) -> None:
        """Report the host's status."""
        self._stub.ReportHost(api.ReportHostRequest(host=self.host, **fields), timeout=HANG)

    def any(self, method: str, **fields: Any) -> Any:
        """Call any method with these fields."""
        message = {"AttachDomain": "AttachDomain", "ConfirmMigration": "ConfirmMigration", "ReportHost": "ReportHost"}
        request = getattr(api, f"{message.get(method, 'Domain')}Request")(host=self.host, **fields)
        return getattr(self._stub, method)(request, timeout=HANG)


@pytest.fixture
def make_node(clients: Clients) -> Callable[[str], NodeClient]:
    """Function that makes the client of a node, with its certificate."""
    return lambda name: NodeClient(clients.channel(name, "node"), name)


@pytest.fixture
def hv1(make_node: Callable[[str], NodeClient]) -> NodeClient:
    """A node."""
    return make_node("hv1")


@pytest.fixture
def hv2(make_node: Callable[[str], NodeClient]) -> NodeClient:
    """Another one."""
    return make_node("hv2")


def ports(clients: Clients) -> list[tuple[str, str]]:
    """Host and destination of every port."""
    found = clients.control.done("port", "list", "--format", "json").json
    return [(port["host"], port["moving_to"]) for port in found]


def leases(clients: Clients) -> list[tuple[str, str]]:
    """Domain and host of every lease."""
    found = clients.control.done("lease", "list", "--format", "json").json
    return [(lease["domain_name"], lease["host"]) for lease in found]


def error_of(call: Callable[[], Any]) -> tuple[str, str, str]:
    """Class, message and hint of the error of a call."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    found = caught.value.trailing_metadata()
    return hints.error_class(found), caught.value.details(), hints.hint(found)


def test_from_start_to_undefine(clients: Clients, hv1: NodeClient) -> None:
    """Port and lease with the start; the lease stays until the domain is undefined."""
    for _ in range(2):
        assert hv1.attach() == api.AttachDomainResponse()
        assert (ports(clients), leases(clients)) == ([("hv1", "")], [("web1", "hv1")])
    assert hv1.attach(running=True) == api.AttachDomainResponse()
    for _ in range(2):
        hv1.call("DetachDomain", Domain(WEB, "web1"))
        assert (ports(clients), leases(clients)) == ([], [("web1", "hv1")])
    renamed = replace(WEB1, name="web9", hostnames=((MACS[0], "web9"),))
    hv1.call("UpdateDomainLeases", renamed)
    assert leases(clients) == [("web9", "hv1")]
    for _ in range(2):
        hv1.call("ReleaseDomainLeases", Domain(WEB, ""))
        assert leases(clients) == []


def test_a_refused_start(clients: Clients, hv1: NodeClient) -> None:
    """Its error has class, message and hint; a rollback leaves nothing behind."""
    before = clients.control.northbound.dump()
    wrong = domain(interface(), interface(MACS[1], "none"))
    kind, said, hint = error_of(partial(hv1.attach, wrong))
    assert (kind, said.startswith(f"domain web1: interface {MACS[1]}: ")) == ("NotFound", True)
    assert hint == "ovnhook subnet list"
    hv1.attach()
    hv1.call("RollBackStart", WEB1)
    after = clients.control.northbound.dump()
    assert {table: len(rows) for table, rows in after.items()} == {table: len(rows) for table, rows in before.items()}


def test_a_running_domain(clients: Clients, hv1: NodeClient) -> None:
    """An interface that can't be attached blocks no other; what waits for the next start is told."""
    hv1.attach()
    clients.control.done("subnet", "create", "green", "10.2.0.0/24")
    answer = hv1.attach(domain(interface(subnet="green"), interface(MACS[1], "none")), running=True)
    (refused,) = answer.refused
    assert (refused.error, refused.message, refused.hint) == (
        "NotFound",
        f"domain web1: interface {MACS[1]}: there is no subnet 'none'",
        "ovnhook subnet list",
    )
    assert ["takes effect at the domain's next start" in one for one in answer.pending_until_restart] == [True]


def test_a_migration(clients: Clients, hv1: NodeClient, hv2: NodeClient) -> None:
    """The ports are on both hosts until it is finished or cancelled."""
    hv1.attach()
    hv2.call("AnnounceMigration")
    assert ports(clients) == [("hv1", "hv2")]
    assert hv2.attach(replace(WEB1, id=7)).arrives
    hv1.call("CancelMigration", Domain(WEB, ""))
    assert ports(clients) == [("hv1", "")]
    hv2.call("AnnounceMigration")
    hv2.call("FinishMigration", Domain(WEB, ""))
    hv1.call("DetachDomain", Domain(WEB, ""))
    assert (ports(clients), leases(clients)) == ([("hv2", "")], [("web1", "hv2")])


def test_a_domain_read(clients: Clients, hv1: NodeClient, hv2: NodeClient) -> None:
    """Its port, lease and lease index, whichever host has them, and the subnet."""
    assert list(hv2.call("GetDomain", Domain(WEB, "")).objects) == []
    hv1.attach()
    found = {one.WhichOneof("object"): one for one in hv2.call("GetDomain", Domain(WEB, "")).objects}
    port, lease, index = (
        port_of(found["port"].port),
        lease_of(found["lease"].lease),
        lease_index_of(found["leases"].leases),
    )
    assert (port.host, port.mac, port.domain, port.intact) == ("hv1", MACS[0], WEB, True)
    assert (lease.subnet, (lease.address,), lease.host) == ("blue", port.addresses, "hv1")
    assert index.leases == ((MACS[0], "blue", lease.address),)
    assert (found["subnet"].subnet.name, found["subnet"].subnet.mtu > 1000) == ("blue", True)
    assert {one.id for one in found.values()} <= {
        uuid
        for table in ("Logical_Switch_Port", "DNS", "Logical_Switch")
        for uuid in clients.control.northbound.dump()[table]
    }


def test_a_report(clients: Clients, hv1: NodeClient, make_node: Callable[[str], NodeClient]) -> None:
    """Is in the host's row, with the service's time; a host without one is told why."""
    before = int(time.time())
    hv1.report(agent_version="1", ovs_version="3.1", uplinks_down=["lan"], problems=["p"], mtu=1442)
    found = reports_of(clients.control.southbound, "hv1")
    assert before <= int(found["ovnhook:seen"]) <= time.time()
    assert (found["ovnhook:agent"], found["ovnhook:mtu"]) == ("1", "1442")
    hv1.report(agent_version="2")
    assert "ovnhook:problems" not in reports_of(clients.control.southbound, "hv1")
    unknown = make_node("hv9")
    assert error_of(partial(unknown.report, agent_version="1")) == (
        "NotFound",
        "the southbound database does not know host hv9",
        "is ovn-controller running there?",
    )
    assert error_of(partial(hv1.report, agent_version="x" * 101))[0] == "InvalidRequest"


@pytest.mark.parametrize("method", UNARY)
def test_another_host(clients: Clients, hv1: NodeClient, hv2: NodeClient, method: str) -> None:
    """No node may name it, whatever it asks for; nor may readers call any method, nor a host have no name."""
    hv1.attach()
    before = clients.control.northbound.dump(versions=True)
    reported = reports_of(clients.control.southbound, "hv1")
    fields = {"domain": str(WEB)} if method == "ConfirmMigration" else {"domain": domain_message(WEB1)}
    fields = {} if method == "ReportHost" else fields
    hv2.host = "hv1"
    assert refusal(partial(hv2.any, method, **fields))[0] == "node hv2 may not change ports of host 'hv1'"
    reader = NodeClient(clients.channel("hv1", "reader"), "hv1")
    assert refusal(partial(reader.any, method, **fields))[0] == f"reader hv1 may not call ovnhook.v1.Agents/{method}"
    nobody = NodeClient(clients.channel("ann", "operator"), "")
    assert error_of(partial(nobody.any, method, **fields))[:2] == ("InvalidRequest", "host is missing")
    assert clients.control.northbound.dump(versions=True) == before
    assert reports_of(clients.control.southbound, "hv1") == reported


def test_invalid_domains(clients: Clients, hv1: NodeClient) -> None:
    """A node may lie: each is refused, and the message names the value."""
    good = domain_message(WEB1)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"uuid": "x"}, "domain.uuid 'x' is not a UUID"),
        ({"id": -2}, "domain.id -2: expected -1 or a positive number"),
        ({"name": "x" * 2000}, "domain.name: more than 1024 characters"),
        ({"macs": []}, f"domain.macs: {MACS[0]} of its interfaces is missing"),
        ({"defined_only_macs": ["x"]}, "'x' is not a MAC address"),
    ]
    for change, said in changes:
        wrong = api.LibvirtDomain()
        wrong.CopyFrom(good)
        for name, value in change.items():
            wrong.ClearField(name)
            wrong.MergeFrom(api.LibvirtDomain(**{name: value}))
        for method in ("AttachDomain", "DetachDomain", "GetDomain"):
            kind, message, _ = error_of(partial(hv1.any, method, domain=wrong))
            assert (kind, message.startswith(said)) == ("InvalidRequest", True), message
    assert (ports(clients), leases(clients)) == ([], [])
