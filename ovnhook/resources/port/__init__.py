"""Ports: interfaces of running domains. Pure."""
