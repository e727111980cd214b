"""The service ``ovnhook.v1.Subnets``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, Self
from uuid import UUID

import grpc

from ovnhook.api.v1 import subnets_pb2 as api
from ovnhook.api.v1 import subnets_pb2_grpc
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, Unavailable
from ovnhook.control.hostroutes import refuse_host_networks
from ovnhook.control.interruptions import refuse_interruptions
from ovnhook.control.pages import page
from ovnhook.control.repairs import Repairs
from ovnhook.control.roles import CHANGES, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.view import Parts
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.domains.plan import follow_subnet
from ovnhook.resources.kind import Change
from ovnhook.resources.kinds import complete
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.values import DEFAULT_ROUTER
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet import rules as subnet_rules
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.request import SETTINGS, SubnetRequest, Underlay, parse, with_changes
from ovnhook.resources.subnet.rows import dhcp_options
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS
from ovnhook.resources.virtual_address.values import VirtualAddress

_log = logging.getLogger(__name__)

_LISTS = ("ranges", "dns", "search", "routes", "extra_dhcp_options", "security_groups")
_TIMEOUT = 2.0  # seconds for the southbound database, which is needed only for messages


class Subnets(Service):
    """Creates, lists, updates and deletes subnets.

    Args:
        northbound: northbound database.
        southbound: southbound database, with the network IDs.
        measure_underlay: measures the underlay's MTU.
        repairs: commits changes, after repairs of rows that they depend on.
    """

    NAME = "ovnhook.v1.Subnets"
    KIND = SUBNET
    RULES: ClassVar[Mapping[str, Rule]] = {
        "CreateSubnet": CHANGES,
        "GetSubnet": READS,
        "ListSubnets": READS,
        "UpdateSubnet": CHANGES,
        "DeleteSubnet": CHANGES,
    }

    def __init__(
        self,
        northbound: Northbound,
        southbound: Southbound,
        measure_underlay: Callable[[Deadline], Underlay],
        repairs: Repairs,
    ) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._measure_underlay = measure_underlay
        self._repairs = repairs

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.southbound, found.measure_underlay, found.repairs)

    @staticmethod
    def shown(parts: Parts) -> api.Subnet | None:
        """Message that watches show of a subnet: without its network ID, which is in the southbound database."""
        for one in parts.of(SUBNET):
            default = any(registry.default_subnet == one.name for registry in parts.of(REGISTRY))
            used, virtual = parts.counts.get(one.cidr.version, 0), parts.of(VIRTUAL_ADDRESS)
            return message(replace(one, default=default), used, network_id=0, virtual=virtual)
        return None

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        subnets_pb2_grpc.add_SubnetsServicer_to_server(self, server)

    def CreateSubnet(self, request: api.CreateSubnetRequest, deadline: Deadline) -> api.Subnet:
        """Create a subnet. Idempotent."""
        requested = request.subnet
        wanted = SubnetRequest(
            name=requested.name,
            cidr=requested.cidr,
            gateway=requested.gateway,
            ranges=tuple(requested.ranges),
            dns=tuple(requested.dns),
            dns_domain=requested.dns_domain,
            mtu=requested.mtu,
            default=requested.default,
            router=_router(requested),
            isolated=requested.isolated,
            cidr6=requested.cidr6,
            extra_dhcp_options=tuple(requested.extra_dhcp_options),
            search=tuple(requested.search),
            routes=tuple(requested.routes),
            lease_time=requested.lease_time,
            boot_server=requested.boot_server,
            boot_file=requested.boot_file,
            ipxe=requested.ipxe,
            security_groups=tuple(requested.security_groups),
            limit_inbound=requested.limit_inbound,
            limit_outbound=requested.limit_outbound,
        )
        underlay = self._measure_underlay(deadline)
        parse(wanted, underlay)  # an invalid request is refused even if the database is unreachable

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            foreign = self._northbound.is_foreign_switch(wanted.name, deadline)
            planned = complete(subnet_rules.create(wanted, underlay, cloud, name_is_foreign=foreign), cloud)
            refuse_host_networks(planned, self._southbound, deadline)
            return planned

        self._repairs.carry_out(plan, f"subnet {wanted.name} ({wanted.cidr}) is created", deadline)
        return self._get(wanted.name, deadline)

    def GetSubnet(self, request: api.GetSubnetRequest, deadline: Deadline) -> api.Subnet:
        """Return one subnet."""
        return self._get(request.name, deadline)

    def ListSubnets(self, request: api.ListSubnetsRequest, deadline: Deadline) -> api.ListSubnetsResponse:
        """List the subnets."""
        cloud = self._northbound.cloud(deadline)
        existing = router_rules.find(request.router, cloud).subnets if request.router else cloud.of(Subnet)
        used = self._northbound.lease_counts(deadline)
        virtual = self._northbound.virtual_addresses(deadline)
        ids = self._network_ids(deadline) if existing else {}
        shown, token = page(
            existing,
            lambda one: (one.name,),
            request.page_size,
            request.page_token,
            lambda one: message(one, used[one.name, one.cidr.version], ids.get(one.uuid, 0), virtual),
        )
        return api.ListSubnetsResponse(subnets=shown, next_page_token=token)

    def UpdateSubnet(self, request: api.UpdateSubnetRequest, deadline: Deadline) -> api.Subnet:
        """Change the settings that the mask names."""
        requested, paths = request.subnet, list(request.update_mask.paths)
        if not paths:
            raise InvalidRequest("empty update_mask", f"valid paths: {', '.join(SETTINGS)}")
        changes = {
            path: tuple(getattr(requested, path)) if path in _LISTS else getattr(requested, path, None)
            for path in paths
        }
        if "router" in changes:
            changes["router"] = _router(requested)
        underlay = self._measure_underlay(deadline) if "mtu" in paths else Underlay()

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            old = subnet_rules.find(requested.name, cloud)
            new = with_changes(old, changes, underlay)
            named = self._northbound.dns_records(old.name, deadline)
            leases = self._northbound.leases(deadline, subnet=old.name)
            virtual = self._northbound.virtual_addresses(deadline, subnet=old.name)
            planned = complete(subnet_rules.update(old, new, cloud, named, leases, virtual), cloud)
            if (new.security_groups, new.limits) != (old.security_groups, old.limits):
                planned = (*planned, *follow_subnet(new, self._northbound.ports(deadline, subnet=old.name)))
            refuse_host_networks(planned, self._southbound, deadline)
            if not request.force:
                refuse_interruptions(planned, cloud, self._northbound, self._southbound, deadline)
            return planned

        self._repairs.carry_out(plan, f"subnet {requested.name}: settings changed: {', '.join(paths)}", deadline)
        return self._get(requested.name, deadline)

    def DeleteSubnet(self, request: api.DeleteSubnetRequest, deadline: Deadline) -> api.DeleteSubnetResponse:
        """Delete a subnet without leases and ports."""

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            gone = subnet_rules.find(request.name, cloud)
            leases = self._northbound.leases(deadline, subnet=gone.name)
            ports = [] if leases else self._northbound.port_names(gone.name, deadline)
            return complete(subnet_rules.delete(gone, cloud, leases, ports), cloud)

        self._repairs.carry_out(plan, f"subnet {request.name} is deleted", deadline)
        return api.DeleteSubnetResponse()

    def _get(self, name: str, deadline: Deadline) -> api.Subnet:
        found = subnet_rules.find(name, self._northbound.cloud(deadline))
        used = self._northbound.lease_counts(deadline, subnet=name)[name, found.cidr.version]
        ids = self._network_ids(deadline, logical_switch=str(found.uuid))
        virtual = self._northbound.virtual_addresses(deadline, subnet=name)
        return message(found, used, ids.get(found.uuid, 0), virtual)

    def _network_ids(self, deadline: Deadline, **which: str) -> dict[UUID, int]:
        """Network IDs by subnet; empty if the southbound database is unreachable."""
        try:
            return self._southbound.tunnel_keys(deadline.half(_TIMEOUT), **which)
        except Unavailable as error:
            _log.warning("cannot read the network IDs: %s", error)
            return {}


def _router(requested: api.Subnet) -> str:
    """Name of the requested router."""
    return requested.router if requested.HasField("router") else DEFAULT_ROUTER


def message(one: Subnet, used: int, network_id: int, virtual: Iterable[VirtualAddress]) -> api.Subnet:
    """Message of a subnet, with its number of leases, its network ID in tunnels, and some virtual addresses."""
    return api.Subnet(
        name=one.name,
        cidr=str(one.cidr),
        gateway=str(one.gateway),
        router=one.router,
        ranges=map(str, one.ranges),
        dns=map(str, one.dns),
        dns_domain=one.dns_domain,
        search=one.dhcp.search,
        routes=map(str, one.dhcp.routes),
        lease_time=one.dhcp.lease_time,
        boot_server=str(one.dhcp.boot_server or ""),
        boot_file=one.dhcp.boot_file,
        ipxe=one.dhcp.ipxe,
        limit_inbound=one.limits.inbound,
        limit_outbound=one.limits.outbound,
        extra_dhcp_options=one.dhcp.assignments,
        mtu=one.mtu,
        default=one.default,
        isolated=one.isolated,
        used=used,
        capacity=address.capacity(one),
        network_id=network_id,
        logical_switch=str(one.uuid),
        dhcp_options=[str(uuid) for uuid in dhcp_options(one)],
        cidr6=str(one.cidr6 or ""),
        gateway6=str(one.gateway6 or ""),
        resolvers=map(str, one.resolvers),
        names=str(uuids.dns_records(one.name)),
        security_groups=one.security_groups,
        virtual_addresses=[
            api.VirtualAddress(address=str(where.address), domains=where.domains)
            for where in sorted(virtual, key=lambda where: where.address)
            if where.subnet == one.name
        ],
    )
