"""Syntax of MAC addresses, host names and subnet names, as patterns and as text for messages. Pure."""

from __future__ import annotations

import re

MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
"""A MAC address as libvirt writes it."""

HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A label of DNS (RFC 1123, 2.1), in lower case."""

SUBNET_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

GROUP_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,38}[A-Za-z0-9])?")
"""Name of a security group: with it and a rule's number, the name of an ACL has 63 characters at most (ovn-nb(5))."""

HOST_NAMES = "letters, digits and, in between, hyphens, 63 at most"
SUBNET_NAMES = "letters, digits and, in between, dots, hyphens and underscores, 63 at most"
GROUP_NAMES = "letters, digits and, in between, hyphens and underscores, 40 at most"
