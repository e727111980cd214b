#!/usr/bin/python3 -IS
"""DNS queries as guests of all kinds send them: ``dnsquery.py SERVER SECONDS NAME/TYPE[/edns][/tcp]…``.

It prints a list in JSON, in which a query that is not answered in time has ``"rcode": "no answer"``. A query by UDP is
repeated, as by every resolver. It needs nothing but Python's standard library, so that it runs in a network namespace
or a guest.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
from typing import Any

TYPES = {"A": 1, "NS": 2, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "DS": 43, "HTTPS": 65}
REPEAT = 2.0  # seconds
RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")


def query(name: str, kind: str, *, edns: bool) -> bytes:
    """A query (RFC 1035, section 4.1; RFC 6891, section 6.1)."""
    head = struct.pack(">6H", random.randrange(65536), 0x0100, 1, 0, 0, int(edns))
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    option = b"\0" + struct.pack(">2HLH", 41, 1232, 0, 0) if edns else b""
    return head + labels + b"\0" + struct.pack(">2H", TYPES[kind], 1) + option


def read_name(data: bytes, at: int) -> tuple[str, int]:
    """A name in a message, with compression, and where it ends."""
    labels: list[str] = []
    end = 0
    while data[at]:
        if data[at] >= 0xC0:
            end = end or at + 2
            at = (data[at] & 0x3F) << 8 | data[at + 1]
        else:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
    return ".".join(labels), end or at + 1


def answers(data: bytes) -> dict[str, Any]:
    """Response code and answers of a response."""
    _, flags, questions, count, _, _ = struct.unpack(">6H", data[:12])
    at = 12
    for _ in range(questions):
        at = read_name(data, at)[1] + 4
    found = []
    for _ in range(count):
        at = read_name(data, at)[1]
        kind, _, _, length = struct.unpack(">2HLH", data[at : at + 10])
        at += 10
        value = data[at : at + length]
        match kind:
            case 1:
                found.append(socket.inet_ntop(socket.AF_INET, value))
            case 28:
                found.append(socket.inet_ntop(socket.AF_INET6, value))
            case 12:
                found.append(read_name(data, at)[0])
            case _:
                found.append(value.hex())
        at += length
    return {"rcode": RCODES[flags & 15], "answers": sorted(found)}


def exchange(client: socket.socket, sent: bytes, deadline: float) -> bytes:
    """Send a query by UDP until it is answered.

    Raises:
        TimeoutError: not by then.
    """
    while True:
        client.sendall(sent)
        client.settimeout(min(REPEAT, max(0.01, deadline - time.monotonic())))
        try:
            return client.recv(65535)
        except TimeoutError:
            if time.monotonic() >= deadline:
                raise


def ask(server: str, timeout: float, name: str, kind: str, *options: str) -> dict[str, Any]:
    """Ask a server."""
    sent = query(name, kind, edns="edns" in options)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM if "tcp" in options else socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect((server, 53))
            if "tcp" not in options:
                return answers(exchange(client, sent, time.monotonic() + timeout))
            client.sendall(struct.pack(">H", len(sent)) + sent)
            with client.makefile("rb") as stream:
                return answers(stream.read(struct.unpack(">H", stream.read(2))[0]))
    except OSError:
        return {"rcode": "no answer", "answers": []}


if __name__ == "__main__":
    print(json.dumps([ask(sys.argv[1], float(sys.argv[2]), *one.split("/")) for one in sys.argv[3:]]))
