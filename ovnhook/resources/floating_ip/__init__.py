"""Floating IPs: 1:1 NAT between an external address and a leased one. Pure."""
