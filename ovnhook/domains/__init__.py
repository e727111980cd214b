"""Domains: their XML, settings and placement. Pure."""
