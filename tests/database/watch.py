"""A client of WatchChanges that checks the stream."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import grpc

from lab.waiting import HANG
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
from tests.database.control_service import Control

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
    """A watcher, and the objects that it knows from the stream."""

    def __init__(
        self, channel: grpc.Channel, *kinds: Any, existing: bool = False, timeout: float | None = HANG
    ) -> None:
        request = changes_pb2.WatchChangesRequest(kinds=kinds, existing=existing)
        self.call = changes_pb2_grpc.ChangesStub(channel).WatchChanges(request, timeout=timeout)
        self.known: dict[tuple[str, str], Any] = {}

    def begin(self) -> list[Words]:
        """Read the existing objects, until SYNCED."""
        received: list[Words] = []
        for change in self.call:
            if change.type == changes_pb2.Change.SYNCED:
                assert change.WhichOneof("object") is None
                return received
            received.append(self.take(change))
        raise AssertionError("ended before it began")

    def until(self, *last: str) -> list[Words]:
        """Read changes up to a given one."""
        received = []
        for change in self.call:
            received.append(self.take(change))
            if received[-1] == last:
                return received
        raise AssertionError(f"ended without {last}")

    def take(self, change: Any) -> Words:
        """Apply a change, which must fit the known objects, and return it in words."""
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
        """Assert that the known objects are those of the lists."""
        with control.channel() as channel:
            for kind, (stub, request, rows) in LISTS.items():
                method = getattr(stub(channel), request.__name__.removesuffix("Request"))
                listed = getattr(method(request(), timeout=HANG), rows)
                known = [one for (other, _), one in self.known.items() if other == kind]
                assert sorted(known, key=str) == sorted(listed, key=str)


def end(control: Control) -> None:
    """Make the change that tests use as the last one of a stream."""
    control.done("subnet", "create", END, "10.250.0.0/30", "--no-router")


def idle() -> bool:
    """True if no watch monitors the database."""
    return not any(thread.name == "changes" for thread in threading.enumerate())


def made(stub: subnets_pb2_grpc.SubnetsStub, subnet: subnets_pb2.Subnet) -> bool:
    """Create a subnet; False if the RPC fails."""
    with contextlib.suppress(grpc.RpcError):
        return bool(stub.CreateSubnet(subnets_pb2.CreateSubnetRequest(subnet=subnet), timeout=HANG).name)
    return False
