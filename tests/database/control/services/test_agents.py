"""What hooks and agents of nodes ask for: real databases, real TLS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from ovnhook.api.agentmessages import domain_message, lease_index_of, lease_of, port_of
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.domains.values import Domain
from tests.database.clients import Clients, refusal
from tests.database.hypervisors import MACS, WEB, domain, interface
from tests.database.nodes import WEB1, NodeClient, error_of, leases, ports
from tests.database.southbound_rows import reports_of

UNARY = (
    *("AttachDomain", "RollBackStart", "DetachDomain", "UpdateDomainLeases", "ReleaseDomainLeases"),
    *("AnnounceMigration", "ConfirmMigration", "FinishMigration", "CancelMigration", "GetDomain", "ReportHost"),
)


def test_from_start_to_undefine(clients: Clients, node1: NodeClient) -> None:
    """Port and lease with the start; the lease stays until the domain is undefined."""
    for _ in range(2):
        assert node1.attach() == api.AttachDomainResponse(knows_security_groups=True)
        assert (ports(clients), leases(clients)) == ([("hv1", "")], [("web1", "hv1")])
    assert node1.attach(running=True) == api.AttachDomainResponse(knows_security_groups=True)
    for _ in range(2):
        node1.call("DetachDomain", Domain(WEB, "web1"))
        assert (ports(clients), leases(clients)) == ([], [("web1", "hv1")])
    renamed = replace(WEB1, name="web9", hostnames=((MACS[0], "web9"),))
    node1.call("UpdateDomainLeases", renamed)
    assert leases(clients) == [("web9", "hv1")]
    for _ in range(2):
        node1.call("ReleaseDomainLeases", Domain(WEB, ""))
        assert leases(clients) == []


def test_a_refused_start(clients: Clients, node1: NodeClient) -> None:
    """Its error has class, message and hint; a rollback leaves nothing behind."""
    before = clients.control.northbound.dump()
    wrong = domain(interface(), interface(MACS[1], "none"))
    kind, said, hint = error_of(partial(node1.attach, wrong))
    assert (kind, said.startswith(f"domain web1: interface {MACS[1]}: ")) == ("NotFound", True)
    assert hint == "ovnhook subnet list"
    node1.attach()
    node1.call("RollBackStart", WEB1)
    after = clients.control.northbound.dump()
    assert {table: len(rows) for table, rows in after.items()} == {table: len(rows) for table, rows in before.items()}


def test_a_running_domain(clients: Clients, node1: NodeClient) -> None:
    """An interface that can't be attached blocks no other; what waits for the next start is told."""
    node1.attach()
    clients.control.done("subnet", "create", "green", "10.2.0.0/24")
    answer = node1.attach(domain(interface(subnet="green"), interface(MACS[1], "none")), running=True)
    (refused,) = answer.refused
    assert (refused.error, refused.message, refused.hint) == (
        "NotFound",
        f"domain web1: interface {MACS[1]}: there is no subnet 'none'",
        "ovnhook subnet list",
    )
    assert ["takes effect at the domain's next start" in one for one in answer.pending_until_restart] == [True]


def test_a_migration(clients: Clients, node1: NodeClient, node2: NodeClient) -> None:
    """The ports are on both hosts until it is finished or cancelled."""
    node1.attach()
    node2.call("AnnounceMigration")
    assert ports(clients) == [("hv1", "hv2")]
    assert node2.attach(replace(WEB1, id=7)).arrives
    node1.call("CancelMigration", Domain(WEB, ""))
    assert ports(clients) == [("hv1", "")]
    node2.call("AnnounceMigration")
    node2.call("FinishMigration", Domain(WEB, ""))
    node1.call("DetachDomain", Domain(WEB, ""))
    assert (ports(clients), leases(clients)) == ([("hv2", "")], [("web1", "hv2")])


def test_a_domain_read(clients: Clients, node1: NodeClient, node2: NodeClient) -> None:
    """Its port, lease and lease index, whichever host has them, and the subnet."""
    assert list(node2.call("GetDomain", Domain(WEB, "")).objects) == []
    node1.attach()
    found = {one.WhichOneof("object"): one for one in node2.call("GetDomain", Domain(WEB, "")).objects}
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


def test_a_report(clients: Clients, node1: NodeClient, make_node: Callable[[str], NodeClient]) -> None:
    """Is in the host's row, with the service's time; a host without one is told why."""
    before = int(time.time())
    node1.report(agent_version="1", ovs_version="3.1", uplinks_down=["lan"], problems=["p"], mtu=1442)
    found = reports_of(clients.control.southbound, "hv1")
    assert before <= int(found["ovnhook:seen"]) <= time.time()
    assert (found["ovnhook:agent"], found["ovnhook:mtu"]) == ("1", "1442")
    node1.report(agent_version="2")
    assert "ovnhook:problems" not in reports_of(clients.control.southbound, "hv1")
    unknown = make_node("hv9")
    assert error_of(partial(unknown.report, agent_version="1")) == (
        "NotFound",
        "the southbound database does not know host hv9",
        "is ovn-controller running there?",
    )
    assert error_of(partial(node1.report, agent_version="x" * 101))[0] == "InvalidRequest"


@pytest.mark.parametrize("method", UNARY)
def test_another_host(clients: Clients, node1: NodeClient, node2: NodeClient, method: str) -> None:
    """No node may name it, whatever it asks for; nor may readers call any method, nor a host have no name."""
    node1.attach()
    before = clients.control.northbound.dump(versions=True)
    reported = reports_of(clients.control.southbound, "hv1")
    fields = {"domain": str(WEB)} if method == "ConfirmMigration" else {"domain": domain_message(WEB1)}
    fields = {} if method == "ReportHost" else fields
    node2.host = "hv1"
    assert refusal(partial(node2.any, method, **fields))[0] == "node hv2 may not change ports of host 'hv1'"
    reader = NodeClient(clients.channel("hv1", "reader"), "hv1")
    assert refusal(partial(reader.any, method, **fields))[0] == f"reader hv1 may not call ovnhook.v1.Agents/{method}"
    nobody = NodeClient(clients.channel("ann", "operator"), "")
    assert error_of(partial(nobody.any, method, **fields))[:2] == ("InvalidRequest", "host is missing")
    assert clients.control.northbound.dump(versions=True) == before
    assert reports_of(clients.control.southbound, "hv1") == reported


def test_invalid_domains(clients: Clients, node1: NodeClient) -> None:
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
            kind, message, _ = error_of(partial(node1.any, method, domain=wrong))
            assert (kind, message.startswith(said)) == ("InvalidRequest", True), message
    assert (ports(clients), leases(clients)) == ([], [])
