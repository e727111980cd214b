"""The service ``ovnhook.v1.FloatingIps``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import floating_ips_pb2 as api
from ovnhook.api.v1 import floating_ips_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NotFound
from ovnhook.control.filters import of_domain
from ovnhook.control.pages import page
from ovnhook.control.repairs import Repairs
from ovnhook.control.roles import CHANGES, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.view import Parts
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.floating_ip import rules as floating_ip_rules
from ovnhook.resources.floating_ip.kind import FLOATING_IP
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.kind import Change
from ovnhook.resources.kinds import complete
from ovnhook.resources.router import rules as router_rules


class FloatingIps(Service):
    """Creates, lists and deletes floating IPs.

    Args:
        northbound: northbound database.
        repairs: commits changes, after repairs of rows that they depend on.
    """

    NAME = "ovnhook.v1.FloatingIps"
    KIND = FLOATING_IP
    RULES: ClassVar[Mapping[str, Rule]] = {
        "CreateFloatingIp": CHANGES,
        "ListFloatingIps": READS,
        "DeleteFloatingIp": CHANGES,
    }

    def __init__(self, northbound: Northbound, repairs: Repairs) -> None:
        self._northbound = northbound
        self._repairs = repairs

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.repairs)

    @staticmethod
    def shown(parts: Parts) -> api.FloatingIp | None:
        """Message that watches show of a floating IP."""
        return next(map(message, parts.of(FLOATING_IP)), None)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        floating_ips_pb2_grpc.add_FloatingIpsServicer_to_server(self, server)

    def CreateFloatingIp(self, request: api.CreateFloatingIpRequest, deadline: Deadline) -> api.FloatingIp:
        """Create a floating IP for an interface or a virtual address. Idempotent."""

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            leases, ports = self._northbound.leases(deadline), self._northbound.ports(deadline)
            virtual = self._northbound.virtual_addresses(deadline)
            changes = floating_ip_rules.create(request.address, request.target, leases, ports, virtual, cloud)
            return complete(changes, cloud)

        self._repairs.carry_out(plan, f"floating IP {request.address} is created for {request.target}", deadline)
        for one in self._northbound.cloud(deadline).of(FloatingIp):
            if str(one.address) == request.address:
                return message(one)
        raise NotFound(f"floating IP {request.address} was deleted at the same time")

    def ListFloatingIps(self, request: api.ListFloatingIpsRequest, deadline: Deadline) -> api.ListFloatingIpsResponse:
        """List the floating IPs."""
        cloud = self._northbound.cloud(deadline)
        name = router_rules.find(request.router, cloud).router.name if request.router else ""
        existing = [one for one in of_domain(cloud.of(FloatingIp), request.domain) if name in ("", one.router)]
        shown, token = page(
            existing, lambda one: (one.router, int(one.address)), request.page_size, request.page_token, message
        )
        return api.ListFloatingIpsResponse(floating_ips=shown, next_page_token=token)

    def DeleteFloatingIp(
        self, request: api.DeleteFloatingIpRequest, deadline: Deadline
    ) -> api.DeleteFloatingIpResponse:
        """Delete a floating IP."""

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            return complete(floating_ip_rules.delete(request.address, cloud), cloud)

        self._repairs.carry_out(plan, f"floating IP {request.address} is deleted", deadline)
        return api.DeleteFloatingIpResponse()


def message(one: FloatingIp) -> api.FloatingIp:
    """Message of a floating IP."""
    return api.FloatingIp(
        address=str(one.address),
        router=one.router,
        subnet=one.subnet,
        inside=str(one.inside),
        domain=str(one.domain or ""),
        domain_name=one.domain_name,
        mac=one.mac,
        nat=str(one.uuid),
    )
