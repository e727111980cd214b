"""Routers, with their subnets and external gateways. Pure."""
