"""What concerns a host, as its agent follows it: of a real database, through a real service."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base import uuids
from ovnhook.control import backlog, calls, hostfeed, hostindex, listener, server
from ovnhook.control.admission import CallKind
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import key, mutate, set_keys
from tests.database.clients import Clients, refusal
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.hostwatch import HostWatch, name
from tests.database.hypervisors import soon
from tests.database.ovsdb_server import wait_for

SUBNET = "subnet blue 1442"
SHARED = ["router gateway", SUBNET]
WEB1 = ["lease web1 10.1.0.20", "leases web1 1", "name web1 10.1.0.20", "port web1 hv1", *SHARED]


@pytest.fixture
def cloud(control: Control) -> Control:
    """A control service with a subnet, and no domain."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default", "--mtu", "1442")
    return control


@pytest.fixture
def watch(cloud: Control, channel: grpc.Channel) -> HostWatch:
    """A stream of hv1, of which the first update was received."""
    found = HostWatch(channel, "hv1")
    update = found.next()
    assert update.full
    found.until(lambda: found.shown == SHARED)  # the service may see the subnet later than who has created it
    found.updates = 1
    return found


def end(control: Control, *watches: HostWatch) -> None:
    """Change a subnet, which concerns all hosts, and receive updates up to that."""
    control.done("subnet", "create", "last", "10.99.0.0/24", "--no-router", "--mtu", "1300")
    for watch in watches:
        watch.until(lambda watch=watch: "subnet last 1300" in watch.shown)  # type: ignore[misc]


def shown(update: api.HostUpdate) -> list[str]:
    """Names of the objects of an update."""
    return sorted(map(name, update.objects))


def test_a_transaction_is_an_update(cloud: Control, channel: grpc.Channel, watch: HostWatch) -> None:
    """Of the hosts that it concerns; the others receive nothing."""
    other = HostWatch(channel, "hv2")
    other.next()
    domain = cloud.attach("web1", "blue", "10.1.0.20")
    update = watch.next()
    assert not update.full
    assert watch.shown == WEB1
    assert len(update.objects) == 4
    cloud.northbound.transact(
        {"op": "update", "table": "Logical_Switch_Port", "where": [["name", "!=", ""]], "row": {"up": True}}
    )
    cloud.stop(domain)
    update = watch.next()
    assert shown(update) == ["gone", "gone"]
    assert watch.shown == [*WEB1[:2], *SHARED]
    cloud.done("subnet", "set", "blue", "--mtu", "1400")
    assert shown(watch.next()) == ["subnet blue 1400"]
    DirectHost(cloud.config).release_leases(domain.uuid, soon())
    assert shown(watch.next()) == ["gone", "gone"]
    end(cloud, watch, other)
    assert (watch.updates, other.updates) == (6, 3)
    fresh = HostWatch(channel, "hv1")
    fresh.next()
    assert fresh.known == watch.known


def test_subnets_and_routers(cloud: Control, watch: HostWatch) -> None:
    """Every host has them, with what its own network needs; which subnet is the default, too."""
    blue = watch.known[str(uuids.switch("blue"))].subnet
    assert [*blue.networks, *blue.gateways, blue.router] == ["10.1.0.0/24", "10.1.0.1", "gateway"]
    assert blue.default
    cloud.done("subnet", "set", "blue", "--dns", "10.1.0.53", "--domain", "blue.example")
    (changed,) = watch.next().objects
    assert [*changed.subnet.dns, changed.subnet.dns_domain] == ["10.1.0.53", "blue.example"]
    cloud.done("subnet", "create", "red", "10.2.0.0/24", "--no-router")
    assert shown(watch.next()) == ["subnet red 1442"]
    cloud.done("subnet", "set", "red", "--default")
    update = watch.next()
    assert {one.subnet.name: one.subnet.default for one in update.objects} == {"red": True, "blue": False}
    external = ("--physical-network", "outside", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.1")
    assert cloud.ovnhook("router", "set", "gateway", *external).status == 0  # with a warning: there is no gateway host
    (changed,) = watch.next().objects
    router = changed.router
    assert [router.physical_network, *router.addresses, *router.next_hops] == [external[place] for place in (1, 3, 5)]
    cloud.done("subnet", "delete", "red")
    assert shown(watch.next()) == ["gone"]
    with cloud.channel() as channel:
        fresh = HostWatch(channel, "hv1")
        fresh.next()
        assert fresh.known == watch.known


def test_names(cloud: Control, channel: grpc.Channel, watch: HostWatch) -> None:
    """A host knows those of the subnets that its guests reach, within the transaction; others receive nothing."""
    cloud.done("subnet", "create", "red", "10.2.0.0/24")
    other = HostWatch(channel, "hv2")
    other.next()
    watch.next()
    cloud.attach("mail", "red", "10.2.0.20", "52:54:00:00:00:02")
    assert "name mail 10.2.0.20" in shown(watch.next())
    domain = cloud.attach("web1", "blue", "10.1.0.20")
    assert "name web1 10.1.0.20" in shown(watch.next())
    cloud.done("subnet", "set", "red", "--isolated")
    assert shown(watch.next()) == ["subnet red 1442"]  # the host has a port in both scopes
    cloud.stop(domain)
    assert shown(watch.next()) == ["gone", "gone"]
    cloud.done("subnet", "set", "red", "--no-isolated")
    assert shown(watch.next()) == ["name web1 10.1.0.20", "subnet red 1442"]
    DirectHost(cloud.config).release_leases(domain.uuid, soon())
    assert shown(watch.next()) == ["gone", "gone", "gone"]
    end(cloud, watch, other)
    assert other.updates == 4  # of subnets


def test_both_hosts_of_a_migration(cloud: Control, channel: grpc.Channel, watch: HostWatch) -> None:
    """Have the port and the lease index from its request until it ends; leases stay with the source."""
    domain = cloud.attach("web1", "blue", "10.1.0.20")
    watch.next()
    other = HostWatch(channel, "hv2")
    other.next()
    assert other.shown == SHARED
    row = {"op": "mutate", "table": "DNS", "where": [["_uuid", "==", ["uuid", str(uuids.domain(domain.uuid))]]]}
    requested = ["map", [["ovnhook:requested-by", "hv2"]]]
    cloud.northbound.transact({**row, "mutations": [["external_ids", "insert", requested]]})
    for each in (watch, other):
        (one,) = each.next().objects
        assert (one.leases.host, one.leases.requested_by) == ("hv1", "hv2")
    assert other.shown == ["leases web1 1", *SHARED]
    gone = ["set", ["ovnhook:requested-by"]]
    cloud.northbound.transact({**row, "mutations": [["external_ids", "delete", gone]]})
    assert shown(other.next()) == ["gone"]
    assert other.shown == SHARED
    assert not watch.next().objects[0].leases.requested_by
    port = str(uuids.port(domain.uuid, MAC))
    where = [["_uuid", "==", ["uuid", port]]]
    moved = ["map", [["ovnhook:moving-to", "hv2"]]]
    mutations = [["external_ids", "delete", ["set", ["ovnhook:moving-to"]]], ["external_ids", "insert", moved]]
    cloud.northbound.transact({"op": "mutate", "table": "Logical_Switch_Port", "where": where, "mutations": mutations})
    assert shown(watch.next()) == ["port web1 hv1 to hv2"]
    assert shown(other.next()) == ["name web1 10.1.0.20", "port web1 hv1 to hv2"]


def test_a_stream_is_resumed(cloud: Control, channel: grpc.Channel, watch: HostWatch) -> None:
    """After its last update, with what has changed since, once; without a change with an empty update."""
    watch.call.cancel()
    again = HostWatch(channel, "hv1", watch.revision)
    update = again.next()
    assert (update.full, len(update.objects)) == (False, 0)
    again.call.cancel()
    domain = cloud.attach("web1", "blue", "10.1.0.20")
    cloud.stop(domain)
    cloud.attach("web1", "blue", "10.1.0.20")
    cloud.attach("mail", "blue", "10.1.0.21", mac="52:54:00:00:00:02")
    other = HostWatch(channel, "hv2", again.revision)
    assert shown(other.next()) == []
    third = HostWatch(channel, "hv1", again.revision)
    update = third.next()
    assert not update.full
    assert len(update.objects) == len({one.id for one in update.objects}) == 8
    fresh = HostWatch(channel, "hv1")
    assert fresh.next().full
    assert {**watch.known, **third.known} == fresh.known


@pytest.mark.parametrize("revision", ["other-1", "1", "-", "other", "x-99999999999999999999999", "\u0663-\u0663"])
def test_a_revision_that_is_not_known(watch: HostWatch, channel: grpc.Channel, revision: str) -> None:
    """Leads to all objects."""
    again = HostWatch(channel, "hv1", revision)
    assert again.next().full
    assert again.known == watch.known


def test_too_many_changes_to_resume(
    cloud: Control, channel: grpc.Channel, watch: HostWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lead to all objects, of the hosts that they concern."""
    monkeypatch.setattr(hostindex, "_RECENT", 2)
    revision = watch.revision
    cloud.attach("web1", "blue", "10.1.0.20")
    watch.next()
    again, other = HostWatch(channel, "hv1", revision), HostWatch(channel, "hv2", revision)
    assert again.next().full
    assert again.known == watch.known
    assert shown(other.next()) == []
    assert not HostWatch(channel, "hv1", watch.revision).next().full


def test_many_objects(cloud: Control, watch: HostWatch, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are sent in parts, of which the last one has the revision."""
    monkeypatch.setattr(hostindex, "_PART", 3)
    cloud.attach("web1", "blue", "10.1.0.20")
    assert [watch.next().full for _ in range(2)] == [True, False]  # too many to be remembered
    again = HostWatch(channel, "hv1")
    first, second = again.next(), again.next()
    assert (first.full, first.revision, len(first.objects)) == (True, "", 3)
    assert (second.full, second.revision, len(second.objects)) == (False, watch.revision, 3)
    assert again.known == watch.known


def test_a_restart_of_the_database(cloud: Control, watch: HostWatch) -> None:
    """Sends nothing but what has changed meanwhile."""
    cloud.attach("web1", "blue", "10.1.0.20")
    watch.next()
    for _ in range(2):
        cloud.northbound.stop()
        cloud.northbound.start()
    end(cloud, watch)
    assert watch.updates == 3


def test_a_database_that_stays_away(
    cloud: Control, channel: grpc.Channel, watch: HostWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends the streams, so that agents call another control host; the same stream is resumed afterwards."""
    monkeypatch.setattr(hostfeed, "_LOST_AFTER", 0.5)
    cloud.northbound.stop()
    error = ended(watch)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details().startswith("OVN_Northbound at unix:")
    wait_for(lambda: cloud.service.hosts.hosts() == frozenset())
    assert ended(HostWatch(channel, "hv1", watch.revision)).details() == error.details()
    cloud.northbound.start()

    def resumed() -> bool:
        with contextlib.suppress(grpc.RpcError):
            return not HostWatch(channel, "hv1", watch.revision).next().full
        return False

    wait_for(resumed)


def test_a_database_that_is_not_there(cloud: Control, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that begins before it is, begins with it, unless that takes too long."""
    monkeypatch.setattr(calls, "_DEFAULT_TIMEOUT", 1.0)
    cloud.northbound.stop()
    service = server.ControlServer(directory / "run" / "second.sock", cloud.config)
    service.start()
    try:
        with grpc.insecure_channel(f"unix:{directory}/run/second.sock") as channel:
            error = ended(HostWatch(channel, "hv1"))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "no answer in time" in error.details()
            monkeypatch.setattr(calls, "_DEFAULT_TIMEOUT", HANG)
            watch = HostWatch(channel, "hv1")
            wait_for(lambda: service.hosts.hosts() == {"hv1"})
            cloud.northbound.start()
            assert watch.next().full
            assert watch.shown == SHARED
    finally:
        service.stop()


def test_a_restart_of_the_service(cloud: Control, channel: grpc.Channel, watch: HostWatch) -> None:
    """Ends the streams at once; with the next one all objects are sent."""
    cloud.service.stop()
    error = ended(watch)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the control service is stopping")
    cloud.service = server.ControlServer(cloud.path, cloud.config)
    cloud.service.start()
    again = HostWatch(channel, "hv1", watch.revision)
    assert again.next().full
    assert again.known == watch.known


def test_an_agent_that_is_too_slow(
    cloud: Control, channel: grpc.Channel, narrow: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream ends with an error; the others go on."""
    monkeypatch.setattr(hostfeed, "_MAX_BACKLOG", 20)
    monkeypatch.setattr(backlog, "_GRACE", 1e6)  # it receives the error whenever it reads on,
    monkeypatch.setattr(calls, "SEND_TIMEOUT", 1e6)  # and nothing else ends it before
    domain = cloud.attach("web1", "blue", "10.1.0.20")
    slow, quick = HostWatch(narrow, "hv1"), HostWatch(channel, "hv1")
    slow.next()
    quick.next()
    database = Database(cloud.northbound.remote, "OVN_Northbound")
    for number in range(100):
        ids = {"ovnhook:domain-name": f"{number}.{'x' * 50_000}"}
        changed = mutate("Logical_Switch_Port", key(uuids.port(domain.uuid, MAC)), set_keys("external_ids", ids))
        database.transact([changed], soon())
        quick.next()
    database.close()
    error = ended(slow)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more than 20 changes behind" in error.details()


def test_rows_changed_by_hand(cloud: Control, watch: HostWatch, caplog: pytest.LogCaptureFixture) -> None:
    """A changed port is marked; a broken row is skipped, and logged once."""
    caplog.set_level(logging.WARNING, "ovnhook.control.rowvalues")
    domain = cloud.attach("web1", "blue", "10.1.0.20")
    watch.next()
    where = [["_uuid", "==", ["uuid", str(uuids.port(domain.uuid, MAC))]]]
    port = {"op": "update", "table": "Logical_Switch_Port", "where": where}
    security = watch.known[str(uuids.port(domain.uuid, MAC))].port
    assert not security.changed
    cloud.northbound.transact({**port, "row": {"port_security": ["set", []]}})
    (one,) = watch.next().objects
    assert one.port.changed
    cloud.northbound.transact({**port, "row": {"addresses": f"{MAC} nonsense"}})
    assert shown(watch.next()) == ["gone", "gone"]  # and the name, of a scope without ports
    for row in ({"enabled": False}, {"up": True}):
        cloud.northbound.transact({**port, "row": row})
    assert caplog.text.count("skipped: row") == 1
    cloud.northbound.transact({**port, "row": {"addresses": f"{MAC} 10.1.0.20", "port_security": f"{MAC} 10.1.0.20"}})
    assert shown(watch.next()) == ["name web1 10.1.0.20", "port web1 hv1"]
    assert not watch.known[str(uuids.port(domain.uuid, MAC))].port.changed


def test_a_node_watches_its_own_host(clients: Clients) -> None:
    """And an operator any; the number of streams of a client is limited, and one that has ended makes room."""
    channel = clients.channel("hv1", "node")
    assert refusal(HostWatch(channel, "hv2").next)[0] == "node hv1 may not change ports of host 'hv2'"
    watches = [HostWatch(channel, "hv1") for _ in range(listener.PER_CLIENT[CallKind.AGENT])]
    for watch in watches:
        watch.next()
    third = ended(HostWatch(channel, "hv1"))
    assert third.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "streams of agents" in third.details()
    HostWatch(clients.channel("hv2", "node"), "hv2").next()
    HostWatch(clients.channel("boss", "operator"), "hv1").next()
    watches[0].call.cancel()

    def admitted() -> bool:
        with contextlib.suppress(grpc.RpcError):
            return HostWatch(channel, "hv1").next().full
        return False

    wait_for(admitted)


def test_who_watches(cloud: Control, watch: HostWatch) -> None:
    """Is known for as long as the stream is open."""
    hosts = cloud.service.hosts.hosts
    assert hosts() == {"hv1"}
    with cloud.channel() as channel:
        other, second = HostWatch(channel, "hv2"), HostWatch(channel, "hv1")
        other.next()
        second.next()
        assert hosts() == {"hv1", "hv2"}
        second.call.cancel()
        other.call.cancel()
        wait_for(lambda: hosts() == {"hv1"})
    watch.call.cancel()
    wait_for(lambda: hosts() == frozenset())


def ended(watch: HostWatch) -> Any:
    """Receive updates until an error, and return it."""
    with pytest.raises(grpc.RpcError) as caught:
        watch.until(lambda: False)
    return caught.value
