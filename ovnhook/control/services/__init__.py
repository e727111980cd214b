"""The services of the API, a file for each; a new one is a line in SERVICES."""

from __future__ import annotations

from ovnhook.control.service import Service
from ovnhook.control.services.agents import Agents
from ovnhook.control.services.attachments import Attachments
from ovnhook.control.services.certificates import Certificates
from ovnhook.control.services.enrolment import Enrolment
from ovnhook.control.services.floating_ips import FloatingIps
from ovnhook.control.services.health import Health
from ovnhook.control.services.leases import Leases
from ovnhook.control.services.nodes import Nodes
from ovnhook.control.services.ports import Ports
from ovnhook.control.services.reflection import Reflection
from ovnhook.control.services.routers import Routers
from ovnhook.control.services.security_groups import SecurityGroups
from ovnhook.control.services.status import Status
from ovnhook.control.services.subnets import Subnets
from ovnhook.control.services.watches import Changes

SERVICES: tuple[type[Service], ...] = (
    Subnets,
    Routers,
    SecurityGroups,
    FloatingIps,
    Leases,
    Ports,
    Attachments,
    Agents,
    Nodes,
    Certificates,
    Status,
    Changes,
    Health,
    Reflection,
)
"""Services for clients, on the unix socket and over TCP."""

JOINING: type[Service] = Enrolment
"""Service for hosts without a certificate, on a port of its own."""
