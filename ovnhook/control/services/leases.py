"""The service ``ovnhook.v1.Leases``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

import grpc
from netaddr import IPAddress

from ovnhook.api.v1 import leases_pb2 as api
from ovnhook.api.v1 import leases_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, NotFound
from ovnhook.control.filters import of_domain
from ovnhook.control.pages import page
from ovnhook.control.roles import CHANGES, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.view import Parts
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import plan
from ovnhook.engine.commit import carry_out
from ovnhook.resources import naming
from ovnhook.resources.ip import is_ip
from ovnhook.resources.kind import Change
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.subnet.rules import find
from ovnhook.resources.subnet.values import Subnet

_MAX_LISTED = 10  # addresses in an error message


class Leases(Service):
    """Lists leases, and releases those whose domain does not run.

    Args:
        northbound: northbound database.
    """

    NAME = "ovnhook.v1.Leases"
    KIND = LEASE
    RULES: ClassVar[Mapping[str, Rule]] = {
        "ListLeases": READS,
        "ReleaseLease": CHANGES,
    }

    def __init__(self, northbound: Northbound) -> None:
        self._northbound = northbound

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound)

    @staticmethod
    def shown(parts: Parts) -> api.Lease | None:
        """Message that watches show of a lease."""
        running = {(port.domain, port.mac) for port in parts.of(PORT)}
        return next((message(one, in_use=(one.domain, one.mac) in running) for one in parts.of(LEASE)), None)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        leases_pb2_grpc.add_LeasesServicer_to_server(self, server)

    def ListLeases(self, request: api.ListLeasesRequest, deadline: Deadline) -> api.ListLeasesResponse:
        """List leases."""
        where = {}
        if request.subnet:
            where["subnet"] = find(request.subnet, self._northbound.cloud(deadline)).name
        hosts = {"host": request.host} if request.host else {}
        leases = of_domain(self._northbound.leases(deadline, **where, **hosts), request.domain)
        running = {(port.domain, port.mac) for port in self._northbound.ports(deadline, **where)}
        shown, token = page(
            leases,
            lambda lease: (lease.subnet, lease.address.version, int(lease.address)),
            request.page_size,
            request.page_token,
            lambda lease: message(lease, in_use=(lease.domain, lease.mac) in running),
        )
        return api.ListLeasesResponse(leases=shown, next_page_token=token)

    def ReleaseLease(self, request: api.ReleaseLeaseRequest, deadline: Deadline) -> api.ReleaseLeaseResponse:
        """Release a lease."""
        released = api.Lease()

        def release() -> tuple[Change, ...]:
            nonlocal released
            if is_ip(request.address):
                lease = self._lease(IPAddress(request.address), request.subnet, deadline)
            else:
                lease = self._named(request.address, request.subnet, deadline)
            released = message(lease, in_use=False)
            observed = self._northbound.observe_with_leases(lease.domain, [lease.mac], deadline)
            return plan.release_lease(lease, observed)

        carry_out(self._northbound, release, deadline)
        return api.ReleaseLeaseResponse(lease=released)

    def _lease(self, address: IPAddress, name: str, deadline: Deadline) -> Lease:
        """Lease of an address, in a named subnet or the only one that has the address."""
        cloud = self._northbound.cloud(deadline)
        subnets = [find(name, cloud)] if name else _with(address, cloud.of(Subnet))
        if not subnets:
            raise NotFound(f"no subnet has the address {address}", "ovnhook subnet list")
        if len(subnets) > 1:
            names = " and ".join(one.name for one in subnets)
            raise InvalidRequest(f"address {address} is one of subnets {names}", "say which: --subnet NAME")
        (subnet,) = subnets
        leases = self._northbound.leases_at([(subnet.name, address)], deadline)
        if not leases:
            raise NotFound(
                f"address {address} of subnet {subnet.name} is not leased", f"ovnhook lease list --subnet {subnet.name}"
            )
        return leases[subnet.name, address]

    def _named(self, name: str, subnet: str, deadline: Deadline) -> Lease:
        """Lease of an interface by any of its names (ovnhook.resources.naming)."""
        where = {"subnet": find(subnet, self._northbound.cloud(deadline)).name} if subnet else {}
        leases, ports = self._northbound.leases(deadline, **where), self._northbound.ports(deadline, **where)
        held = [lease for one in naming.resolve(name, naming.leased_interfaces(leases, ports)) for lease in one.leases]
        if len(held) != 1:
            choices = ", ".join(str(lease.address) for lease in held[:_MAX_LISTED])
            raise InvalidRequest(
                f"address '{name}' is not an IP address",
                f"'{name}' has several, name one of them: {choices}" if held else "ovnhook lease list",
            )
        return held[0]


def _with(address: IPAddress, subnets: Iterable[Subnet]) -> list[Subnet]:
    """Subnets that have an address."""
    return [one for one in subnets if any(address in network for network in one.gateways)]


def message(lease: Lease, *, in_use: bool) -> api.Lease:
    """Message of a lease."""
    return api.Lease(
        subnet=lease.subnet,
        address=str(lease.address),
        domain=str(lease.domain),
        domain_name=lease.domain_name,
        mac=lease.mac,
        hostname=lease.hostname,
        host=lease.host,
        in_use=in_use,
        keep=lease.keep,
    )
