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
from ovnhook.control.cuts import refuse_cuts
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
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.subnet.kind import SUBNET

_log = logging.getLogger(__name__)

_KEPT = 1.0  # seconds: longer than the others need to find a host dead (ovnhook.resources.router.topology)
_PAUSE = 0.05  # seconds between two looks whether a gateway has moved
_FLOWS_PATIENCE = 5.0  # seconds that a host has to tell that it is ready
_PATIENCE = 2.0  # seconds that the southbound database has, which only tells what is shown


class Routers(Service):
    """Makes, shows, sets and deletes routers.

    Args:
        northbound: where they are.
        southbound: tells which host has a router's leg outside.
        on_change: called, with a deadline, when a router has another leg: its gateways are to be looked at.
        repairs: repairs rows that a change builds on.
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
        self, northbound: Northbound, southbound: Southbound, on_change: Callable[[Deadline], None], repairs: Repairs
    ) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._on_change = on_change
        self._repairs = repairs

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.southbound, found.gateways.look, found.repairs)

    @staticmethod
    def shown(parts: Parts) -> api.Router | None:
        """A router as watchers are shown it: without its active gateway, which the southbound database has."""
        for one in parts.of(ROUTER):
            on = sorted(parts.of(SUBNET), key=SUBNET.order)
            hosts = sorted(parts.of(GATEWAYS), key=lambda gateways: -gateways.priority)
            return message(Network(one, tuple(on)), [host for one in hosts for host in one.hosts], active="")
        return None

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        routers_pb2_grpc.add_RoutersServicer_to_server(self, server)

    def CreateRouter(self, request: api.CreateRouterRequest, deadline: Deadline) -> api.Router:
        """Make a router; succeed where it is there already."""
        asked = request.router
        wanted = router_rules.parse(
            asked.name,
            router_rules.ExternalGatewayRequest(**{name: getattr(asked, name) for name in router_rules.SETTINGS}),
        )

        def plan() -> tuple[Change, ...]:
            foreign = self._northbound.is_foreign_router(asked.name, deadline)
            cloud = self._northbound.cloud(deadline)
            return complete(router_rules.create(wanted, uuid4(), cloud, name_is_foreign=foreign), cloud)

        if self._repairs.carry_out(plan, f"router {asked.name} is made", deadline):
            self._on_change(deadline.half(_PATIENCE))
        return self._get(asked.name, deadline)

    def GetRouter(self, request: api.GetRouterRequest, deadline: Deadline) -> api.Router:
        """Show one."""
        return self._get(request.name, deadline)

    def ListRouters(self, request: api.ListRoutersRequest, deadline: Deadline) -> api.ListRoutersResponse:
        """Show all, in pages."""
        cloud = self._northbound.cloud(deadline)
        messages = self._messages([router_rules.find(one.name, cloud) for one in cloud.of(Router)], deadline)
        shown, token = page(messages, lambda one: (one.name,), request.page_size, request.page_token, lambda one: one)
        return api.ListRoutersResponse(routers=shown, next_page_token=token)

    def UpdateRouter(self, request: api.UpdateRouterRequest, deadline: Deadline) -> api.Router:
        """Change what the mask names."""
        asked, paths = request.router, list(request.update_mask.paths)
        if not paths:
            raise InvalidRequest("update_mask names nothing to set", f"it may name: {', '.join(router_rules.SETTINGS)}")
        changes = {path: getattr(asked, path, None) for path in paths}

        def plan() -> tuple[Change, ...]:
            foreign = self._northbound.is_foreign_router(asked.name, deadline)
            cloud = self._northbound.cloud(deadline)
            changed = router_rules.update(asked.name, changes, uuid4(), cloud, name_is_foreign=foreign)
            planned = complete(changed, cloud)
            if not request.force:
                refuse_cuts(planned, cloud, self._northbound, self._southbound, deadline)
            return planned

        words = f"router {asked.name} has another way outside: {', '.join(paths)}"
        if self._repairs.carry_out(plan, words, deadline):
            self._on_change(deadline.half(_PATIENCE))
        return self._get(asked.name, deadline)

    def DeleteRouter(self, request: api.DeleteRouterRequest, deadline: Deadline) -> api.DeleteRouterResponse:
        """Delete one that no subnet is on."""

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            return complete(router_rules.delete(request.name, cloud), cloud)

        self._repairs.carry_out(plan, f"router {request.name} is deleted", deadline)
        return api.DeleteRouterResponse()

    def MoveGateway(self, request: api.MoveGatewayRequest, deadline: Deadline) -> api.Router:
        """Give a router's leg to a host that is ready for it, and wait until it has it."""
        network = router_rules.find(request.name, self._northbound.cloud(deadline))
        if network.router.external is None:
            raise InvalidRequest(f"router {request.name} does not lead outside", "ovnhook router set --help")

        def plan() -> tuple[Change, ...]:
            gateways = self._northbound.gateways(deadline).get(request.name, ())
            return router_rules.move(network.router, self._southbound.nodes(deadline), request.host, gateways)

        if plan():
            self._await_flows(request.host, deadline)
        self._repairs.carry_out(plan, f"router {request.name}: its gateway is to be {request.host}", deadline)
        self._await_taken(request.name, request.host, deadline)
        return self._messages([network], deadline)[0]

    def _await_taken(self, name: str, host: str, deadline: Deadline) -> None:
        """Wait until a host has a router's leg, and keeps it: one whose switch is dead the others soon pass over."""
        while self._southbound.active_gateways(deadline).get(name) != host:
            deadline.check(f"host {host} has not taken the traffic of router {name}")
            time.sleep(_PAUSE)
        kept = Deadline.after(_KEPT)
        while kept.remaining:
            if self._southbound.active_gateways(deadline).get(name) != host:
                raise Unavailable(
                    f"host {host} has taken the traffic of router {name}, and lost it again",
                    f"is Open vSwitch alive there? ovnhook node show {quoted(host)}",
                )
            time.sleep(_PAUSE)

    def _await_flows(self, host: str, deadline: Deadline) -> None:
        """Wait until a host's switch knows all there is to know, as one that was started just now does not yet.

        Raises:
            Unavailable: it doesn't say so in time.
        """
        soon = Deadline.after(min(_FLOWS_PATIENCE, deadline.remaining / 2))
        count = self._northbound.count_up(soon)
        while (answers := self._southbound.config_progress(deadline)).nodes.get(host, 0) < count:
            if not soon.remaining:
                lost = "the router is left as it is: on a host without its flows its traffic would be lost"
                if answers.northd < count:
                    raise Unavailable(f"ovn-northd does not answer; {lost}", "is ovn-northd running? ovnhook status")
                raise Unavailable(
                    f"ovn-controller on host {host} does not answer; {lost}",
                    f"is ovn-controller running there, and Open vSwitch? ovnhook node show {quoted(host)}",
                )
            time.sleep(_PAUSE)

    def _get(self, name: str, deadline: Deadline) -> api.Router:
        return self._messages([router_rules.find(name, self._northbound.cloud(deadline))], deadline)[0]

    def _messages(self, networks: Sequence[Network], deadline: Deadline) -> list[api.Router]:
        gateways, active = self._northbound.gateways(deadline), self._active(deadline)
        return [
            message(network, gateways.get(network.router.name, ()), active.get(network.router.name, ""))
            for network in networks
        ]

    def _active(self, deadline: Deadline) -> dict[str, str]:
        """The host that has each router's leg, or none where nobody can tell."""
        try:
            return self._southbound.active_gateways(deadline.half(_PATIENCE))
        except Unavailable as error:
            _log.warning("the active gateways are not known: %s", error)
            return {}


def message(network: Network, gateways: Sequence[str], active: str) -> api.Router:
    """A router as the API shows it, with the hosts that can have its leg, and the one that has it."""
    one, written = network.router, router_rules.request_of(network.router)
    return api.Router(
        name=one.name,
        **{name: getattr(written, name) for name in router_rules.SETTINGS},
        subnets=[subnet.name for subnet in network.subnets],
        gateways=gateways,
        active_gateway=active if one.external and gateways else "",
        logical_router=str(one.uuid),
        external_switch=str(uuids.part("external", one.name)) if one.external else "",
    )
