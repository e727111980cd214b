"""Northbound tables (ovn-nb(5)) with ovnhook's rows. Pure."""

from __future__ import annotations

SWITCH = "Logical_Switch"
PORT = "Logical_Switch_Port"
ROUTER = "Logical_Router"
ROUTER_PORT = "Logical_Router_Port"
ROUTE = "Logical_Router_Static_Route"
POLICY = "Logical_Router_Policy"
NAT = "NAT"
QOS = "QoS"
GATEWAY_GROUP = "HA_Chassis_Group"
GATEWAY = "HA_Chassis"
DHCP_OPTIONS = "DHCP_Options"
PORT_GROUP = "Port_Group"
ACL = "ACL"
DNS = "DNS"
"""DNS records; also leases, lease indexes, MAC reservations and the registry: northd ignores unreferenced DNS rows."""
