"""Subnets: logical switches with addresses, DHCP and DNS. Pure."""
