"""Tables of the northbound database (ovn-nb(5)) that our rows are in. Pure."""

from __future__ import annotations

SWITCH = "Logical_Switch"
PORT = "Logical_Switch_Port"
ROUTER = "Logical_Router"
ROUTER_PORT = "Logical_Router_Port"
ROUTE = "Logical_Router_Static_Route"
POLICY = "Logical_Router_Policy"
NAT = "NAT"
GATEWAY_GROUP = "HA_Chassis_Group"
GATEWAY = "HA_Chassis"
DHCP_OPTIONS = "DHCP_Options"
DNS = "DNS"
"""Names. Leases, their indexes, claims and the registry too: northd passes over DNS rows that no switch refers to."""
