"""Floods of a server with TLS by one client, while others are served. Runs on any host: see `main`."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from uuid import UUID

from lab.waiting import HANG
from ovnhook.pki import x509
from tests.attacks.api import OK, ApiClient, libvirt_domain
from tests.database.raw_clients import CLIENT_HELLO, TIMEOUT, Http2

CALLS, CHANGES, CONNECTIONS, LARGE = 10_000, 300, 1_000, 16 << 20
ANSWERS = frozenset({"OK", "RESOURCE_EXHAUSTED"})
"""Statuses of calls beyond a quota, and within."""

_METHODS = ("Ports/ListPorts", "Nodes/ListNodes", "Status/GetStatus", "Agents/AttachDomain", "Attachments/Attach")
_STREAMS = ("Changes/WatchChanges", "Agents/WatchHost", "Ports/ListPorts", "Status/GetStatus")


@dataclass(frozen=True)
class FloodTarget:
    """A server, and what the client shows it.

    Attributes:
        address: HOST:PORT.
        ca: CA certificate of the server.
        pair: client certificate and key, or None.
    """

    address: str
    ca: Path
    pair: tuple[Path, Path] | None

    def connect(self) -> socket.socket:
        """TCP connection."""
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), TIMEOUT)

    def session(self) -> ssl.SSLSocket:
        """TLS connection."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.check_hostname = False
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # a refused certificate fails the handshake
        if self.pair:
            context.load_cert_chain(*self.pair)
        return context.wrap_socket(self.connect())

    def http2(self, settings: dict[int, int] | None = None) -> Http2:
        """HTTP/2 connection."""
        return Http2(self.address, self.ca, self.pair, settings)


Flood = Callable[[FloodTarget, ExitStack, threading.Event], None]
"""Floods a server, and returns when it is at its worst; the stack ends it, and the event says that it has to end."""


def calls(target: FloodTarget, stack: ExitStack, stopped: threading.Event) -> None:
    """Unary calls, 64 at a time, without end; returns after 10,000."""
    clients = cycle([ApiClient(target.address, target.ca, target.pair) for _ in range(4)])
    statuses: Counter[str] = Counter()
    enough = threading.Event()

    def call(client: ApiClient) -> None:
        while not stopped.is_set():
            statuses[client.status("ListPorts")] += 1
            if statuses.total() >= CALLS:
                enough.set()

    pool = stack.enter_context(ThreadPoolExecutor(64))
    done = [pool.submit(call, next(clients)) for _ in range(64)]
    stack.callback(stopped.set)
    while not enough.wait(1.0):
        for one in done:
            if one.done():
                one.result()
    if unknown := statuses.keys() - ANSWERS:
        raise AssertionError(f"calls ended with {unknown}")


def changes(target: FloodTarget, stack: ExitStack, stopped: threading.Event) -> None:
    """Starts of the node's own domains, and their ends, without end; returns after 300."""
    own = x509.subject_of(target.pair[0].read_bytes()).name if target.pair else ""
    left, enough = Counter({"calls": CHANGES}), threading.Event()

    def change(number: int) -> None:
        client = ApiClient(target.address, target.ca, target.pair)
        domain = libvirt_domain(str(UUID(int=number)), f"mine{number}", f"52:54:00:aa:01:{number:02x}")
        while not stopped.is_set():
            for method in ("AttachDomain", "DetachDomain", "ReleaseDomainLeases"):
                left["calls"] -= client.status(method, host=own, domain=domain) == OK
            if left["calls"] < 0:
                enough.set()

    pool = stack.enter_context(ThreadPoolExecutor(16))
    for number in range(16):
        pool.submit(change, number)
    stack.callback(stopped.set)
    assert enough.wait(HANG)


def connections(target: FloodTarget, stack: ExitStack, _: threading.Event) -> None:
    """TCP connections that say nothing."""
    _open(target.connect, stack)


def handshakes(target: FloodTarget, stack: ExitStack, _: threading.Event) -> None:
    """TLS handshakes that are never continued."""

    def begin() -> socket.socket:
        made = target.connect()
        made.sendall(CLIENT_HELLO)
        return made

    _open(begin, stack)


def sessions(target: FloodTarget, stack: ExitStack, _: threading.Event) -> None:
    """TLS connections on which nothing follows."""
    _open(target.session, stack)


def _open(connect: Callable[[], socket.socket], stack: ExitStack) -> None:
    """Open many connections, at the same time since a server accepts some only after a retransmission.

    A server that has much to do may close some.
    """
    opened = 0
    with ThreadPoolExecutor(100) as pool:
        for one in [pool.submit(connect) for _ in range(CONNECTIONS)]:
            with suppress(OSError):
                stack.enter_context(one.result())
                opened += 1
    assert opened > CONNECTIONS / 2


def half_open_calls(target: FloodTarget, stack: ExitStack, _: threading.Event) -> None:
    """Calls whose request never comes, or only its beginning."""
    for _number in range(20):
        connection = stack.enter_context(target.http2())
        connection.read()
        with suppress(OSError):
            for method in (*_METHODS, *_STREAMS):
                stream = connection.call(f"/ovnhook.v1.{method}")
                connection.send(0, 0, stream, b"\0\0\0\0\x10half")


def large_messages(target: FloodTarget, stack: ExitStack, stopped: threading.Event) -> None:
    """Requests of 16 MB, again and again."""
    message = b"\0" + LARGE.to_bytes(4, "big") + bytes(LARGE)

    def send() -> None:
        while not stopped.wait(0.1):
            with suppress(OSError), target.http2() as connection:
                connection.read()
                stream = connection.call(f"/ovnhook.v1.{_METHODS[0]}")
                for place in range(0, len(message), 16384):
                    connection.send(0, 0, stream, message[place : place + 16384])

    _repeat(send, stack, stopped)


def unread_answers(target: FloodTarget, stack: ExitStack, _: threading.Event) -> None:
    """Calls and streams whose answers are never read: the client's window is shut."""
    for _number in range(10):
        connection = stack.enter_context(target.http2({4: 0}))
        with suppress(OSError):
            for method in _STREAMS:
                for _again in range(8):
                    connection.send(0, 1, connection.call(f"/ovnhook.v1.{method}"), bytes(5))


def unread_rows(target: FloodTarget, stack: ExitStack, _: threading.Event) -> None:
    """Monitors of the whole southbound database, whose rows are never read."""
    schema = json.loads(Path("/usr/share/ovn/ovn-sb.ovsschema").read_text())
    request = {"method": "monitor", "params": ["OVN_Southbound", None, {one: {} for one in schema["tables"]}], "id": 0}
    for _number in range(100):
        stack.enter_context(target.session()).sendall(json.dumps(request).encode())


def own_rows(target: FloodTarget, stack: ExitStack, stopped: threading.Event) -> None:
    """Changes of the node's own row, which RBAC allows, and northd and the control service read."""
    own = x509.subject_of(target.pair[0].read_bytes()).name if target.pair else ""

    def write() -> None:
        with target.session() as connection:
            number = 0
            while not stopped.is_set():
                number += 1
                ids = ["external_ids", "insert", ["map", [[f"attack{number % 100}", str(number)]]]]
                where = [["name", "==", own]]
                operation = {"op": "mutate", "table": "Chassis_Private", "where": where, "mutations": [ids]}
                request = {"method": "transact", "params": ["OVN_Southbound", operation], "id": number}
                connection.sendall(json.dumps(request).encode())
                if not connection.recv(1 << 16):
                    return

    _repeat(write, stack, stopped)


def large_rows(target: FloodTarget, stack: ExitStack, stopped: threading.Event) -> None:
    """Transactions of 16 MB on the southbound database that RBAC refuses."""
    operation = {"op": "insert", "table": "DNS", "row": {"external_ids": ["map", [["attack", "x" * LARGE]]]}}
    request = json.dumps({"method": "transact", "params": ["OVN_Southbound", operation], "id": 0}).encode()

    def send() -> None:
        while not stopped.wait(0.1):
            with suppress(OSError), target.session() as connection:
                connection.sendall(request)
                connection.recv(1)

    _repeat(send, stack, stopped)


def _repeat(send: Callable[[], None], stack: ExitStack, stopped: threading.Event) -> None:
    """Run a function in four threads until the stack ends them."""
    pool = stack.enter_context(ThreadPoolExecutor(4))
    for _ in range(4):
        pool.submit(send)
    stack.callback(stopped.set)


SILENT: tuple[Flood, ...] = (connections, handshakes)
"""Floods that need no certificate."""

OF_API: tuple[Flood, ...] = (*SILENT, sessions, calls, changes, half_open_calls, large_messages, unread_answers)
OF_SOUTHBOUND: tuple[Flood, ...] = (*SILENT, sessions, unread_rows, own_rows, large_rows)


@contextmanager
def flooded(flood: Flood, target: FloodTarget, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Flood a server from another process, and check that it has gone on until the end.

    Args:
        flood: one of those above.
        target: the server.
        prefix: command that runs a program on the host that floods.
    """
    files = map(str, (target.ca, *(target.pair or ())))
    command = [*prefix, sys.executable, "-m", "tests.attacks.floods", flood.__name__, target.address, *files]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "flooding\n"
        yield
        process.stdin.close()
        assert process.wait(HANG) == 0


def main() -> None:
    """Flood a server until the standard input ends; print a line when the flood is at its worst.

    Arguments: name of the flood, HOST:PORT, the CA's file, and the files of certificate and key, if any.
    """
    name, address, ca, *pair = sys.argv[1:]
    (flood,) = (one for one in {*OF_API, *OF_SOUTHBOUND} if one.__name__ == name)
    target = FloodTarget(address, Path(ca), (Path(pair[0]), Path(pair[1])) if pair else None)
    with ExitStack() as stack:
        flood(target, stack, threading.Event())
        print("flooding", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
