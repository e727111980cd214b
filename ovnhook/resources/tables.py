"""Tables of the northbound database (ovn-nb(5)) that our rows are in, and keys of their external_ids. Pure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ovnhook.ovsdb.operation import as_set, ref

DOMAIN = "ovnhook:domain"
HOST = "ovnhook:host"
MAC = "ovnhook:mac"
SUBNET = "ovnhook:subnet"
SWITCH = "Logical_Switch"
PORT = "Logical_Switch_Port"
DHCP_OPTIONS = "DHCP_Options"
DNS = "DNS"  # names; and leases, holdings, claims, the registry: northd passes over DNS rows that no switch refers to


def members(uuid: UUID) -> Any:
    """A set of one reference, for mutations of `ports`."""
    return as_set([ref(uuid)])
