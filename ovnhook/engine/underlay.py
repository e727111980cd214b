"""What the network between the hosts carries of the guests' packets, as this host's part of it, or all hosts, tell."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases.vswitch import Vswitch
from ovnhook.resources.subnet.request import Underlay

_log = logging.getLogger(__name__)

_USUAL_MTU = 1500  # IEEE 802.3
_PATIENCE = 2.0  # seconds: a host that can't tell must leave time for the call itself
_AGENTS_PATIENCE = 0.5  # seconds for what the others have told, without which a domain starts as well

# Bytes that a tunnel puts around a guest's IP packet. Outer IP header, UDP (8), and the inner Ethernet header (14), and
# between them for Geneve 8 (RFC 8926, section 3.1) with one option of 8 (ovn-architecture(7), "Tunnel Encapsulations"),
# for VXLAN 8 (RFC 7348, section 5).
_OUTER = {4: 20, 6: 40}
_TUNNEL = {"geneve": 8 + 8 + 8 + 14, "vxlan": 8 + 8 + 14}


def read(vswitch: Vswitch, deadline: Deadline) -> Underlay:
    """The underlay as this host's Open vSwitch and kernel know it; what they don't is taken to be as usual."""
    soon = deadline.half(_PATIENCE)
    kind, address, mtu = "geneve", "", None
    try:
        kind, address = vswitch.encapsulation(soon)
        mtu = _interface_mtu(address, soon)
        why: object = f"no interface that leads to other hosts has {address}" if address else ""
    except Unavailable as error:
        why = error
    if mtu is None and why:
        _log.warning("the underlay's MTU is taken to be %d: %s", _USUAL_MTU, why)
    return Underlay((mtu or _USUAL_MTU) - _overhead(kind, address), known=mtu is not None)


def measure(vswitch: Vswitch, deadline: Deadline) -> int:
    """Bytes of a guest's IP packet that this host's tunnels carry, or 0 where no interface has their address.

    Raises:
        Unavailable: Open vSwitch or the kernel did not answer: nothing has been learned.
    """
    kind, address = vswitch.encapsulation(deadline)
    mtu = _interface_mtu(address, deadline)
    return 0 if mtu is None else mtu - _overhead(kind, address)


def of_cloud(told: Callable[[Deadline], Mapping[str, int]], vswitch: Vswitch, deadline: Deadline) -> Underlay:
    """The underlay as the host has it that has the smallest MTU, as far as hosts have told, and this one.

    Agents of earlier versions tell nothing: this host's may be the only figure of those that have not been upgraded.

    Args:
        told: what the agents say that their hosts carry, by host, those that know it.
        vswitch: this host's.
        deadline: when to give up.
    """
    try:
        mtus = told(deadline.half(_AGENTS_PATIENCE))
    except Unavailable as error:
        _log.warning("the underlay's MTU is taken to be this host's: %s", error)
        mtus = {}
    own = read(vswitch, deadline)
    if not mtus:
        return own
    host = min(mtus, key=lambda host: (mtus[host], host))
    if own.known and own.mtu < mtus[host]:
        return own
    return Underlay(mtus[host], known=True, host=host)


def _overhead(kind: str, address: str) -> int:
    """Bytes that a tunnel from an address puts around a guest's IP packet; those of IPv4 where there is none."""
    return _OUTER[6 if ":" in address else 4] + _TUNNEL.get(kind, max(_TUNNEL.values()))


def _interface_mtu(address: str, deadline: Deadline) -> int | None:
    """The MTU of the interface that has an address (ip-address(8)), or None where there is none.

    A loopback interface carries anything and leads to no other host: it says nothing.

    Raises:
        Unavailable: ``ip`` did not say.
    """
    import subprocess  # noqa: PLC0415  (the hook's own process loads this file, and most often asks nothing)

    if not address:
        return None
    command = ["ip", "-json", "address", "show", "to", address]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=deadline.remaining)
        found = [interface for interface in json.loads(done.stdout or "[]") if interface.get("addr_info")]
        return int(found[0]["mtu"]) if found and "LOOPBACK" not in found[0]["flags"] else None
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise Unavailable(f"the interface with {address} is not known: {error}") from error
