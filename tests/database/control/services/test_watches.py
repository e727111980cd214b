"""Changes as they happen, of a real database: each is told once, and in order, whatever becomes of the database."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.v1 import (
    changes_pb2,
    subnets_pb2,
    subnets_pb2_grpc,
)
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.control import calls, server
from tests.database import ovsdb_server as databases
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.full_cloud import OUTSIDE
from tests.database.ovsdb_server import wait_for
from tests.database.watch import END, Watch, end, idle


def test_each_change_is_told_once_and_in_order(control: Control, channel: grpc.Channel) -> None:
    """Making, changing and deleting of each kind; what depends on something comes after it, and goes before it."""
    watch = Watch(channel)
    assert watch.begin() == []
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    assert watch.until("CREATED", "subnet", "blue") == [("CREATED", "router", "gateway"), ("CREATED", "subnet", "blue")]
    control.done("subnet", "set", "blue", "--default", "--dns", "10.1.0.53")
    assert watch.until("UPDATED", "subnet", "blue") == [("UPDATED", "subnet", "blue")]
    control.done("router", "set", "gateway", *OUTSIDE)
    assert watch.until("UPDATED", "router", "gateway") == [("UPDATED", "router", "gateway")]
    domain = control.attach("web1", "blue", "10.1.0.20")
    port = str(domain.port_uuid(MAC))
    assert watch.until("CREATED", "port", port) == [
        ("UPDATED", "subnet", "blue"),
        ("CREATED", "lease", "blue 10.1.0.20"),
        ("CREATED", "port", port),
    ]
    control.northbound.transact(
        {"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", port]], "row": {"up": True}}
    )
    assert watch.until("UPDATED", "port", port) == [("UPDATED", "port", port)]
    control.done("floating-ip", "create", "203.0.113.20", "web1")
    floating = ("floating_ip", "203.0.113.20")
    assert watch.until("CREATED", *floating) == [("CREATED", *floating)]
    watch.agrees(control)
    control.stop(domain)
    assert watch.until("UPDATED", "lease", "blue 10.1.0.20") == [
        ("DELETED", "port", port), ("UPDATED", "lease", "blue 10.1.0.20")
    ]  # fmt: skip
    DirectHost(control.config).release_leases(domain.uuid, Deadline.after(HANG))
    assert watch.until("UPDATED", "subnet", "blue") == [
        ("DELETED", *floating), ("DELETED", "lease", "blue 10.1.0.20"), ("UPDATED", "subnet", "blue")
    ]  # fmt: skip
    control.done("router", "set", "gateway", "--no-external")
    control.done("subnet", "delete", "blue")
    assert watch.until("DELETED", "router", "gateway") == [
        ("UPDATED", "router", "gateway"),
        ("DELETED", "subnet", "blue"),
        ("DELETED", "router", "gateway"),
    ]
    end(control)
    assert watch.until("CREATED", "subnet", END) == [("CREATED", "subnet", END)]
    watch.agrees(control)


def test_what_exists(control: Control, channel: grpc.Channel) -> None:
    """Is told first if it is asked for, and only the kinds that are asked for; what is not ours is not told."""
    control.northbound.transact({"op": "insert", "table": "Logical_Switch", "row": {"name": "somebody's"}})
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.done("router", "set", "gateway", *OUTSIDE)
    domain = control.attach("web1", "blue", "10.1.0.20")
    control.done("floating-ip", "create", "203.0.113.20", "web1")
    watch = Watch(channel, existing=True)
    assert watch.begin() == [
        ("EXISTING", "router", "gateway"),
        ("EXISTING", "subnet", "blue"),
        ("EXISTING", "lease", "blue 10.1.0.20"),
        ("EXISTING", "port", str(domain.port_uuid(MAC))),
        ("EXISTING", "floating_ip", "203.0.113.20"),
    ]
    watch.agrees(control)
    kinds = (changes_pb2.WatchChangesRequest.SUBNETS, changes_pb2.WatchChangesRequest.PORTS)
    second = Watch(channel, *kinds, existing=True)
    assert [kind for _, kind, _ in second.begin()] == ["subnet", "port"]
    third = Watch(channel)
    assert third.begin() == []
    control.stop(domain)
    end(control)
    assert second.until("CREATED", "subnet", END) == [
        ("DELETED", "port", str(domain.port_uuid(MAC))),
        ("CREATED", "subnet", END),
    ]
    watch.until("CREATED", "subnet", END)
    watch.agrees(control)


@contextlib.contextmanager
def while_away(control: Control) -> Iterator[Config]:
    """The database elsewhere, with a service of its own; those that know it here see it again afterwards, changed."""
    control.northbound.stop()
    place = control.northbound.directory / "aside"
    place.mkdir()
    aside = databases.Server(place, databases.NORTHBOUND_SCHEMA, control.northbound.directory / "db")
    config = replace(control.config, northbound=aside.remote)
    service = server.ControlServer(place / "control.sock", config)
    service.start()
    try:
        yield config
    finally:
        service.stop()
        aside.stop()
        control.northbound.start()


def test_a_database_that_was_away(control: Control, channel: grpc.Channel) -> None:
    """The stream stays, and tells just what has changed meanwhile, though the server tells all of it anew."""
    for name, number in (("blue", 1), ("green", 2), ("red", 3)):
        control.done("subnet", "create", name, f"10.{number}.0.0/24")
    control.done("router", "create", "lab")
    domain = control.attach("web1", "red", "10.3.0.20")
    watch, late = Watch(channel, existing=True), Watch(channel)
    assert len(watch.begin()) == 7
    assert late.begin() == []
    late.known = dict(watch.known)
    with (
        while_away(control) as config,
        grpc.insecure_channel(f"unix:{control.northbound.directory}/aside/control.sock") as own,
    ):
        stub = subnets_pb2_grpc.SubnetsStub(own)
        stub.DeleteSubnet(subnets_pb2.DeleteSubnetRequest(name="blue"), timeout=HANG)
        subnet = subnets_pb2.Subnet(name="green", mtu=1400)
        stub.UpdateSubnet(subnets_pb2.UpdateSubnetRequest(subnet=subnet, update_mask={"paths": ["mtu"]}), timeout=HANG)
        DirectHost(config).detach(domain, Deadline.after(HANG))
    changed = [
        ("DELETED", "port", str(domain.port_uuid(MAC))),
        ("DELETED", "subnet", "blue"),
        ("UPDATED", "router", "gateway"),
        ("UPDATED", "subnet", "green"),
        ("UPDATED", "lease", "red 10.3.0.20"),
    ]
    for each in (watch, late):
        assert each.until("UPDATED", "lease", "red 10.3.0.20") == changed
    end(control)
    for each in (watch, late):
        assert each.until("CREATED", "subnet", END) == [("CREATED", "subnet", END)]
        each.agrees(control)


def test_nothing_but_the_difference_after_a_restart(control: Control, channel: grpc.Channel) -> None:
    """Where nothing has changed meanwhile, nothing is told."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    watch = Watch(channel, existing=True)
    watch.begin()
    for _ in range(2):
        control.northbound.stop()
        control.northbound.start()
    end(control)
    assert watch.until("CREATED", "subnet", END) == [("CREATED", "subnet", END)]


def test_a_database_that_is_not_there(control: Control, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins to watch meanwhile is told so after a while, as of any other call."""
    monkeypatch.setattr(calls, "_DEFAULT_TIMEOUT", 1.0)
    control.northbound.stop()
    with pytest.raises(grpc.RpcError) as caught:
        Watch(channel, timeout=None).begin()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "OVN_Northbound" in caught.value.details()
    wait_for(idle)


def test_many_changes_by_many(control: Control, channel: grpc.Channel) -> None:
    """What is told in the end comes to what the lists say, for one who was there first and one who came between."""
    first = Watch(channel, existing=True)
    first.begin()

    def work(number: int) -> None:
        with control.channel() as own:
            stub = subnets_pb2_grpc.SubnetsStub(own)
            for turn in range(5):
                name = f"s{number}-{turn}"
                subnet = subnets_pb2.Subnet(name=name, cidr=f"10.{number}.{turn}.0/24", router="")
                stub.CreateSubnet(subnets_pb2.CreateSubnetRequest(subnet=subnet), timeout=HANG)
                if turn % 2:
                    stub.DeleteSubnet(subnets_pb2.DeleteSubnetRequest(name=name), timeout=HANG)

    workers = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for worker in workers:
        worker.start()
    second = Watch(channel, existing=True)
    second.begin()
    for worker in workers:
        worker.join()
    end(control)
    for watch in (first, second):
        watch.until("CREATED", "subnet", END)
        watch.agrees(control)


@pytest.mark.parametrize("kinds", [[0], [7], [-1], [1, 99]])
def test_kinds_that_there_are_not(channel: grpc.Channel, kinds: list[int]) -> None:
    """Are refused as such."""
    with pytest.raises(grpc.RpcError) as caught:
        Watch(channel, *kinds).begin()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
