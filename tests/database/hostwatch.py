"""A client of WatchHost that keeps what it receives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc

from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.api.v1 import agents_pb2_grpc


class HostWatch:
    """A stream of what concerns a host.

    Args:
        channel: to the service.
        host: its chassis.
        revision: that it resumes after.

    Attributes:
        known: objects by ID.
        updates: number of updates that it has received.
        revision: of the last update.
    """

    def __init__(self, channel: grpc.Channel, host: str, revision: str = "") -> None:
        self.call = agents_pb2_grpc.AgentsStub(channel).WatchHost(api.WatchHostRequest(host=host, revision=revision))
        self._stream: Iterator[api.HostUpdate] = iter(self.call)
        self.known: dict[str, api.HostObject] = {}
        self.updates = 0
        self.revision = revision

    def next(self) -> api.HostUpdate:
        """Receive one update."""
        update = next(self._stream)
        self.updates += 1
        self.revision = update.revision
        if update.full:
            self.known.clear()
        for one in update.objects:
            if one.WhichOneof("object"):
                self.known[one.id] = one
            else:
                del self.known[one.id]
        return update

    def until(self, condition: Callable[[], bool]) -> None:
        """Receive updates until a condition holds."""
        while not condition():
            self.next()

    @property
    def shown(self) -> list[str]:
        """Kinds and names of the known objects."""
        return sorted(map(name, self.known.values()))


def name(one: api.HostObject) -> str:
    """Kind and name of an object."""
    match one.WhichOneof("object"):
        case "port":
            moving = f" to {one.port.moving_to}" if one.port.moving_to else ""
            return f"port {one.port.domain_name} {one.port.host}{moving}"
        case "leases":
            return f"leases {one.leases.domain_name} {len(one.leases.leases)}"
        case "lease":
            return f"lease {one.lease.hostname} {one.lease.address}"
        case "subnet":
            return f"subnet {one.subnet.name} {one.subnet.mtu}"
        case "name":
            return f"name {one.name.hostname} {one.name.address}"
        case "router":
            return f"router {one.router.name}"
    return "gone"
