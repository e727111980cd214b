"""The service ``ovnhook.v1.Routers``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Self
from uuid import uuid4

import grpc

from ovnhook.api.v1 import routers_pb2 as api
from ovnhook.api.v1 import routers_pb2_grpc
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, Unavailable
from ovnhook.base.text import quoted
from ovnhook.control.hostroutes import refuse_host_networks
from ovnhook.control.interruptions import refuse_interruptions
from ovnhook.control.pages import page
from ovnhook.control.repairs import Repairs
from ovnhook.control.roles import CHANGES, CHANGES_AND_WAITS, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.view import Parts
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.resources.kind import Change
from ovnhook.resources.kinds import complete
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.kind import GATEWAYS, ROUTER
from ovnhook.resources.router.request import SETTINGS, ExternalGatewayRequest, parse, request_of
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.subnet.kind import SUBNET

_log = logging.getLogger(__name__)

_SETTLE_TIME = 1.0  # seconds: longer than BFD takes to detect a dead host (ovnhook.resources.router.topology)
_POLL_INTERVAL = 0.05  # seconds
_FLOWS_TIMEOUT = 5.0  # seconds for ovn-controller to install all flows
_TIMEOUT = 2.0  # seconds for the southbound database, which is needed only for messages


class Routers(Service):
    """Creates, lists, updates and deletes routers.

    Args:
        northbound: northbound database.
        southbound: southbound database, with the active gateways.
        schedule_gateways: called with a deadline when external gateways have changed.
        repairs: commits changes, after repairs of rows that they depend on.
    """

    NAME = "ovnhook.v1.Routers"
    KIND = ROUTER
    RULES: ClassVar[Mapping[str, Rule]] = {
        "CreateRouter": CHANGES,
        "GetRouter": READS,
        "ListRouters": READS,
        "UpdateRouter": CHANGES,
        "MoveGateway": CHANGES_AND_WAITS,
        "DeleteRouter": CHANGES,
    }

    def __init__(
        self,
        northbound: Northbound,
        southbound: Southbound,
        schedule_gateways: Callable[[Deadline], None],
        repairs: Repairs,
    ) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._schedule_gateways = schedule_gateways
        self._repairs = repairs

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.southbound, found.gateways.schedule, found.repairs)

    @staticmethod
    def shown(parts: Parts) -> api.Router | None:
        """Message that watches show of a router: without its active gateway, which is in the southbound database."""
        for one in parts.of(ROUTER):
            on = sorted(parts.of(SUBNET), key=SUBNET.order)
            hosts = sorted(parts.of(GATEWAYS), key=lambda gateways: -gateways.priority)
            return message(Network(one, tuple(on)), [host for one in hosts for host in one.hosts], active="")
        return None

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        routers_pb2_grpc.add_RoutersServicer_to_server(self, server)

    def CreateRouter(self, request: api.CreateRouterRequest, deadline: Deadline) -> api.Router:
        """Create a router. Idempotent."""
        requested = request.router
        wanted = parse(
            requested.name,
            ExternalGatewayRequest(**{name: getattr(requested, name) for name in SETTINGS}),
        )

        def plan() -> tuple[Change, ...]:
            foreign = self._northbound.is_foreign_router(requested.name, deadline)
            cloud = self._northbound.cloud(deadline)
            return complete(router_rules.create(wanted, uuid4(), cloud, name_is_foreign=foreign), cloud)

        if self._repairs.carry_out(plan, f"router {requested.name} is created", deadline):
            self._schedule_gateways(deadline.half(_TIMEOUT))
        return self._get(requested.name, deadline)

    def GetRouter(self, request: api.GetRouterRequest, deadline: Deadline) -> api.Router:
        """Return one router."""
        return self._get(request.name, deadline)

    def ListRouters(self, request: api.ListRoutersRequest, deadline: Deadline) -> api.ListRoutersResponse:
        """List the routers."""
        cloud = self._northbound.cloud(deadline)
        messages = self._messages([router_rules.find(one.name, cloud) for one in cloud.of(Router)], deadline)
        shown, token = page(messages, lambda one: (one.name,), request.page_size, request.page_token, lambda one: one)
        return api.ListRoutersResponse(routers=shown, next_page_token=token)

    def UpdateRouter(self, request: api.UpdateRouterRequest, deadline: Deadline) -> api.Router:
        """Change the settings that the mask names."""
        requested, paths = request.router, list(request.update_mask.paths)
        if not paths:
            raise InvalidRequest("empty update_mask", f"valid paths: {', '.join(SETTINGS)}")
        changes = {path: getattr(requested, path, None) for path in paths}

        def plan() -> tuple[Change, ...]:
            foreign = self._northbound.is_foreign_router(requested.name, deadline)
            cloud = self._northbound.cloud(deadline)
            changed = router_rules.update(requested.name, changes, uuid4(), cloud, name_is_foreign=foreign)
            planned = complete(changed, cloud)
            refuse_host_networks(planned, self._southbound, deadline)
            if not request.force:
                refuse_interruptions(planned, cloud, self._northbound, self._southbound, deadline)
            return planned

        summary = f"router {requested.name}: external gateway changed: {', '.join(paths)}"
        if self._repairs.carry_out(plan, summary, deadline):
            self._schedule_gateways(deadline.half(_TIMEOUT))
        return self._get(requested.name, deadline)

    def DeleteRouter(self, request: api.DeleteRouterRequest, deadline: Deadline) -> api.DeleteRouterResponse:
        """Delete a router without subnets."""

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            return complete(router_rules.delete(request.name, cloud), cloud)

        self._repairs.carry_out(plan, f"router {request.name} is deleted", deadline)
        return api.DeleteRouterResponse()

    def MoveGateway(self, request: api.MoveGatewayRequest, deadline: Deadline) -> api.Router:
        """Move a router's external gateway to a host, when that has all flows, and wait until it is active."""
        network = router_rules.find(request.name, self._northbound.cloud(deadline))
        if network.router.external is None:
            raise InvalidRequest(f"router {request.name} has no external gateway", "ovnhook router set --help")

        def plan() -> tuple[Change, ...]:
            gateways = self._northbound.gateways(deadline).get(request.name, ())
            return router_rules.move(network.router, self._southbound.nodes(deadline), request.host, gateways)

        if plan():
            self._await_flows(request.host, deadline)
        self._repairs.carry_out(plan, f"router {request.name}: moving its gateway to {request.host}", deadline)
        self._await_active(request.name, request.host, deadline)
        return self._messages([network], deadline)[0]

    def _await_active(self, name: str, host: str, deadline: Deadline) -> None:
        """Wait until a host is the active gateway, and stays it: without a running vswitchd, BFD fails over again."""
        while self._southbound.active_gateways(deadline).get(name) != host:
            deadline.check(f"host {host} has not become the active gateway of router {name}")
            time.sleep(_POLL_INTERVAL)
        settled = Deadline.after(_SETTLE_TIME)
        while settled.remaining:
            if self._southbound.active_gateways(deadline).get(name) != host:
                raise Unavailable(
                    f"host {host} became the active gateway of router {name}, and failed over again",
                    f"does Open vSwitch run there? ovnhook node show {quoted(host)}",
                )
            time.sleep(_POLL_INTERVAL)

    def _await_flows(self, host: str, deadline: Deadline) -> None:
        """Wait until ovn-controller has installed all flows on a host, which takes a while after its start.

        Raises:
            Unavailable: it has not in time.
        """
        soon = Deadline.after(min(_FLOWS_TIMEOUT, deadline.remaining / 2))
        count = self._northbound.increment_nb_cfg(soon)
        while (answers := self._southbound.config_progress(deadline)).nodes.get(host, 0) < count:
            if not soon.remaining:
                unchanged = "the router is unchanged: without flows on the host, traffic would be dropped"
                if answers.northd < count:
                    raise Unavailable(
                        f"ovn-northd does not answer; {unchanged}", "is ovn-northd running? ovnhook status"
                    )
                raise Unavailable(
                    f"ovn-controller on host {host} does not answer; {unchanged}",
                    f"is ovn-controller running there, and Open vSwitch? ovnhook node show {quoted(host)}",
                )
            time.sleep(_POLL_INTERVAL)

    def _get(self, name: str, deadline: Deadline) -> api.Router:
        return self._messages([router_rules.find(name, self._northbound.cloud(deadline))], deadline)[0]

    def _messages(self, networks: Sequence[Network], deadline: Deadline) -> list[api.Router]:
        gateways, active = self._northbound.gateways(deadline), self._active(deadline)
        return [
            message(network, gateways.get(network.router.name, ()), active.get(network.router.name, ""))
            for network in networks
        ]

    def _active(self, deadline: Deadline) -> dict[str, str]:
        """Active gateways by router; empty if the southbound database is unreachable."""
        try:
            return self._southbound.active_gateways(deadline.half(_TIMEOUT))
        except Unavailable as error:
            _log.warning("cannot read the active gateways: %s", error)
            return {}


def message(network: Network, gateways: Sequence[str], active: str) -> api.Router:
    """Message of a router, with its gateways by priority and the active one."""
    one, written = network.router, request_of(network.router)
    return api.Router(
        name=one.name,
        **{name: getattr(written, name) for name in SETTINGS},
        subnets=[subnet.name for subnet in network.subnets],
        gateways=gateways,
        active_gateway=active if one.external and gateways else "",
        logical_router=str(one.uuid),
        external_switch=str(uuids.part("external", one.name)) if one.external else "",
    )
