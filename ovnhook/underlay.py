"""What the network between the hosts carries of the guests' packets, as this host's part of it tells."""

from __future__ import annotations

import ipaddress
import json
import logging

from ovnhook.deadline import Deadline
from ovnhook.errors import Unavailable
from ovnhook.ovsdb.vswitch import Vswitch
from ovnhook.subnet import Underlay

_log = logging.getLogger(__name__)

_USUAL_MTU = 1500  # IEEE 802.3
_PATIENCE = 2.0  # seconds: a host that can't tell must leave time for the call itself

# Bytes that a tunnel puts around a guest's IP packet. Outer IP header, UDP (8), and the inner Ethernet header (14), and
# between them for Geneve 8 (RFC 8926, section 3.1) with one option of 8 (ovn-architecture(7), "Tunnel Encapsulations"),
# for VXLAN 8 (RFC 7348, section 5).
_OUTER = {4: 20, 6: 40}
_TUNNEL = {"geneve": 8 + 8 + 8 + 14, "vxlan": 8 + 8 + 14}


def read(vswitch: Vswitch, deadline: Deadline) -> Underlay:
    """The underlay as this host's Open vSwitch and kernel know it; what they don't is taken to be as usual.

    Args:
        vswitch: this host's.
        deadline: when to give up.
    """
    soon = deadline.half(_PATIENCE)
    try:
        kind, address = vswitch.encapsulation(soon)
    except Unavailable as error:
        _log.warning("the underlay's MTU is taken to be %d: %s", _USUAL_MTU, error)
        kind, address = "geneve", ""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        version = 4
    mtu = _interface_mtu(address, soon) if address else None
    overhead = _OUTER[version] + _TUNNEL.get(kind, max(_TUNNEL.values()))
    return Underlay((mtu or _USUAL_MTU) - overhead, known=mtu is not None)


def _interface_mtu(address: str, deadline: Deadline) -> int | None:
    """The MTU of the interface that has an address (ip-address(8)), or None.

    A loopback interface carries anything and leads to no other host: it says nothing.
    """
    import subprocess  # noqa: PLC0415  (the hook's own process loads this file, and most often asks nothing)

    command = ["ip", "-json", "address", "show", "to", address]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=deadline.remaining)
        found = [interface for interface in json.loads(done.stdout or "[]") if interface.get("addr_info")]
        if found and "LOOPBACK" not in found[0]["flags"]:
            return int(found[0]["mtu"])
        why: object = f"{address} is on a loopback interface" if found else f"no interface has {address}"
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        why = error
    _log.warning("the underlay's MTU is taken to be %d: %s", _USUAL_MTU, why)
    return None
