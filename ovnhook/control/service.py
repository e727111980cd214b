"""Base class of the API's services: methods, access rules, and dependencies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import grpc

from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.control.agentstates import AgentStates
from ovnhook.control.bindings import BindingsGuard
from ovnhook.control.consistency import ConsistencyRepairs
from ovnhook.control.gateways import Gateways
from ovnhook.control.guard import RemotesGuard
from ovnhook.control.hostfeed import HostFeed
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
    """Dependencies of services; each service takes those it needs.

    Attributes:
        config: configuration of the control service.
        northbound: northbound database.
        southbound: southbound database.
        measure_underlay: measures the underlay's MTU.
        attachment: attaches domains on any host.
        states: states of the hosts' agents.
        gateways: schedules gateways.
        repairs: repairs ovnhook's rows.
        consistency: repairs rows of domains that contradict each other.
        hosts: streams what concerns each host.
        trust: trusted clients, or None without a certificate authority.
        remotes: guard of the databases' remotes, or None if the database servers are not on this host.
        bindings: guard of port bindings.
        names: full names of all services for clients.
        shows: functions that make the messages of watches, by the field of a Change.
    """

    config: Config
    northbound: Northbound
    southbound: Southbound
    measure_underlay: Callable[[Deadline], Underlay]
    attachment: Attachment
    states: AgentStates
    gateways: Gateways
    repairs: Repairs
    consistency: ConsistencyRepairs
    hosts: HostFeed
    trust: Trust | None
    remotes: RemotesGuard | None
    bindings: BindingsGuard
    names: tuple[str, ...]
    shows: Mapping[str, Show]

    def members(self) -> Members:
        """Trusted clients, as last read."""
        return self.trust.members if self.trust else Members()


class Service(ABC):
    """A gRPC service: a method for each RPC of its proto (`ovnhook.control.calls.Answer`), and access rules.

    Example::

        class Leases(Service):
            NAME = "ovnhook.v1.Leases"
            RULES = {"ListLeases": READS}

            def ListLeases(self, request: api.ListLeasesRequest, deadline: Deadline) -> api.ListLeasesResponse: ...

    Attributes:
        NAME: full name, as in the proto.
        RULES: access rule of each method. A method without a rule is refused to everybody.
        KIND: resource kind of the objects that it serves and watches show, or None.
    """

    NAME: ClassVar[str]
    RULES: ClassVar[Mapping[str, Rule]]
    KIND: ClassVar[Kind[Any] | None] = None

    @classmethod
    @abstractmethod
    def of(cls, found: Dependencies) -> Self:
        """Construct the service from its dependencies."""

    @staticmethod
    def shown(parts: Parts) -> Any:
        """Make the message that watches show of an object; None if its parts are incomplete."""
        del parts

    @abstractmethod
    def add_to(self, server: grpc.Server) -> None:
        """Register the service with a gRPC server."""

    def stop(self) -> None:  # noqa: B027 (most services have none)
        """End open streams, if it has any."""


def rules(services: Iterable[Service | type[Service]]) -> dict[str, Rule]:
    """Access rules of services, by full method name."""
    return {f"/{one.NAME}/{method}": rule for one in services for method, rule in one.RULES.items()}


def shows(services: Iterable[type[Service]]) -> dict[str, Show]:
    """Functions that make the messages of watches, by the field of a Change."""
    return {one.KIND.field: one.shown for one in services if one.KIND}
