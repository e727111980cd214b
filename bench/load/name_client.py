"""Client of a DNS server, as a program in a guest's network namespace: ``name_client.py SERVER``.

It reads a host name per line, asks for its IPv4 address until there is one, and prints the time on the monotonic clock.
It needs nothing but Python's standard library.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

_TIMEOUT = 0.05  # seconds for an answer
_PAUSE = 0.002  # seconds until the next query
_ADDRESS = struct.pack(">2H", 1, 1)  # type A, class IN (RFC 1035, section 3.2)


def main() -> None:
    """Ask for each name."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((sys.argv[1], 53))
    client.settimeout(_TIMEOUT)
    number = 0
    for line in sys.stdin:
        name, is_known = line.strip(), False
        while not is_known:
            time.sleep(_PAUSE)
            number = (number + 1) % 65536
            is_known = _ask(client, name, number)
        print(time.monotonic(), flush=True)


def _ask(client: socket.socket, name: str, number: int) -> bool:
    """Send a query; return whether it has an answer."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    try:
        client.send(struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + _ADDRESS)
        while True:
            found, _, _, answers = struct.unpack(">4H", client.recv(512)[:8])
            if found == number:  # not a late response to an earlier query
                return bool(answers)
    except OSError:  # there is no server yet, or no way to it
        return False


if __name__ == "__main__":
    main()
