"""The view of a host: what the control service says, and when it counts."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from lab.waiting import HANG
from ovnhook.agent import hostview
from ovnhook.agent.hostview import HostView, NetworkListeners, ViewListeners
from ovnhook.api.agentmessages import object_message as message
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.domains.inventory import HostNetworks, HostObject, Inventory
from ovnhook.resources.hostvalues import HostName, HostResolver, HostRouter, HostSubnet
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Owner, Port
from ovnhook.resources.router.values import InterfaceAddress

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
MAC = "52:54:00:00:00:01"
ADDRESS = IPAddress("10.1.0.5")
PORT = Port("if-1", "blue", MAC, (ADDRESS,), WEB, "web1", "hv1")
LEASE = Lease("blue", ADDRESS, WEB, "web1", MAC, "web1", "hv1", "")
INDEX = LeaseIndex(WEB, "web1", "hv1", ((MAC, "blue", ADDRESS),))


BLUE = HostSubnet(
    "blue",
    1442,
    (IPNetwork("10.1.0.0/24"), IPNetwork("fd00:1::/64")),
    (IPAddress("10.1.0.1"), IPAddress("fd00:1::1")),
    "gateway",
    "blue.example",
    default=True,
    dns=(IPAddress("10.9.0.53"),),
    resolver=HostResolver("dns:blue", "0a:00:00:00:00:02", (IPAddress("10.1.0.2"), IPAddress("fd00:1::2"))),
)
RED = HostSubnet("red", 1442, (IPNetwork("10.2.0.0/24"),), (IPAddress("10.2.0.1"),), "gateway")
ALONE = replace(RED, name="alone", isolated=True)
GATEWAY = HostRouter(
    "gateway", "host", 7, (InterfaceAddress(IPAddress("169.254.9.2"), 30),), (IPAddress("169.254.9.1"),)
)
SCOPE = "router/gateway"
WEB1 = HostName("blue", "web1", ADDRESS)
WEB2 = HostName("red", "web2", IPAddress("10.2.0.6"))


def gone(one: HostObject) -> api.HostObject:
    """An object that is no more."""
    return api.HostObject(id=message(one).id)


class StreamedView:
    """A view whose stream is the test's, and what it has told."""

    def __init__(self) -> None:
        self.asked: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.chassis = "hv1"
        self._sent: queue.SimpleQueue[api.HostUpdate | Exception] = queue.SimpleQueue()
        listeners = ViewListeners(
            synced=lambda: self.told.put("synced"), changed=self.told.put, requested=self.told.put
        )
        self.network_changes: queue.SimpleQueue[str] = queue.SimpleQueue()  # "networks", or a name scope
        self.view = HostView(self, lambda _: self.chassis, listeners)
        self.view.listen(NetworkListeners(lambda: self.network_changes.put("networks"), self.network_changes.put))
        self.thread = threading.Thread(target=self.view.run, daemon=True)
        self.thread.start()

    @contextmanager
    def watch(self, host: str, revision: str) -> Iterator[Iterator[api.HostUpdate]]:
        """As the control service's."""
        self.asked.put((host, revision))

        def updates() -> Iterator[api.HostUpdate]:
            while True:
                one = self._sent.get()
                if isinstance(one, Exception):
                    raise one
                yield one

        yield updates()

    def send(self, revision: str, *objects: api.HostObject, full: bool = False) -> None:
        """Send an update."""
        self._sent.put(api.HostUpdate(full=full, objects=objects, revision=revision))

    def end(self, error: Exception) -> None:
        """End the stream."""
        self._sent.put(error)

    def heard(self, number: int) -> list[object]:
        """The next things that it tells."""
        return [self.told.get(timeout=HANG) for _ in range(number)]

    @property
    def silent(self) -> bool:
        """Nothing has been told that was not heard."""
        return self.told.empty()

    def inventory(self, seconds: float = 0.0) -> Inventory:
        """What it has."""
        return self.view.inventory("hv1", Deadline.after(seconds))


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterable[StreamedView]:
    """One that is opened again soon."""
    monkeypatch.setattr(hostview, "_FIRST_PAUSE", 0.001)
    made = StreamedView()
    yield made
    made.view.stop()
    made.end(Unavailable("the test is over"))
    made.thread.join(HANG)


@pytest.fixture
def current(stream: StreamedView) -> StreamedView:
    """One that has a domain's objects."""
    stream.send("r1", message(PORT), message(INDEX), message(LEASE), message(HostSubnet("blue", 1442)), full=True)
    assert stream.heard(1) == ["synced"]
    assert stream.asked.get(timeout=HANG) == ("hv1", "")
    return stream


def test_before_the_first_answer(stream: StreamedView) -> None:
    """There is no view, which is not an empty one."""
    with pytest.raises(Unavailable, match="the control service has not answered yet"):
        stream.inventory()
    stream.send("", message(PORT), full=True)
    with pytest.raises(Unavailable):
        stream.inventory()
    stream.send("r1", message(INDEX))
    assert stream.inventory(HANG) == Inventory.of("hv1", [PORT, INDEX])
    assert stream.heard(1) == ["synced"]


def test_it_follows_changes(current: StreamedView) -> None:
    """Each object by itself; who has an inventory keeps it."""
    before = current.inventory()
    assert before == Inventory.of("hv1", [PORT, INDEX, LEASE]).updated(Inventory(mtus={"blue": 1442}))
    assert current.inventory() is before
    current.send("r2", message(replace(PORT, intact=False)), gone(LEASE))
    assert current.heard(1) == [WEB]
    assert current.inventory().ports == {(WEB, MAC): replace(PORT, intact=False)}
    assert current.inventory().leases == {}
    assert before.ports == {(WEB, MAC): PORT}


def test_only_changes_are_told(current: StreamedView) -> None:
    """Neither what is as it was, nor subnets, nor what API clients own, nor kinds of objects that nobody knows."""
    current.send("r2", message(PORT), message(HostSubnet("blue", 1400)))
    client = UUID(int=1)
    owned: list[Port | LeaseIndex | Lease] = [
        replace(PORT, domain=client, kept_by=Owner.CLIENT),
        replace(INDEX, domain=client, kept_by=Owner.CLIENT),
    ]
    current.send("r3", *map(message, owned), message(replace(LEASE, domain=client, address=IPAddress("10.1.0.6"))))
    current.send("r4", message(replace(LEASE, domain=client, address=IPAddress("10.1.0.6"), hostname="x")))
    current.send("r5", gone(replace(LEASE, address=IPAddress("10.1.0.6"))), *map(gone, owned))
    current.send("r6", gone(PORT))
    assert current.heard(1) == [WEB]
    assert current.silent
    assert current.inventory().mtus == {"blue": 1400}


def test_a_stream_that_ends(current: StreamedView, caplog: pytest.LogCaptureFixture) -> None:
    """There is no view until it is back; what was missed is made up for by the changes since, or by everything."""
    current.end(Unavailable("the control service at /run/x can't be reached"))
    assert current.asked.get(timeout=HANG) == ("hv1", "r1")
    with pytest.raises(Unavailable, match="the control service at /run/x can't be reached"):
        current.inventory()
    current.send("r2")
    assert current.inventory(HANG).ports == {(WEB, MAC): PORT}
    assert current.heard(1) == ["synced"]
    current.end(Unavailable("the control service is stopping"))
    assert current.asked.get(timeout=HANG) == ("hv1", "r2")
    current.send("s1", message(INDEX), full=True)
    assert current.inventory(HANG) == Inventory.of("hv1", [INDEX])
    assert current.heard(1) == ["synced"]
    assert current.silent
    assert [record.levelname for record in caplog.records if "no changes" in record.message] == ["WARNING"] * 2


def test_an_error_of_ours(current: StreamedView) -> None:
    """What was received before it does not count any more."""
    current.send("r2", api.HostObject(id="x", port=api.HostPort(id="x", domain="no UUID")))
    assert current.asked.get(timeout=HANG) == ("hv1", "")
    with pytest.raises(Unavailable, match="internal error"):
        current.inventory()
    current.send("r3", message(PORT), full=True)
    assert current.inventory(HANG) == Inventory.of("hv1", [PORT])


def test_it_is_opened_again_and_again(stream: StreamedView) -> None:
    """With pauses, and for ever."""
    for _ in range(6):
        stream.end(Unavailable("no"))
        assert stream.asked.get(timeout=HANG) == ("hv1", "")


def test_a_host_that_is_called_otherwise(current: StreamedView) -> None:
    """The view is one of the chassis that was asked for."""
    with pytest.raises(Unavailable, match="chassis hv1 is called hv9 now"):
        current.view.inventory("hv9", Deadline.after(0))
    current.chassis = "hv9"
    current.end(Unavailable("no"))
    assert current.asked.get(timeout=HANG) == ("hv9", "")


def test_a_requested_migration(current: StreamedView) -> None:
    """It is told at once when it is requested, and again when all objects come again; not by who requests it."""
    requested = replace(INDEX, requested_by="hv2")
    current.send("r2", message(requested))
    assert {*map(str, current.heard(2))} == {str(WEB), str(requested)}
    current.send("r3", message(PORT))
    current.end(Unavailable("no"))
    current.send("s1", message(requested), message(replace(requested, domain=UUID(int=2), host="hv3")), full=True)
    assert current.heard(2) == ["synced", requested]
    current.send("s2", message(INDEX))
    assert current.heard(1) == [WEB]
    assert current.silent


def test_networks(current: StreamedView) -> None:
    """They are as received last, also while the stream is away; not known from an earlier control service."""
    view = current.view
    assert current.network_changes.get(timeout=HANG) == "networks"
    assert view.networks() is None
    objects: tuple[HostObject, ...] = (BLUE, RED, ALONE, GATEWAY)
    current.send("r2", *map(message, objects))
    assert current.network_changes.get(timeout=HANG) == "networks"
    expected = HostNetworks({one.name: one for one in (BLUE, RED, ALONE)}, {"gateway": GATEWAY}, frozenset({SCOPE}))
    assert view.networks() == expected
    current.end(Unavailable("no"))
    assert current.asked.get(timeout=HANG) == ("hv1", "r2")
    assert view.networks() == expected
    current.send("r3", gone(RED), gone(PORT))
    assert current.network_changes.get(timeout=HANG) == "networks"  # it is current again
    assert view.networks() == HostNetworks({"blue": BLUE, "alone": ALONE}, {"gateway": GATEWAY})
    current.send("r4", message(replace(GATEWAY, addresses=(), next_hops=())))
    assert current.network_changes.get(timeout=HANG) == "networks"
    current.send("r5", api.HostObject(id="x", port=api.HostPort(id="x", domain="no UUID")))
    assert current.asked.get(timeout=HANG) == ("hv1", "")
    assert view.networks() is None
    assert current.network_changes.empty()


def test_names(current: StreamedView) -> None:
    """They are those of a scope's subnets; who listens learns which scope has changed."""
    view, changes = current.view, current.network_changes
    current.send("r2", *map(message, (BLUE, RED, ALONE)))
    assert [changes.get(timeout=HANG) for _ in range(2)] == ["networks", "networks"]
    assert view.names(SCOPE) == ()
    inventory = current.inventory()
    current.send("r3", message(WEB1), message(WEB2), message(replace(WEB2, subnet="alone")))
    assert {changes.get(timeout=HANG) for _ in range(2)} == {SCOPE, "subnet/alone"}
    assert view.names(SCOPE) == (WEB1, WEB2)
    assert view.names("subnet/alone") == (replace(WEB2, subnet="alone"),)
    assert current.inventory() is inventory  # names are no part of it
    current.send("r4", message(replace(PORT, intact=False)), gone(LEASE))  # concern no name
    current.send("r5", message(replace(WEB2, hostname="web3")))
    assert changes.get(timeout=HANG) == SCOPE
    assert view.names(SCOPE) == (WEB1, replace(WEB2, hostname="web3"))
    current.send("r6", gone(WEB2))
    assert changes.get(timeout=HANG) == SCOPE
    assert view.names(SCOPE) == (WEB1,)
    current.send("r7", gone(PORT))
    assert changes.get(timeout=HANG) == SCOPE
    assert current.heard(2) == [WEB] * 2
    assert current.silent
    assert changes.empty()
