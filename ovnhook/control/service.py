"""A service of the API, as the server sees it: its methods, who may call them, and what it is made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import grpc

from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.control.gateways import Gateways
from ovnhook.control.guard import Remotes
from ovnhook.control.repairs import Repairs
from ovnhook.control.roles import Rule
from ovnhook.control.trust import Trust
from ovnhook.control.view import Parts, Show
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.engine.attach import Attachment
from ovnhook.pki.members import Members
from ovnhook.resources.kind import Kind
from ovnhook.resources.subnet.request import Underlay


@dataclass(frozen=True)
class Dependencies:
    """What services are made from; each takes what it needs.

    Attributes:
        config: of the control service.
        northbound: the database of subnets, routers, ports and so on.
        southbound: the database of hosts.
        measure_underlay: measures the underlay's MTU.
        attachment: attaches domains, on any host.
        gateways: keeps the routers' gateways.
        repairs: finds and repairs our rows.
        trust: the trusted clients, or None without a certificate authority.
        remotes: where the databases' servers listen, or None if they are not this host's.
        names: the full names of all services that clients are served.
        shows: makes the messages that watchers are shown, by the field of a Change.
    """

    config: Config
    northbound: Northbound
    southbound: Southbound
    measure_underlay: Callable[[Deadline], Underlay]
    attachment: Attachment
    gateways: Gateways
    repairs: Repairs
    trust: Trust | None
    remotes: Remotes | None
    names: tuple[str, ...]
    shows: Mapping[str, Show]

    def members(self) -> Members:
        """The trusted clients, as far as they are known."""
        return self.trust.members if self.trust else Members()


class Service(ABC):
    """The methods of a service, each called as in its proto. `ovnhook.control.calls` says how they are called.

    Attributes:
        NAME: as in the proto, with its package.
        RULES: who may call each method. A method without a rule is refused to everybody.
        KIND: the kind of resource that it serves and watchers are shown, or None.
    """

    NAME: ClassVar[str]
    RULES: ClassVar[Mapping[str, Rule]]
    KIND: ClassVar[Kind[Any] | None] = None

    @classmethod
    @abstractmethod
    def of(cls, found: Dependencies) -> Self:
        """Make the service from what the control service has."""

    @staticmethod
    def shown(parts: Parts) -> Any:
        """Make the message of one of its kind, as watchers are shown it; None if the parts are not enough for one."""
        del parts

    @abstractmethod
    def add_to(self, server: grpc.Server) -> None:
        """Let a server serve it."""

    def stop(self) -> None:  # noqa: B027 (most services have none)
        """End the streams, if it has any."""


def rules(services: Iterable[Service | type[Service]]) -> dict[str, Rule]:
    """The rule of each method of some services, by the name that gRPC calls it."""
    return {f"/{one.NAME}/{method}": rule for one in services for method, rule in one.RULES.items()}


def shows(services: Iterable[type[Service]]) -> dict[str, Show]:
    """The functions that make the messages which watchers are shown, by the field of a Change."""
    return {one.KIND.field: one.shown for one in services if one.KIND}
