"""What the network between the hosts carries of the guests' packets, as this host's part of it, or all hosts, tell."""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Callable, Mapping

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases.vswitch import Vswitch
from ovnhook.resources.subnet.wanted import Underlay

_log = logging.getLogger(__name__)

_USUAL_MTU = 1500  # IEEE 802.3
_PATIENCE = 2.0  # seconds: a host that can't tell must leave time for the call itself
_AGENTS_PATIENCE = 0.5  # seconds for what the others have told, without which a domain starts as well

# Bytes that a tunnel puts around a guest's IP packet. Outer IP header, UDP (8), and the inner Ethernet header (14), and
# between them for Geneve 8 (RFC 8926, section 3.1) with one option of 8 (ovn-architecture(7), "Tunnel Encapsulations"),
# for VXLAN 8 (RFC 7348, section 5).
_OUTER = {4: 20, 6: 40}
_TUNNEL = {"geneve": 8 + 8 + 8 + 14, "vxlan": 8 + 8 + 14}


def read(vswitch: Vswitch, deadline: Deadline, level: int = logging.WARNING) -> Underlay:
    """The underlay as this host's Open vSwitch and kernel know it; what they don't is taken to be as usual.

    Args:
        vswitch: this host's.
        deadline: when to give up.
        level: at which it is logged that they don't know.
    """
    soon = deadline.half(_PATIENCE)
    try:
        kind, address = vswitch.encapsulation(soon)
    except Unavailable as error:
        _log.log(level, "the underlay's MTU is taken to be %d: %s", _USUAL_MTU, error)
        kind, address = "geneve", ""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        version = 4
    mtu = _interface_mtu(address, soon, level) if address else None
    overhead = _OUTER[version] + _TUNNEL.get(kind, max(_TUNNEL.values()))
    return Underlay((mtu or _USUAL_MTU) - overhead, known=mtu is not None)


def of_cloud(told: Callable[[Deadline], Mapping[str, int]], vswitch: Vswitch, deadline: Deadline) -> Underlay:
    """The underlay as the host has it that has the smallest MTU: the same whatever host is asked.

    Args:
        told: what the agents say that their hosts carry, by host, those that know it.
        vswitch: this host's, which is asked where nobody has told.
        deadline: when to give up.
    """
    try:
        mtus = told(deadline.half(_AGENTS_PATIENCE))
    except Unavailable as error:
        _log.warning("the underlay's MTU is taken to be this host's: %s", error)
        mtus = {}
    if not mtus:
        return read(vswitch, deadline)
    host = min(mtus, key=lambda host: (mtus[host], host))
    return Underlay(mtus[host], known=True, host=host)


def _interface_mtu(address: str, deadline: Deadline, level: int) -> int | None:
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
    _log.log(level, "the underlay's MTU is taken to be %d: %s", _USUAL_MTU, why)
    return None
