"""The service ``ovnhook.v1.Ports``."""

from __future__ import annotations

from ovnhook.api.v1 import ovnhook_pb2 as api
from ovnhook.control.filters import of_domain
from ovnhook.control.pages import page
from ovnhook.deadline import Deadline
from ovnhook.errors import NotFound
from ovnhook.model import Port
from ovnhook.ovsdb.northbound import Northbound
from ovnhook.subnet import find


class Ports:
    """Shows ports.

    Args:
        northbound: where they are.
    """

    def __init__(self, northbound: Northbound) -> None:
        self._northbound = northbound

    def ListPorts(self, request: api.ListPortsRequest, deadline: Deadline) -> api.ListPortsResponse:
        """Show them, in pages."""
        where = {}
        if request.subnet:
            where["subnet"] = find(request.subnet, self._northbound.cloud(deadline).subnets).name
        if request.host:
            where["host"] = request.host
        ports = of_domain(self._northbound.ports(deadline, **where), request.domain)
        shown, token = page(
            ports, lambda port: (port.domain_name, port.mac, port.id), request.page_size, request.page_token
        )
        return api.ListPortsResponse(ports=map(message, shown), next_page_token=token)

    def GetPort(self, request: api.GetPortRequest, deadline: Deadline) -> api.Port:
        """Show one."""
        taken, port = self._northbound.port_named(request.id, deadline)
        if port is None:
            but = ": the logical switch port of that name is not ovnhook's" if taken else ""
            raise NotFound(f"there is no port '{request.id}'{but}", "ovnhook port list")
        return message(port)


def message(port: Port) -> api.Port:
    """A port as the API shows it."""
    return api.Port(
        id=port.id,
        subnet=port.subnet,
        mac=port.mac,
        addresses=map(str, port.addresses),
        domain=str(port.domain),
        domain_name=port.domain_name,
        host=port.host,
        up=port.up,
    )
