"""Packets that a host forges in its tunnels (RFC 8926; ovn-architecture(7), "Tunnel Encapsulations")."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address

_GENEVE = 6081
_CRITICAL = 0x40
_ETHERNET = 0x6558
_OVN_OPTION = (0x0102, 0x80, 1)  # class, type, length in words
_ICMP, _ECHO = 1, 8


@dataclass(frozen=True)
class ForgedPing:
    """An ICMP echo request to a guest, as if another guest of its subnet had sent it.

    Attributes:
        datapath: tunnel key of the logical switch.
        ingress: tunnel key of the port that it seems to come from.
        egress: tunnel key of the guest's port.
        source: MAC address and IP address of the other guest.
        target: those of the guest.
    """

    datapath: int
    ingress: int
    egress: int
    source: tuple[str, str]
    target: tuple[str, str]

    def encapsulated(self) -> bytes:
        """Payload of the UDP packet."""
        header = struct.pack(">BBHI", 2, _CRITICAL, _ETHERNET, self.datapath << 8)
        option = struct.pack(">HBBI", *_OVN_OPTION, self.ingress << 16 | self.egress)
        macs = b"".join(bytes.fromhex(mac.replace(":", "")) for mac, _ in (self.target, self.source))
        echo = _with_checksum(struct.pack(">BBHHH", _ECHO, 0, 0, 1, 1), 2)
        addresses = b"".join(IPv4Address(address).packed for _, address in (self.source, self.target))
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(echo), 0, 0, 64, _ICMP, 0) + addresses
        return header + option + macs + b"\x08\x00" + _with_checksum(ip, 10) + echo


def _with_checksum(header: bytes, place: int) -> bytes:
    """Set the internet checksum (RFC 1071) of a header, which is 0 there."""
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return header[:place] + struct.pack(">H", ~total & 0xFFFF) + header[place + 2 :]


def main() -> None:
    """Send some forged pings to a host.

    Arguments: the host's tunnel address, the three keys, then MAC address and IP address of source and target.
    """
    host, *keys = sys.argv[1:5]
    source_mac, source, target_mac, target = sys.argv[5:]
    datapath, ingress, egress = map(int, keys)
    ping = ForgedPing(datapath, ingress, egress, (source_mac, source), (target_mac, target))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(5):
            sender.sendto(ping.encapsulated(), (host, _GENEVE))


if __name__ == "__main__":
    main()
