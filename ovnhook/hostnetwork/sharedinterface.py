"""A macvlan interface on an interface that keeps the host's addresses, as uplink of routers (ip-link(8)).

The kernel gives it what is sent to its MAC address, which is that of the router, and multicast. Nothing of the host
changes: its addresses, routes and connections stay on the interface below. The host and the router can't reach each
other by it. It has no addresses, and does not answer ARP requests in the host's stead.
"""

from __future__ import annotations

import json

from ovnhook.base.command import run, succeeds
from ovnhook.base.deadline import Deadline

DEVICE = "ovnhook-ex"
"""Name of the macvlan interface, an uplink of EXTERNAL_NETWORK, which ovnhook-macvlan@.service creates."""


def lower(deadline: Deadline) -> str:
    """Name of the interface below, or "" if there is no such macvlan interface on this host."""
    if not succeeds("ip", "link", "show", "dev", DEVICE):
        return ""
    (row,) = json.loads(run("ip", "-json", "-details", "link", "show", "dev", DEVICE, timeout=deadline.remaining))
    is_macvlan = row.get("linkinfo", {}).get("info_kind") == "macvlan"
    return str(row.get("link", "")) if is_macvlan else ""


def set_mac(mac: str, deadline: Deadline) -> bool:
    """Give it the MAC address of a router. Idempotent; return False if there is no such interface."""
    if not lower(deadline):
        return False
    (row,) = json.loads(run("ip", "-json", "link", "show", "dev", DEVICE, timeout=deadline.remaining))
    if row["address"] != mac:
        run("ip", "link", "set", "dev", DEVICE, "address", mac, timeout=deadline.remaining)
    return True
