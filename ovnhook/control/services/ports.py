"""The service ``ovnhook.v1.Ports``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, Self

import grpc
from netaddr import IPAddress

from ovnhook.api.v1 import attachments_pb2, ports_pb2_grpc
from ovnhook.api.v1 import ports_pb2 as api
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, FailedPrecondition, NotFound
from ovnhook.base.text import quoted
from ovnhook.control.filters import of_domain
from ovnhook.control.pages import page
from ovnhook.control.roles import CHANGES_OF_A_HOST, READS, Rule, check_host
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.services.attachments import Attachments
from ovnhook.control.view import Parts
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import InterfaceRequest
from ovnhook.engine.attach import Attachment
from ovnhook.pki.x509 import Subject
from ovnhook.resources import naming
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.port.values import Owner, Port
from ovnhook.resources.subnet.rules import find


class Ports(Service):
    """Lists ports, and creates and deletes client ports.

    Args:
        northbound: northbound database.
        attachment: creates and deletes ports.
        attachments: checks requests.
    """

    NAME = "ovnhook.v1.Ports"
    KIND = PORT
    RULES: ClassVar[Mapping[str, Rule]] = {
        "ListPorts": READS,
        "GetPort": READS,
        "CreatePort": CHANGES_OF_A_HOST,
        "DeletePort": CHANGES_OF_A_HOST,
    }

    def __init__(self, northbound: Northbound, attachment: Attachment, attachments: Attachments) -> None:
        self._northbound = northbound
        self._attachment = attachment
        self._attachments = attachments

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.attachment, Attachments.of(found))

    @staticmethod
    def shown(parts: Parts) -> api.Port | None:
        """Message that watches show of a port."""
        return next(map(message, parts.of(PORT)), None)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        ports_pb2_grpc.add_PortsServicer_to_server(self, server)

    def ListPorts(self, request: api.ListPortsRequest, deadline: Deadline) -> api.ListPortsResponse:
        """List ports."""
        where = {}
        if request.subnet:
            where["subnet"] = find(request.subnet, self._northbound.cloud(deadline)).name
        if request.host:
            where["host"] = request.host
        ports = of_domain(self._northbound.ports(deadline, **where), request.domain)
        shown, token = page(
            ports, lambda port: (port.domain_name, port.mac, port.id), request.page_size, request.page_token, message
        )
        return api.ListPortsResponse(ports=shown, next_page_token=token)

    def GetPort(self, request: api.GetPortRequest, deadline: Deadline) -> api.Port:
        """Return one port."""
        return message(self._named(request.id, deadline))

    def CreatePort(
        self, request: api.CreatePortRequest, deadline: Deadline, caller: Subject
    ) -> attachments_pb2.AttachedInterface:
        """Attach one interface. Idempotent."""
        check_host(caller, request.host)
        domain = self._attachments.one(request)
        (interface,) = domain.interfaces
        known = self._northbound.observe_with_leases(domain.uuid, domain.macs, deadline)
        if existing := known.ports.get(interface.mac):
            names = {lease.hostname for lease in known.leases.values() if lease.mac == existing.mac}
            requested = (
                interface.request if request.interface.hostname else replace(interface.request, hostname="".join(names))
            )
            if requested.security_groups is None and existing.names_groups:
                requested = replace(requested, security_groups=existing.security_groups)
            _check_same(existing, requested, names, interface.interface_id, request.host)
            requested = replace(requested, subnet=existing.subnet, addresses=existing.addresses, isolated=False)
            domain = replace(domain, interfaces=(replace(interface, request=requested),))
        held = known.lease_index.leases if known.lease_index else ()
        whole = replace(domain, macs=tuple(dict.fromkeys([*(mac for mac, _, _ in held), *domain.macs])))
        (placement,) = self._attachments.attach(whole, request.host, deadline, caller)
        return self._attachments.message(whole, placement)

    def DeletePort(self, request: api.DeletePortRequest, deadline: Deadline, caller: Subject) -> api.DeletePortResponse:
        """Delete a client port."""
        port = self._named(request.id, deadline, lost=True)
        check_host(caller, port.host)  # if its host changes meanwhile, it is not deleted
        if port.kept_by is Owner.LIBVIRT:
            raise FailedPrecondition(
                f"port {port.id} belongs to domain {port.domain_name}, which runs on {port.host}",
                f"virsh destroy {quoted(port.domain_name)}",
            )
        self._attachment.remove(port, deadline)
        return api.DeletePortResponse()

    def _named(self, name: str, deadline: Deadline, *, lost: bool = False) -> Port:
        """Port by any of its names (ovnhook.resources.naming).

        Args:
            name: name as typed.
            deadline: when to give up.
            lost: include ports that were removed from their switch.
        """
        taken, port = self._northbound.port_named(name, deadline)
        if port:
            return port
        stored = self._northbound.domain_rows(deadline) if lost else None
        among = [*stored.ports, *stored.lost] if stored else self._northbound.ports(deadline)
        found = sorted(naming.resolve(name, among), key=lambda port: (port.domain_name, port.mac))
        if not found:
            reason = ": the logical switch port of that name is not ovnhook's" if taken else ""
            raise NotFound(f"there is no port '{name}'{reason}", "ovnhook port list")
        return naming.require_single(name, found)


def _check_same(port: Port, requested: InterfaceRequest, names: set[str], port_id: str, host: str) -> None:
    """Raise AlreadyExists if the existing port differs from the requested one."""
    old, new = _joined(port.addresses), _joined(requested.addresses)
    had, groups = port.security_groups if port.names_groups else None, requested.security_groups
    differences = [
        f"its {setting} is {current}, not {wanted}"
        for setting, current, wanted, differs in (
            ("host", port.host, host, port.host != host),
            ("subnet", port.subnet, requested.subnet, requested.subnet not in ("", port.subnet)),
            ("address", old, new, not {*requested.addresses} <= {*port.addresses}),
            ("host name", " ".join(names), requested.hostname, bool(names) and requested.hostname not in names),
            ("list of security groups", _groups(had), _groups(groups), groups not in (None, had)),
            ("id", port.id, port_id, port_id not in ("", port.id)),
            ("configuration", str(port.options), str(requested.options), requested.options != port.options),
        )
        if differs
    ]
    if differences:
        raise AlreadyExists(
            f"domain {port.domain_name} already has interface {port.mac}: {', '.join(differences)}",
            f"ovnhook port delete {quoted(port.id)}",
        )


def _groups(names: tuple[str, ...] | None) -> str:
    return "that of the subnet" if names is None else " ".join(names) or "empty"


def _joined(addresses: Iterable[IPAddress]) -> str:
    return " ".join(map(str, addresses))


def message(port: Port) -> api.Port:
    """Message of a port."""
    return api.Port(
        id=port.id,
        subnet=port.subnet,
        mac=port.mac,
        addresses=map(str, port.addresses),
        domain=str(port.domain),
        domain_name=port.domain_name,
        host=port.host,
        up=port.up,
        kept_by=port.kept_by.value,
        moving_to=port.moving_to,
        allowed_addresses=port.options.allowed,
        port_security_off=not port.options.security,
        security_groups=port.security_groups,
        limit_inbound=port.limits.inbound,
        limit_outbound=port.limits.outbound,
        virtual_addresses=map(str, port.options.virtual),
    )
