"""ARP requests of a router for its next hop (RFC 826), sent by Open vSwitch on the router's behalf.

OVN asks for the next hop only when a guest sends something outside. The answer reaches OVN as if it had asked.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from netaddr import EUI, IPAddress

from ovnhook.base.command import run

_BROADCAST = b"\xff" * 6
_VLAN, _ARP = 0x8100, 0x0806
_ETHERNET, _IPV4, _REQUEST = 1, 0x0800, 1
_TIMEOUT = 2  # seconds for a command


@dataclass(frozen=True)
class ArpRequest:
    """An ARP request.

    Attributes:
        mac: MAC address of the router.
        source: IPv4 address of the router.
        target: IPv4 address of the next hop.
        vlan: VLAN ID, or 0.
    """

    mac: str
    source: IPAddress
    target: IPAddress
    vlan: int = 0

    def frame(self) -> bytes:
        """Ethernet frame."""
        mac: bytes = EUI(self.mac).packed
        tag = struct.pack(">HH", _VLAN, self.vlan) if self.vlan else b""
        kind = struct.pack(">HHHBBH", _ARP, _ETHERNET, _IPV4, 6, 4, _REQUEST)
        source, target = (bytes(one.packed) for one in (self.source, self.target))
        return _BROADCAST + mac + tag + kind + mac + source + bytes(6) + target


def send(request: ArpRequest, localnet: str, bridge: str, integration_bridge: str) -> None:
    """Send a request by a bridge, as if it came from a router.

    Args:
        request: the request.
        localnet: name of the localnet port of the router's external switch.
        bridge: bridge of the physical network.
        integration_bridge: bridge that ovn-controller has connected to it.

    Raises:
        OvnhookError: Open vSwitch does not have the bridge or the router's port there.
    """
    name = f"patch-{localnet}-to-{integration_bridge}"  # too long for OpenFlow: its number is needed
    port = run("ovs-vsctl", f"--timeout={_TIMEOUT}", "get", "Interface", name, "ofport").strip()
    packet = f"in_port={port},packet={request.frame().hex()},actions=normal"
    run("ovs-ofctl", f"--timeout={_TIMEOUT}", "packet-out", bridge, packet)
