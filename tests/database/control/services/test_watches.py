"""Changes as they happen, of a real database: each is told once, and in order, whatever becomes of the database."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.agent.host import Host
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2_grpc
from ovnhook.api.v1 import (
    changes_pb2,
    changes_pb2_grpc,
    floating_ips_pb2,
    floating_ips_pb2_grpc,
    leases_pb2,
    leases_pb2_grpc,
    ports_pb2,
    ports_pb2_grpc,
    routers_pb2,
    routers_pb2_grpc,
    subnets_pb2,
    subnets_pb2_grpc,
)
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.control import calls, listener, server
from ovnhook.control.services import watches
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import key, mutate, set_keys
from ovnhook.ovsdb.replica import Replica
from tests.database import ovsdb_server as databases
from tests.database.control_service import MAC, Control
from tests.database.ovsdb_server import wait_for

OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
END = "the-end"
LISTS: dict[str, tuple[Any, Any, str]] = {
    "subnet": (subnets_pb2_grpc.SubnetsStub, subnets_pb2.ListSubnetsRequest, "subnets"),
    "router": (routers_pb2_grpc.RoutersStub, routers_pb2.ListRoutersRequest, "routers"),
    "floating_ip": (
        floating_ips_pb2_grpc.FloatingIpsStub,
        floating_ips_pb2.ListFloatingIpsRequest,
        "floating_ips",
    ),
    "lease": (leases_pb2_grpc.LeasesStub, leases_pb2.ListLeasesRequest, "leases"),
    "port": (ports_pb2_grpc.PortsStub, ports_pb2.ListPortsRequest, "ports"),
}
Words = tuple[str, str, str]


class Watch:
    """A watcher, and what it knows by what it was told."""

    def __init__(
        self, channel: grpc.Channel, *kinds: Any, existing: bool = False, timeout: float | None = HANG
    ) -> None:
        request = changes_pb2.WatchChangesRequest(kinds=kinds, existing=existing)
        self.call = changes_pb2_grpc.ChangesStub(channel).WatchChanges(request, timeout=timeout)
        self.known: dict[tuple[str, str], Any] = {}

    def begin(self) -> list[Words]:
        """What is told of what exists."""
        told: list[Words] = []
        for change in self.call:
            if change.type == changes_pb2.Change.SYNCED:
                assert change.WhichOneof("object") is None
                return told
            told.append(self.take(change))
        raise AssertionError("ended before it began")

    def until(self, *last: str) -> list[Words]:
        """What is told up to this one."""
        told = []
        for change in self.call:
            told.append(self.take(change))
            if told[-1] == last:
                return told
        raise AssertionError(f"ended without {last}")

    def take(self, change: Any) -> Words:
        """A change in words; it has to go with what is known."""
        kind = change.WhichOneof("object")
        one = getattr(change, kind)
        names = {"subnet": "name", "router": "name", "floating_ip": "address", "port": "id"}
        name = getattr(one, names[kind]) if kind in names else f"{one.subnet} {one.address}"
        words = (changes_pb2.Change.Type.Name(change.type), kind, name)
        before = self.known.pop((kind, name), None)
        if change.type == changes_pb2.Change.DELETED:
            assert before == one, words
        else:
            assert (before is not None) == (change.type == changes_pb2.Change.UPDATED), words
            assert before != one, words
            self.known[kind, name] = one
        return words

    def agrees(self, control: Control) -> None:
        """What it knows is what the lists say."""
        with control.channel() as channel:
            for kind, (stub, request, rows) in LISTS.items():
                method = getattr(stub(channel), request.__name__.removesuffix("Request"))
                listed = getattr(method(request(), timeout=HANG), rows)
                known = [one for (other, _), one in self.known.items() if other == kind]
                assert sorted(known, key=str) == sorted(listed, key=str)


@pytest.fixture
def channel(control: Control) -> Iterator[grpc.Channel]:
    """A client's."""
    with control.channel() as made:
        yield made


@pytest.fixture
def narrow(control: Control) -> Iterator[grpc.Channel]:
    """A client's that takes no more from the service than 64 KiB before they are read."""
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]
    with grpc.insecure_channel(f"unix:{control.path}", options) as made:
        yield made


def end(control: Control) -> None:
    """Do what is told last."""
    control.done("subnet", "create", END, "10.250.0.0/30", "--no-router")


def idle() -> bool:
    """Whether nobody follows the database."""
    return not any(thread.name == "changes" for thread in threading.enumerate())


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
    Host(control.config).forget(domain.uuid, Deadline.after(HANG))
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
        Host(config).detach(domain, Deadline.after(HANG))
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
    monkeypatch.setattr(calls, "_USUAL_PATIENCE", 1.0)
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


def test_a_watcher_that_is_too_slow(
    control: Control, channel: grpc.Channel, narrow: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is sent away, and the others are told all the same."""
    monkeypatch.setattr(watches, "_BACKLOG", 20)
    monkeypatch.setattr(watches, "_GRACE", 1e6)  # it hears of it whenever it reads on,
    monkeypatch.setattr(calls, "SEND", 1e6)  # and nobody else ends it before
    slow, quick = Watch(narrow), Watch(channel)
    slow.begin()
    with overtaken(control, quick):
        assert quick.known["subnet", "blue"].dns_domain.startswith(f"{CHANGES - 1}.")
    with pytest.raises(grpc.RpcError) as caught:
        slow.until("CREATED", "subnet", END)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more than 20 changes behind" in caught.value.details()


def test_a_watcher_that_reads_nothing(
    control: Control, channel: grpc.Channel, narrow: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is cut off, so that it does not hold a thread for ever."""
    monkeypatch.setattr(watches, "_BACKLOG", 20)
    monkeypatch.setattr(watches, "_GRACE", 0.0)
    watch = Watch(narrow)
    watch.begin()
    with overtaken(control, Watch(channel)):
        pass
    wait_for(idle)
    with pytest.raises(grpc.RpcError):
        watch.until("CREATED", "subnet", END)


CHANGES = 100  # of 50 kB each: far more than a wire holds


@contextlib.contextmanager
def overtaken(control: Control, quick: Watch) -> Iterator[None]:
    """More changes than anybody is told who does not read; one who does has them all, and leaves afterwards.

    Each is a transaction of its own, made when the one before was told: the database may tell several as one.
    """
    quick.begin()
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    quick.until("CREATED", "subnet", "blue")
    switch = next(uuid for uuid, row in control.northbound.dump()["Logical_Switch"].items() if row["name"] == "blue")
    database = Database(control.northbound.remote, "OVN_Northbound")
    for number in range(CHANGES):
        ids = {"ovnhook:dns-domain": f"{number}.{'x' * 50_000}"}
        database.transact(
            [mutate("Logical_Switch", key(UUID(switch)), set_keys("external_ids", ids))], Deadline.after(HANG)
        )
        quick.until("UPDATED", "subnet", "blue")
    database.close()
    yield
    quick.call.cancel()


def test_as_many_as_there_can_be(control: Control) -> None:
    """One more is refused, calls are answered beside them all, and who leaves makes room."""
    with contextlib.ExitStack() as stack:
        channels = [stack.enter_context(control.channel()) for _ in range(listener.STREAMS + 1)]
        found = [Watch(channel) for channel in channels[:-1]]
        for watch in found:
            watch.begin()
        assert sum(thread.name == "changes" for thread in threading.enumerate()) == 1
        reflections = [
            reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(threading.Event().wait, None))
            for channel in channels
        ]
        with pytest.raises(grpc.RpcError) as caught:
            Watch(channels[-1]).begin()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert control.done("subnet", "list", "--format", "json").json == []
        found[0].call.cancel()

        def joins() -> bool:
            with contextlib.suppress(grpc.RpcError):
                return Watch(channels[-1]).begin() == []
            return False

        wait_for(joins)
        assert reflections
    wait_for(idle)


def test_those_who_leave(control: Control, channel: grpc.Channel) -> None:
    """By a deadline, by cancelling, with their connection: nobody follows the database any more."""
    watch = Watch(channel, timeout=1)
    watch.begin()
    with pytest.raises(grpc.RpcError) as caught:
        watch.until("CREATED", "subnet", END)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(idle)
    watch = Watch(channel)
    watch.begin()
    assert not idle()
    watch.call.cancel()
    wait_for(idle)
    with control.channel() as other:
        Watch(other).begin()
    wait_for(idle)
    Watch(channel).begin()
    assert not idle()


def test_the_end_of_the_service(control: Control, channel: grpc.Channel) -> None:
    """Ends the streams at once, and says so."""
    watch = Watch(channel)
    watch.begin()
    control.service.stop()
    with pytest.raises(grpc.RpcError) as caught:
        watch.until("CREATED", "subnet", END)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "the control service ends"
    assert idle()


def test_a_cluster_that_loses_a_server(
    cluster: databases.Cluster, southbound: databases.Server, directory: Path
) -> None:
    """Is watched by one of the others, and nothing is missed or told twice."""
    config = Config(northbound=",".join(cluster.remotes), southbound=southbound.remote, vswitch="unix:/nonexistent/s")
    service = server.ControlServer(directory / "control.sock", config)
    service.start()
    try:
        with grpc.insecure_channel(f"unix:{directory}/control.sock") as own:
            watch, stub = Watch(own, changes_pb2.WatchChangesRequest.SUBNETS), subnets_pb2_grpc.SubnetsStub(own)
            watch.begin()
            for number, server_ in enumerate([*cluster.servers, None]):
                subnet = subnets_pb2.Subnet(name=f"s{number}", cidr=f"10.{number}.0.0/24")
                wait_for(partial(made, stub, subnet))
                assert watch.until("CREATED", "subnet", subnet.name) == [("CREATED", "subnet", subnet.name)]
                if server_:
                    server_.kill()
                    server_.start()
    finally:
        service.stop()


def test_a_server_that_is_alone(
    cluster: databases.Cluster, southbound: databases.Server, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It knows nothing of what changes, and is left; the log says so once."""
    config = Config(northbound=cluster.servers[0].remote, southbound=southbound.remote, vswitch="unix:/nonexistent/s")
    service = server.ControlServer(directory / "control.sock", config)
    service.start()
    try:
        with grpc.insecure_channel(f"unix:{directory}/control.sock") as own:
            watch, stub = Watch(own, changes_pb2.WatchChangesRequest.SUBNETS), subnets_pb2_grpc.SubnetsStub(own)
            watch.begin()
            subnet = subnets_pb2.Subnet(name="blue", cidr="10.1.0.0/24")
            wait_for(partial(made, stub, subnet))
            watch.until("CREATED", "subnet", "blue")
            for other in cluster.servers[1:]:
                other.kill()
            wait_for(lambda: "is out of reach: what changes" in caplog.text)
            for other in cluster.servers[1:]:
                other.start(wait=False)
            subnet = subnets_pb2.Subnet(name="green", cidr="10.2.0.0/24")
            wait_for(partial(made, stub, subnet))
            assert watch.until("CREATED", "subnet", "green") == [("CREATED", "subnet", "green")]
            assert caplog.text.count("is out of reach: what changes") == 1
    finally:
        service.stop()


def test_which_server_is_asked() -> None:
    """One that is part of its cluster and knows what was told; a database by itself has no log to be behind in."""

    def says(replica: Replica, **row: Any) -> bool:
        other = {"name": "_Server", "connected": False, "index": 1}
        return replica._check({"Database": {"x": {"new": other}, "y": {"new": {"name": "N", **row}}}})

    replica = Replica("unix:/nonexistent/s", "N", {})
    assert says(replica, connected=True, index=["set", []])
    assert says(replica, connected=True, index=7)
    assert says(replica, connected=True, index=7)
    assert not says(replica, connected=True, index=6)
    assert not says(replica, connected=False, index=8)
    assert says(replica, connected=True, index=8)
    assert replica._check({})


def made(stub: subnets_pb2_grpc.SubnetsStub, subnet: subnets_pb2.Subnet) -> bool:
    """Whether a subnet could be made."""
    with contextlib.suppress(grpc.RpcError):
        return bool(stub.CreateSubnet(subnets_pb2.CreateSubnetRequest(subnet=subnet), timeout=HANG).name)
    return False


@pytest.mark.parametrize("kinds", [[0], [6], [-1], [1, 99]])
def test_kinds_that_there_are_not(channel: grpc.Channel, kinds: list[int]) -> None:
    """Are refused as such."""
    with pytest.raises(grpc.RpcError) as caught:
        Watch(channel, *kinds).begin()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
