"""Options of ports as fields of messages between agents and control services."""

from __future__ import annotations

from typing import Any

from netaddr import IPAddress

from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.resources.limits import Limits
from ovnhook.resources.port.options import PortOptions


def option_fields(options: PortOptions) -> dict[str, Any]:
    """Fields of HostPort and LibvirtInterface."""
    return {
        "allowed_addresses": options.allowed,
        "port_security_off": not options.security,
        "limit_inbound": options.limits.inbound,
        "limit_outbound": options.limits.outbound,
        "virtual_addresses": list(map(str, options.virtual)),
    }


def options_of(message: api.HostPort) -> PortOptions:
    """Options of a port, which the control service has validated."""
    return PortOptions(
        tuple(message.allowed_addresses),
        not message.port_security_off,
        Limits(message.limit_inbound, message.limit_outbound),
        tuple(map(IPAddress, message.virtual_addresses)),
    )


def requested_options(message: api.LibvirtInterface) -> dict[str, Any]:
    """Arguments of ovnhook.domains.requests.interface_request."""
    return {
        "allowed_addresses": message.allowed_addresses,
        "port_security": not message.port_security_off,
        "limit_inbound": message.limit_inbound,
        "limit_outbound": message.limit_outbound,
        "virtual_addresses": message.virtual_addresses,
    }
