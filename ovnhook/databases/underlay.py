"""Underlay MTU discovery of this host: the largest IP packet of a guest that fits into its tunnels."""

from __future__ import annotations

import json
import logging
import subprocess

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases.vswitch import Vswitch
from ovnhook.resources.subnet.request import Underlay

_log = logging.getLogger(__name__)

_DEFAULT_MTU = 1500  # IEEE 802.3
_TIMEOUT = 2.0  # seconds: discovery must leave time for the operation itself

# Encapsulation overhead in bytes: outer IP header, UDP (8), the tunnel's header and the inner Ethernet header (14).
# Geneve has 8 (RFC 8926, section 3.1) and one option of 8 (ovn-architecture(7), "Tunnel Encapsulations"), VXLAN 8
# (RFC 7348, section 5).
_OUTER = {4: 20, 6: 40}
_TUNNEL = {"geneve": 8 + 8 + 8 + 14, "vxlan": 8 + 8 + 14}


def read(vswitch: Vswitch, deadline: Deadline) -> Underlay:
    """Underlay of this host, from Open vSwitch and the kernel; defaults if they do not know it."""
    soon = deadline.half(_TIMEOUT)
    kind, address, mtu = "geneve", "", None
    try:
        kind, address = vswitch.encapsulation(soon)
        mtu = _interface_mtu(address, soon)
        reason: object = f"no interface except loopback has {address}" if address else ""
    except Unavailable as error:
        reason = error
    if mtu is None and reason:
        _log.warning("assuming an underlay MTU of %d: %s", _DEFAULT_MTU, reason)
    return Underlay((mtu or _DEFAULT_MTU) - _overhead(kind, address), known=mtu is not None)


def measure(vswitch: Vswitch, deadline: Deadline) -> int:
    """MTU of guests' IP packets in this host's tunnels, in bytes; 0 if no interface has the tunnels' address.

    Raises:
        Unavailable: Open vSwitch or the kernel did not answer.
    """
    kind, address = vswitch.encapsulation(deadline)
    mtu = _interface_mtu(address, deadline)
    return 0 if mtu is None else mtu - _overhead(kind, address)


def _overhead(kind: str, address: str) -> int:
    """Encapsulation overhead of a tunnel from an address, in bytes; over IPv4 if the address is empty."""
    return _OUTER[6 if ":" in address else 4] + _TUNNEL.get(kind, max(_TUNNEL.values()))


def _interface_mtu(address: str, deadline: Deadline) -> int | None:
    """MTU of the interface that has an address (ip-address(8)); None if there is none, or only loopback.

    Raises:
        Unavailable: ``ip`` failed.
    """
    if not address:
        return None
    command = ["ip", "-json", "address", "show", "to", address]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=deadline.remaining)
        found = [interface for interface in json.loads(done.stdout or "[]") if interface.get("addr_info")]
        return int(found[0]["mtu"]) if found and "LOOPBACK" not in found[0]["flags"] else None
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise Unavailable(f"cannot find the interface with {address}: {error}") from error
