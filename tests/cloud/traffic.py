"""Servers and clients of TCP and UDP, with nothing but Python's standard library: they run in network namespaces.

``traffic.py serve PORT…``, ``connect SECONDS ADDRESS PORT…``, ``talk ADDRESS PORT``, ``send ADDRESS PORT SOURCE TEXT``,
``feed PORT``, ``receive ADDRESS PORT``.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Thread

_INTERVAL = 0.1  # seconds between the messages of a connection
_PART = 16384  # bytes that are sent at a time
_PAUSE = 0.01  # seconds between two parts: about a megabyte a second


def serve(*ports: str) -> None:
    """Echo on TCP ports; print what comes to UDP ports."""
    for port in map(int, ports):
        Thread(
            target=_listen, args=(socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True),)
        ).start()
        packets = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        packets.bind(("::", port))
        Thread(target=_log, args=(packets,)).start()
    print("serves", flush=True)


def connect(timeout: str, *targets: str) -> None:
    """Print for each address and port, at the same time, whether a connection is established."""

    def connects(address: str, port: str) -> bool:
        try:
            with socket.create_connection((address, int(port)), timeout=float(timeout)):
                return True
        except OSError:
            return False

    with ThreadPoolExecutor(len(targets)) as pool:
        print(json.dumps([*pool.map(connects, targets[::2], targets[1::2])]))


def talk(address: str, port: str) -> None:
    """Print a number for each echo."""
    connection = socket.create_connection((address, int(port)))
    stream = connection.makefile("rb")
    number = 0
    while True:
        connection.sendall(b"%d\n" % number)
        print(int(stream.readline()), flush=True)
        number += 1
        time.sleep(_INTERVAL)


def send(address: str, port: str, source: str, text: str) -> None:
    """Send a UDP packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("", int(source)))
        client.sendto(text.encode(), (address, int(port)))


def feed(port: str) -> None:
    """Send to a client; print a number for each part."""
    server = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PART)
    print("feeds", flush=True)
    connection = server.accept()[0]
    for number in count():
        connection.sendall(bytes(_PART))
        print(number, flush=True)
        time.sleep(_PAUSE)


def receive(address: str, port: str) -> None:
    """Receive from a server, and send nothing."""
    connection = socket.create_connection((address, int(port)))
    while connection.recv(_PART):
        pass


def _listen(server: socket.socket) -> None:
    while True:
        Thread(target=_echo, args=(server.accept()[0],), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


def _log(packets: socket.socket) -> None:
    while True:
        print(packets.recv(4096).decode(), flush=True)


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {
        "serve": serve,
        "connect": connect,
        "talk": talk,
        "send": send,
        "feed": feed,
        "receive": receive,
    }
    commands[sys.argv[1]](*sys.argv[2:])
