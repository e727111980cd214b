"""The service ``ovnhook.v1.Attachments``, and attaching as ``Ports`` does it too."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import attachments_pb2 as api
from ovnhook.api.v1 import attachments_pb2_grpc, ports_pb2
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NotFound
from ovnhook.control.hostfeed import HostFeed
from ovnhook.control.roles import CHANGES_OF_A_HOST, Rule, check_host
from ovnhook.control.service import Dependencies, Service
from ovnhook.databases.southbound import Southbound
from ovnhook.domains import clientdomain
from ovnhook.domains.choice import Placement
from ovnhook.domains.clientdomain import ClientInterface
from ovnhook.domains.interfacexml import interface_xml
from ovnhook.domains.presence import AgentState
from ovnhook.domains.values import Domain
from ovnhook.engine.attach import Attachment
from ovnhook.pki.x509 import NODE, Subject


class Attachments(Service):
    """Attaches and detaches domains of API clients, which libvirt does not manage.

    Args:
        attachment: attaches domains.
        southbound: southbound database.
        hosts: counts the rows of each host.
        bridge: name of the hosts' integration bridge.
    """

    NAME = "ovnhook.v1.Attachments"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "Attach": CHANGES_OF_A_HOST,
        "Detach": CHANGES_OF_A_HOST,
    }

    def __init__(self, attachment: Attachment, southbound: Southbound, hosts: HostFeed, bridge: str) -> None:
        self._attachment = attachment
        self._southbound = southbound
        self._hosts = hosts
        self._bridge = bridge

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.attachment, found.southbound, found.hosts, found.config.integration_bridge)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        attachments_pb2_grpc.add_AttachmentsServicer_to_server(self, server)

    def Attach(self, request: api.AttachRequest, deadline: Deadline, caller: Subject) -> api.AttachResponse:
        """Create the port and the leases of every interface."""
        domain = clientdomain.make(request.domain, request.name, map(_requested, request.interfaces))
        placements = self.attach(domain, request.host, deadline, caller)
        return api.AttachResponse(interfaces=[self.message(domain, one) for one in placements])

    def Detach(self, request: api.DetachRequest, deadline: Deadline, caller: Subject) -> api.DetachResponse:
        """Delete a domain's ports on a host, and on request its leases."""
        check_host(caller, request.host)
        domain = clientdomain.identify(request.domain, request.name)
        (self._attachment.release_leases if request.forget else self._attachment.detach)(domain, request.host, deadline)
        return api.DetachResponse()

    def one(self, request: ports_pb2.CreatePortRequest) -> Domain:
        """Domain of a request for one port, with that interface.

        Raises:
            InvalidRequest: invalid value.
        """
        return clientdomain.make(request.domain, request.name, [_requested(request.interface)])

    def attach(self, domain: Domain, host: str, deadline: Deadline, caller: Subject) -> tuple[Placement, ...]:
        """Attach a domain on an existing host, unless libvirt manages it.

        Raises:
            PermissionDenied: the caller is a node, and the host, or the one that has the domain, is another one.
            NotFound: no such host.
            FailedPrecondition: libvirt manages the domain.
        """
        check_host(caller, host)
        if host not in (node.name for node in self._southbound.nodes(deadline)):
            raise NotFound(f"there is no host '{host}'", "ovnhook node list")
        others = AgentState.ALIVE if caller.role == NODE else AgentState.DEAD
        return self._attachment.attach(
            domain, host, deadline, find_state=lambda _: others, rows_left=partial(self._hosts.rows_left, host)
        ).placements

    def message(self, domain: Domain, placement: Placement) -> api.AttachedInterface:
        """Message of an attached interface."""
        interface, subnet = placement.interface, placement.subnet
        name = domain.port_id(interface)
        return api.AttachedInterface(
            id=name,
            mac=interface.mac,
            subnet=subnet.name,
            addresses=map(str, placement.addresses),
            mtu=subnet.mtu,
            xml=interface_xml(name, interface.mac, self._bridge, subnet.mtu),
        )


def _requested(interface: api.Interface) -> ClientInterface:
    return ClientInterface(
        mac=interface.mac,
        subnet=interface.subnet,
        isolated=interface.isolated,
        addresses=tuple(interface.addresses),
        hostname=interface.hostname,
        id=interface.id,
        allowed_addresses=tuple(interface.allowed_addresses),
        port_security=not interface.port_security_off,
        security_groups=tuple(interface.security_groups.names) if interface.HasField("security_groups") else None,
        limit_inbound=interface.limit_inbound,
        limit_outbound=interface.limit_outbound,
        virtual_addresses=tuple(interface.virtual_addresses),
    )
