"""What a node may do with the domains of other hosts, if it lies: real databases, real TLS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
import pytest

from ovnhook.api.agentmessages import domain_message
from ovnhook.control import hostfeed
from ovnhook.domains.values import Domain, InterfaceRequest, InterfaceType
from tests.database.clients import Clients
from tests.database.hostwatch import HostWatch
from tests.database.hypervisors import MACS, MAIL, WEB, domain, interface
from tests.database.nodes import WEB1, NodeClient, error_of, leases, ports
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import set_reports

OTHER_NIC = domain(interface(MACS[1]))
ELSEWHERE = f"domain web1 has interface {MACS[0]} on host 'hv1', not on hv2"


@pytest.fixture
def running(clients: Clients, node1: NodeClient) -> NodeClient:
    """Node hv1, whose agent is alive, and on which web1 runs."""
    node1.report(agent_version="1")
    node1.attach()
    return node1


def stale(clients: Clients, host: str, seen: str = "") -> None:
    """Make a host's last report old."""
    old = seen or str(int(time.time()) - 100)
    set_reports(clients.control.southbound, host, seen=old, api=old)


@pytest.mark.parametrize("wanted", [WEB1, OTHER_NIC, domain(interface(), interface(MACS[1])), domain(name="other")])
def test_a_domain_that_runs_on_another_host(
    clients: Clients, running: NodeClient, node2: NodeClient, wanted: Domain
) -> None:
    """By its UUID a node neither takes, binds, renames, releases nor moves it, whatever interfaces it names."""
    before = clients.control.northbound.dump(versions=True)
    if wanted.interfaces:
        kind, said, hint = error_of(partial(node2.attach, wanted))
        assert (kind, said) == ("PermissionDenied", ELSEWHERE)
        assert hint.startswith("on hv1: virsh shutdown web1; if that host is down, retry")
    node2.attach(wanted, running=True)
    for method in (
        *("RollBackStart", "DetachDomain", "UpdateDomainLeases", "ReleaseDomainLeases"),
        *("FinishMigration", "CancelMigration", "GetDomain"),
    ):
        node2.call(method, wanted)
    kind, said, _ = error_of(partial(node2.confirm, "hv2"))
    assert (kind, said) == ("FailedPrecondition", f"domain {WEB} is not on hv2, which can't confirm its migration")
    assert clients.control.northbound.dump(versions=True) == before


def test_a_domain_that_does_not_run(clients: Clients, running: NodeClient, node2: NodeClient) -> None:
    """Its leases stay with its host, until another one starts it: then they follow."""
    running.call("DetachDomain")
    before = clients.control.northbound.dump(versions=True)
    renamed = Domain(WEB, "other")
    for method in ("RollBackStart", "DetachDomain", "UpdateDomainLeases", "ReleaseDomainLeases", "CancelMigration"):
        node2.call(method, renamed)
    assert clients.control.northbound.dump(versions=True) == before
    node2.attach()
    assert (ports(clients), leases(clients)) == ([("hv2", "")], [("web1", "hv2")])
    running.call("ReleaseDomainLeases")
    assert leases(clients) == [("web1", "hv2")]


@pytest.mark.usefixtures("_long_up")
@pytest.mark.parametrize("gone", ["silent", "removed"])
def test_a_domain_of_a_dead_host(clients: Clients, running: NodeClient, node2: NodeClient, gone: str) -> None:
    """Another one may start it: its ports and leases follow."""
    if gone == "silent":
        stale(clients, "hv1")
    else:
        clients.control.southbound.transact(
            {"op": "delete", "table": "Chassis_Private", "where": [["name", "==", "hv1"]]}
        )
    node2.attach(running=True)  # not without a start: the domain may run there after all
    assert ports(clients) == [("hv1", "")]
    node2.attach()
    assert (ports(clients), leases(clients)) == ([("hv2", "")], [("web1", "hv2")])
    running.call("DetachDomain")
    assert ports(clients) == [("hv2", "")]


def test_hosts_after_an_outage(clients: Clients, running: NodeClient, node2: NodeClient) -> None:
    """While no control service ran, nobody could report: the first one that is back takes nothing from the others."""
    stale(clients, "hv1")
    assert error_of(node2.attach)[:2] == ("PermissionDenied", ELSEWHERE)
    running.report(agent_version="1")
    assert error_of(node2.attach)[:2] == ("PermissionDenied", ELSEWHERE)


@pytest.mark.usefixtures("_long_up")
@pytest.mark.parametrize("seen", ["9" * 5_000, "9" * 400, "9" * 10, "-1", "²", "x"], ids=lambda seen: seen[:3])
def test_a_report_that_is_nonsense(clients: Clients, running: NodeClient, node2: NodeClient, seen: str) -> None:
    """A node that writes one keeps no domain by that: neither for ever, nor by an error of whoever reads it."""
    stale(clients, "hv1", seen)
    node2.attach()
    assert ports(clients) == [("hv2", "")]


@pytest.mark.usefixtures("_long_up")
def test_a_host_whose_agent_watches(clients: Clients, running: NodeClient, node2: NodeClient) -> None:
    """It is alive, whatever its last report says, until its stream ends."""
    stale(clients, "hv1")
    watch = HostWatch(clients.channel("hv1", "node"), "hv1")
    watch.next()
    assert error_of(node2.attach)[:2] == ("PermissionDenied", ELSEWHERE)
    watch.call.cancel()

    def attached() -> bool:
        try:
            node2.attach()
        except grpc.RpcError:
            return False
        return True

    wait_for(attached)
    assert ports(clients) == [("hv2", "")]


def test_an_ordinary_start(clients: Clients, node1: NodeClient) -> None:
    """It does not need the southbound database."""
    clients.control.southbound.stop()
    node1.attach()
    node1.attach(running=True)
    node1.call("DetachDomain")
    node1.attach()
    assert leases(clients) == [("web1", "hv1")]


def test_what_another_domain_has(clients: Clients, running: NodeClient, node2: NodeClient) -> None:
    """Neither its address, its MAC address, its host name, its interface ID nor its isolated subnet is for others."""
    own = domain(replace(interface(), request=InterfaceRequest(f"isolated-{WEB}", isolated=True)), name="web1")
    running.attach(own)
    isolated = f"isolated-{WEB}"
    found = {one.WhichOneof("object"): one for one in running.call("GetDomain").objects}
    assert found["port"].port.subnet == isolated
    running.attach()
    found = {one.WhichOneof("object"): one for one in running.call("GetDomain").objects}
    address, port_id = found["lease"].lease.address, found["port"].port.id
    before = clients.control.northbound.dump(versions=True)

    def thief(**changes: Any) -> Domain:
        request = {name: changes.pop(name) for name in ("subnet", "hostname") if name in changes}
        nic = replace(interface(MACS[3], address=changes.pop("address", "")), **changes)
        return Domain(
            MAIL, "thief", 1, (replace(nic, request=replace(nic.request, **request)),), (changes.get("mac", MACS[3]),)
        )

    network = InterfaceType.NETWORK
    for wanted, kind, said in (
        (thief(address=address), "AlreadyExists", f"address {address} of subnet blue is leased to domain web1"),
        (thief(mac=MACS[0]), "AlreadyExists", f"MAC address {MACS[0]} of subnet blue is that of domain web1 on hv1"),
        (thief(hostname="web1"), "AlreadyExists", "host name 'web1' of subnet blue is that of domain web1 on hv1"),
        (thief(interface_id=port_id), "AlreadyExists", f"interfaceid {port_id} belongs to domain web1 on hv1"),
        (thief(subnet=isolated), "InvalidRequest", f"subnet {isolated} is another domain's own"),
        (thief(portgroup=isolated, kind=network), "InvalidRequest", f"subnet {isolated} is another domain's own"),
        (thief(network=isolated, kind=network), "InvalidRequest", f"subnet {isolated} is another domain's own"),
    ):
        if isolated in said:
            running.attach(domain(own.interfaces[0], interface(MACS[1])))
            before = clients.control.northbound.dump(versions=True)
        error = error_of(partial(node2.attach, wanted))
        assert (error[0], said in error[1]) == (kind, True), error
        (refused,) = node2.attach(wanted, running=True).refused
        assert (refused.error, said in refused.message) == (kind, True), refused
        assert clients.control.northbound.dump(versions=True) == before


def test_a_domain_of_an_api_client(clients: Clients, node1: NodeClient, node2: NodeClient) -> None:
    """Is not libvirt's, on no host, whatever its agent asks; that it has leases is enough."""
    clients.control.done("port", "create", "box", "--host", "hv1")
    (port,) = clients.control.done("port", "list", "--format", "json").json
    box = Domain(uuid=type(WEB)(port["domain"]), name="box", interfaces=(interface(port["mac"]),), macs=(port["mac"],))
    before = clients.control.northbound.dump(versions=True)
    for node in (node1, node2):
        for method in (
            *("RollBackStart", "DetachDomain", "UpdateDomainLeases", "ReleaseDomainLeases"),
            *("AnnounceMigration", "FinishMigration", "CancelMigration"),
        ):
            assert error_of(partial(node.call, method, box)) == (
                "FailedPrecondition",
                "domain box is managed by a client of the API on hv1, not by libvirt",
                "ovnhook port list --domain box; ovnhook port delete ID",
            )
        for running in (False, True):
            assert error_of(partial(node.attach, box, running=running))[0] == "FailedPrecondition"
        assert error_of(partial(node.confirm, "hv2", box.uuid))[0] == "FailedPrecondition"
    assert clients.control.northbound.dump(versions=True) == before


def test_the_rows_of_a_host(clients: Clients, node1: NodeClient, node2: NodeClient, monkeypatch: Any) -> None:
    """Are limited: what would be one too many is refused, and takes nothing from other hosts."""
    monkeypatch.setattr(hostfeed, "MAX_ROWS", 5)
    node1.attach()  # three rows, which the service knows when they are streamed
    two = Domain(MAIL, "mail", 1, (interface(MACS[2]),), (MACS[2],))
    watch = HostWatch(clients.channel("hv1", "node"), "hv1")
    watch.until(lambda: {"port", "lease", "leases"} <= {name.split()[0] for name in watch.shown})
    kind, said, _ = error_of(partial(node1.attach, two))
    assert (kind, said) == ("Exhausted", "domain mail: host hv1 has the maximum number of ports and leases")
    node1.attach(replace(WEB1, name="web1"), running=True)
    node2.attach(two)
    assert sorted(leases(clients)) == [("mail", "hv2"), ("web1", "hv1")]


def test_unknown_domains(clients: Clients, node1: NodeClient, make_node: Callable[[str], NodeClient]) -> None:
    """Nothing is changed, and nothing is an error."""
    before = clients.control.northbound.dump(versions=True)
    for method in (
        *("RollBackStart", "DetachDomain", "UpdateDomainLeases", "ReleaseDomainLeases"),
        *("AnnounceMigration", "FinishMigration", "CancelMigration"),
    ):
        node1.any(method, domain=domain_message(WEB1))
    assert clients.control.northbound.dump(versions=True) == before
