"""Floating IPs: 1:1 NAT between an external address and a leased or virtual one. Pure."""
