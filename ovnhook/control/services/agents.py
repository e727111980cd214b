"""The service ``ovnhook.v1.Agents``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar, Self

import grpc

from ovnhook.api.agentmessages import domain_of, object_message, refusal_message, uuid_of
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.api.v1 import agents_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, NotFound
from ovnhook.base.text import visible
from ovnhook.control.agentstates import AgentStates
from ovnhook.control.hostfeed import HostFeed
from ovnhook.control.roles import CHANGES_OF_A_HOST, MIGRATES_TO_A_HOST, WATCHES_A_HOST, Rule, check_host
from ovnhook.control.service import Dependencies, Service
from ovnhook.databases.southbound import Southbound
from ovnhook.domains.inventory import HostObject
from ovnhook.domains.values import Domain
from ovnhook.engine.attach import Attachment
from ovnhook.pki.x509 import Subject
from ovnhook.resources import ip
from ovnhook.resources.chassis import NextHop, Report
from ovnhook.resources.hostvalues import HostSubnet

_MAX_WORD = 100  # characters of a version, or of the name of a physical network
_MAX_NETWORKS = 100
_MAX_NEXT_HOPS = 100

Operation = Callable[[Domain, str, Deadline], None]
"""Method of Attachment for a domain on a host."""


class Agents(Service):
    """Does for nodes what concerns the domains of their libvirt.

    Args:
        attachment: creates and deletes ports and leases.
        southbound: southbound database.
        states: finds the state of other hosts' agents.
        hosts: streams what concerns each host.
        clock: returns the seconds since 1970.
    """

    NAME = "ovnhook.v1.Agents"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "AttachDomain": CHANGES_OF_A_HOST,
        "RollBackStart": CHANGES_OF_A_HOST,
        "DetachDomain": CHANGES_OF_A_HOST,
        "UpdateDomainLeases": CHANGES_OF_A_HOST,
        "ReleaseDomainLeases": CHANGES_OF_A_HOST,
        "AnnounceMigration": MIGRATES_TO_A_HOST,
        "ConfirmMigration": CHANGES_OF_A_HOST,
        "FinishMigration": CHANGES_OF_A_HOST,
        "CancelMigration": CHANGES_OF_A_HOST,
        "GetDomain": CHANGES_OF_A_HOST,
        "WatchHost": WATCHES_A_HOST,
        "ReportHost": CHANGES_OF_A_HOST,
    }

    def __init__(
        self,
        attachment: Attachment,
        southbound: Southbound,
        states: AgentStates,
        hosts: HostFeed,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._attachment = attachment
        self._southbound = southbound
        self._states = states
        self._hosts = hosts
        self._clock = clock

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.attachment, found.southbound, found.states, found.hosts)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        agents_pb2_grpc.add_AgentsServicer_to_server(self, server)

    def AttachDomain(
        self, request: api.AttachDomainRequest, deadline: Deadline, caller: Subject
    ) -> api.AttachDomainResponse:
        """Create the port and the leases of every interface."""
        host, domain = _host(request.host, caller), domain_of(request.domain)
        attached = self._attachment.attach(
            domain,
            host,
            deadline,
            running=request.running,
            find_state=partial(self._states.find, deadline=deadline),
            rows_left=partial(self._hosts.rows_left, host),
        )
        return api.AttachDomainResponse(
            arrives=attached.arrives,
            refused=map(refusal_message, attached.refused),
            pending_until_restart=attached.pending_until_restart,
            knows_security_groups=True,
        )

    def RollBackStart(self, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.DomainResponse:
        """Delete what a failed start has created."""
        return _done(self._attachment.roll_back, request, deadline, caller)

    def DetachDomain(self, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.DomainResponse:
        """Delete a domain's ports on the host, or leave them to the other host of a migration."""
        return _done(self._attachment.detach, request, deadline, caller)

    def UpdateDomainLeases(self, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.DomainResponse:
        """Update the leases of a domain that is shut off to its definition."""
        return _done(self._attachment.update_leases, request, deadline, caller)

    def ReleaseDomainLeases(
        self, request: api.DomainRequest, deadline: Deadline, caller: Subject
    ) -> api.DomainResponse:
        """Release all leases of a domain that no longer exists."""
        return _done(self._attachment.release_leases, request, deadline, caller)

    def AnnounceMigration(self, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.DomainResponse:
        """Allow the destination to bind a domain's ports, too, once the source has confirmed it."""
        announce = partial(self._attachment.announce, find_state=partial(self._states.find, deadline=deadline))
        return _done(announce, request, deadline, caller)

    def ConfirmMigration(
        self, request: api.ConfirmMigrationRequest, deadline: Deadline, caller: Subject
    ) -> api.DomainResponse:
        """Confirm a requested migration as its source."""
        host, uuid = _host(request.host, caller), uuid_of(request.domain, "domain")
        self._attachment.confirm_migration(Domain(uuid, request.domain), host, request.destination, deadline)
        return api.DomainResponse()

    def FinishMigration(self, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.DomainResponse:
        """Complete a migration to the host."""
        return _done(self._attachment.finish_migration, request, deadline, caller)

    def CancelMigration(self, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.DomainResponse:
        """Cancel a migration from the host."""
        return _done(self._attachment.cancel_migration, request, deadline, caller)

    def GetDomain(self, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.GetDomainResponse:
        """Read all objects of a domain, and the subnets of its ports and leases."""
        _host(request.host, caller)
        domain = domain_of(request.domain)
        found = self._attachment.domain(domain, deadline)
        objects: list[HostObject] = [found.lease_index] if found.lease_index else []
        objects += [*found.ports.values(), *map(HostSubnet.of, found.subnets.values())]
        objects += [lease for lease in found.leases.values() if lease.domain == domain.uuid]
        return api.GetDomainResponse(objects=map(object_message, objects))

    def WatchHost(
        self, request: api.WatchHostRequest, context: grpc.ServicerContext, caller: Subject
    ) -> Iterator[api.HostUpdate]:
        """Stream what concerns the host until the client or the service ends."""
        return self._hosts.watch(_host(request.host, caller), request.revision, context)

    def ReportHost(self, request: api.ReportHostRequest, deadline: Deadline, caller: Subject) -> api.ReportHostResponse:
        """Write the report of a host to its row of the southbound database."""
        host = _host(request.host, caller)
        if not self._southbound.publish(host, _report(request), self._clock(), deadline):
            raise NotFound(f"the southbound database does not know host {host}", "is ovn-controller running there?")
        asked = _next_hops(request)
        silent = self._southbound.silent_next_hops(host, asked, deadline) if asked else []
        return api.ReportHostResponse(
            silent_next_hops=[api.NextHop(router=one.router, address=one.address) for one in silent]
        )


def _done(operation: Operation, request: api.DomainRequest, deadline: Deadline, caller: Subject) -> api.DomainResponse:
    host = _host(request.host, caller)
    operation(domain_of(request.domain), host, deadline)
    return api.DomainResponse()


def _host(name: str, caller: Subject) -> str:
    """The host of a request.

    Raises:
        InvalidRequest: it is missing.
        PermissionDenied: the caller is another node.
    """
    check_host(caller, name)
    if not name:
        raise InvalidRequest("host is missing")
    return name


def _next_hops(request: api.ReportHostRequest) -> list[NextHop]:
    """The next hops in a request.

    Raises:
        InvalidRequest: invalid address, or too many.
    """
    if len(request.next_hops) > _MAX_NEXT_HOPS:
        raise InvalidRequest(f"{len(request.next_hops)} next_hops: expected at most {_MAX_NEXT_HOPS}")
    for one in request.next_hops:
        if not ip.is_ipv4(one.address):
            raise InvalidRequest(f"next_hops {one.address[:_MAX_WORD]!r}: expected an IPv4 address")
    return [NextHop(one.router, one.address) for one in request.next_hops]


def _report(request: api.ReportHostRequest) -> Report:
    """The report in a request.

    Raises:
        InvalidRequest: invalid value.
    """
    for field, text in (
        ("agent_version", request.agent_version),
        ("ovs_version", request.ovs_version),
        *(("uplinks_down", network) for network in request.uplinks_down),
        *(("foreign_networks", network) for network in request.foreign_networks),
    ):
        if len(text) > _MAX_WORD or not text.isprintable() or " " in text:
            raise InvalidRequest(f"{field} {text[:_MAX_WORD]!r}: expected at most {_MAX_WORD} printable characters")
    for network in request.networks:
        if not ip.is_network(network):
            raise InvalidRequest(f"networks {network[:_MAX_WORD]!r}: expected ADDRESS/LENGTH")
    for field, networks in (
        ("uplinks_down", request.uplinks_down),
        ("foreign_networks", request.foreign_networks),
    ):
        if len(networks) > _MAX_NETWORKS:
            raise InvalidRequest(f"{len(networks)} {field}: expected at most {_MAX_NETWORKS}")
    return Report(
        request.agent_version,
        request.ovs_version,
        tuple(request.uplinks_down),
        tuple(map(visible, request.problems)),
        request.mtu,
        request.serves_dns if request.HasField("serves_dns") else None,
        tuple(request.networks[:_MAX_NETWORKS]),
        tuple(request.foreign_networks),
    )
