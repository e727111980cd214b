"""Clients that try to keep the service from everybody else: root is served, the others as well, and it all recovers."""

from __future__ import annotations

import gzip
import random
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.agentmessages import MAX_INTERFACES, domain_message
from ovnhook.api.client import Client
from ovnhook.api.v1 import (
    agents_pb2,
    agents_pb2_grpc,
    changes_pb2,
    changes_pb2_grpc,
    nodes_pb2,
    nodes_pb2_grpc,
    subnets_pb2,
    subnets_pb2_grpc,
)
from ovnhook.base.config import SERVER_NAME
from ovnhook.base.errors import Exhausted, NotFound, QuotaExceeded, Unavailable
from ovnhook.control.listener import STREAMS
from ovnhook.domains.values import Domain
from ovnhook.pki import keyfiles, x509
from ovnhook.pki import token as tokens
from ovnhook.pki.keyfiles import AuthorityFiles, Files
from tests.database.control_host import with_authority
from tests.database.control_process import ControlProcess
from tests.database.control_service import Control
from tests.database.hypervisors import interface
from tests.database.nodes import NodeClient
from tests.database.ovsdb_server import wait_for
from tests.database.raw_clients import CLIENT_HELLO, CONTINUATION, PING, RST_STREAM, SETTINGS, Connections, Http2

LIST_NODES = "/ovnhook.v1.Nodes/ListNodes"
ENROL = "/ovnhook.v1.Enrolment/Enrol"
THREADS = 250
"""Far more than a service has, and far less than the floods would make."""

WATCH = "/ovnhook.v1.Changes/WatchChanges"
ATTACH, WATCH_HOST = "/ovnhook.v1.Agents/AttachDomain", "/ovnhook.v1.Agents/WatchHost"


@dataclass
class FloodedHost:
    """A control host with an authority.

    Attributes:
        service: that serves.
        files: of the authority.
        api: where clients are served.
        door: where hosts join.
        folder: for what others have.
    """

    service: ControlProcess
    files: AuthorityFiles
    api: str
    door: str
    folder: Path
    joined: int = 0

    def root(self) -> Client:
        """Root's client."""
        return Client(self.service.path, HANG)

    def issue(self, name: str, role: str) -> Files:
        """Issue a certificate, and return its files."""
        made = keyfiles.node(self.folder / name)
        keyfiles.write(made.key, x509.new_key(), keyfiles.SECRET)
        request = x509.request(made.key.read_bytes()).decode()
        answer = self.root().call("IssueCertificate", name=name, role=role, request=request)
        keyfiles.write(made.certificate, answer["certificate"].encode(), keyfiles.PUBLIC)
        keyfiles.write(made.ca, answer["ca"].encode(), keyfiles.PUBLIC)
        return made

    def join(self) -> bool:
        """Join another host; False if the RPC fails."""
        self.joined += 1
        try:
            self.node(f"new{self.joined}")
        except (Unavailable, Exhausted):
            return False
        return True

    def node(self, name: str) -> Files:
        """Join a host, and return its files."""
        made, ca = keyfiles.node(self.folder / name), self.files.own.certificate.read_bytes()
        token = tokens.parse(self.root().call("CreateToken", name=name)["token"])
        keyfiles.write(made.key, x509.new_key(), keyfiles.SECRET)
        answer = Client(None).enrol(token, ca, x509.request(made.key.read_bytes()), "192.0.2.9")
        keyfiles.write(made.certificate, answer["certificate"].encode(), keyfiles.PUBLIC)
        keyfiles.write(made.ca, ca, keyfiles.PUBLIC)
        return made

    def channel(self, shown: Files) -> grpc.Channel:
        """Channel with a client certificate, of a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", SERVER_NAME)]
        return grpc.secure_channel(self.api, credentials(shown), options)

    def trusts(self, shown: Files) -> bool:
        """True if a client with this certificate is served over TCP; not while RPCs that it has cancelled still end."""
        try:
            return Client(None).is_trusted([self.api], shown)
        except QuotaExceeded:
            return False

    def connect(self, shown: Files, settings: dict[int, int] | None = None) -> Http2:
        """HTTP/2 connection with a client certificate."""
        return Http2(self.api, shown.ca, (shown.certificate, shown.key), settings)

    def all_served(self, shown: Files) -> None:
        """Assert that root is served at once, and trusted clients and joining hosts eventually."""
        assert len(self.root().call("ListSubnets")["subnets"]) < 2
        wait_for(lambda: self.trusts(shown))
        wait_for(self.join)


def credentials(shown: Files) -> grpc.ChannelCredentials:
    """Channel credentials with a client certificate."""
    return grpc.ssl_channel_credentials(*(path.read_bytes() for path in (shown.ca, shown.key, shown.certificate)))


@pytest.fixture
def cloud(control: Control, directory: Path, make_port: Callable[[], int]) -> Iterator[FloodedHost]:
    """One, set up as "ovnhook node init --control" does it."""
    files = AuthorityFiles(directory / "ca")
    config = with_authority(files, control.config, make_port)
    service = ControlProcess(directory / "own" / "control.sock", config)
    yield FloodedHost(service, files, config.listen, config.enrolment, directory / "others")
    service.stop()


def test_connections_that_say_nothing(cloud: FloodedHost) -> None:
    """Of somebody without a certificate, at both ports: nobody else notices, and all of them are gone in the end."""
    shown = cloud.issue("ann", "operator")
    before = cloud.service.files
    held = [Connections(where, 5000, CLIENT_HELLO) for where in (cloud.api, cloud.door)]
    try:
        cloud.all_served(shown)
    finally:
        for one in held:
            one.close()
    wait_for(lambda: cloud.service.files < before + 50)
    cloud.all_served(shown)


def test_half_open_calls(cloud: FloodedHost) -> None:
    """Of one with a certificate, of many, and of strangers where hosts join, with a part of a message or without.

    Nobody is kept from anything; and whoever does it is revoked by root meanwhile, and served no more.
    """
    ann, *eves = cloud.issue("ann", "operator"), *(cloud.issue(f"eve{number}", "reader") for number in range(12))
    with ExitStack() as stack:
        for number in range(30):
            connection = stack.enter_context(cloud.connect(eves[max(0, number - 18)]))
            for _ in range(10):
                connection.call(LIST_NODES)
                connection.call(WATCH)
        cloud.all_served(ann)
        for _ in range(20):
            connection = stack.enter_context(Http2(cloud.door, cloud.files.own.certificate))
            for _ in range(10):
                connection.send(0, 0, connection.call(ENROL), b"\0\0\0\0\x10half")
        cloud.all_served(ann)
        cloud.root().call("RevokeCertificate", name="eve0", role="reader")
        assert not cloud.trusts(eves[0])
        cloud.all_served(ann)
        assert cloud.service.threads < THREADS
    cloud.all_served(ann)


def test_many_calls_at_once(cloud: FloodedHost) -> None:
    """Of root, and of as many clients: each is answered, though many messages wait for their threads' turn."""
    shown = [cloud.issue(f"ann{number}", "reader") for number in range(8)]  # each may have 16
    ready = threading.Barrier(60)

    def call(channel: grpc.Channel) -> list[str]:
        said = []
        stub = subnets_pb2_grpc.SubnetsStub(channel)
        stub.ListSubnets(subnets_pb2.ListSubnetsRequest(), timeout=HANG)
        ready.wait(HANG)
        for _ in range(10):
            try:
                stub.ListSubnets(subnets_pb2.ListSubnetsRequest(), timeout=HANG)
            except grpc.RpcError as error:
                said.append(error.code().name)
        return said

    own = ("grpc.use_local_subchannel_pool", 1)
    for kind in ("root", "clients"):
        with ExitStack() as stack, ThreadPoolExecutor(60) as pool:
            channels = [
                grpc.insecure_channel(f"unix:{cloud.service.path}", [own])
                if kind == "root"
                else grpc.secure_channel(
                    cloud.api,
                    credentials(shown[number % len(shown)]),
                    [own, ("grpc.ssl_target_name_override", SERVER_NAME)],
                )
                for number in range(60)
            ]
            for channel in channels:
                stack.enter_context(channel)
            assert [one for said in pool.map(call, channels) for one in said] == []


def test_one_who_watches_a_lot(cloud: FloodedHost) -> None:
    """Has so many streams and no more; root and the others have theirs."""
    ann, eve = cloud.issue("ann", "reader"), cloud.issue("eve", "reader")
    kept: list[Any] = []

    def watch(stack: ExitStack, shown: Files) -> bool:
        options = (("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.use_local_subchannel_pool", 1))
        channel = stack.enter_context(grpc.secure_channel(cloud.api, credentials(shown), options))
        return begin(channel)

    def begin(channel: grpc.Channel) -> bool:
        kept.append(changes_pb2_grpc.ChangesStub(channel).WatchChanges(changes_pb2.WatchChangesRequest(), timeout=HANG))
        try:
            return bool(next(kept[-1]).type == changes_pb2.Change.SYNCED)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return False

    with ExitStack() as stack:
        assert [watch(stack, eve) for _ in range(20)] == [True] * 8 + [False] * 12
        assert watch(stack, ann)
        with grpc.insecure_channel(f"unix:{cloud.service.path}") as channel:
            assert all(begin(channel) for _ in range(STREAMS))


def start_at_once(cloud: FloodedHost, shown: Files, count: int = 50) -> None:
    """Start so many domains on host good at once, each by a process of its own, as hooks without an agent do."""
    ready = threading.Barrier(count)

    def start(number: int) -> None:
        with cloud.channel(shown) as channel:
            ready.wait(HANG)
            NodeClient(channel, "good").attach(numbered(number))

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(start, range(count)))


def flood(stack: ExitStack, cloud: FloodedHost, shown: Files, count: int) -> list[Any]:
    """Begin calls of host evil, by some connections; each wants many interfaces for its domain."""
    stubs = [agents_pb2_grpc.AgentsStub(stack.enter_context(cloud.channel(shown))) for _ in range(8)]
    domain = numbered(999)
    nics = tuple(interface(f"52:54:00:00:ff:{number:02x}") for number in range(MAX_INTERFACES))
    wanted = domain_message(replace(domain, interfaces=nics, macs=tuple(one.mac for one in nics)))
    request = agents_pb2.AttachDomainRequest(host="evil", domain=wanted)
    return [stubs[number % 8].AttachDomain.future(request, timeout=HANG) for number in range(count)]


def is_refused_stream(call: Any) -> bool:
    """Whether gRPC itself has refused a call, as newer versions do with many: REFUSED_STREAM (RFC 9113, section 7)."""
    return bool(call.code().name == "UNAVAILABLE" and "RST_STREAM with error code 7" in call.details())


def test_a_node_that_asks_for_much(cloud: FloodedHost, control: Control) -> None:
    """10,000 calls at once by 8 connections: another node starts 50 domains at once meanwhile, and none is refused.

    The calls are answered, or refused for a quota; and the other one has what it had.
    """
    control.done("subnet", "create", "blue", "10.1.0.0/16", "--default")
    good, evil = cloud.node("good"), cloud.node("evil")
    with ExitStack() as stack:
        calls = flood(stack, cloud, evil, 10_000)
        start_at_once(cloud, good)
        start_at_once(cloud, good)
        cloud.all_served(good)
        done = Counter(one.code().name for one in calls if one.done() and not is_refused_stream(one))
        assert {*done} <= {"OK", "RESOURCE_EXHAUSTED"}
        for one in calls:
            one.cancel()
    hosts = Counter(port["host"] for port in control.done("port", "list", "--format", "json").json)
    assert hosts == {"good": 50, "evil": MAX_INTERFACES}
    cloud.all_served(evil)


def test_nodes_that_connect_and_wait(cloud: FloodedHost, control: Control) -> None:
    """1,000 connections of a node, each with a call that is half-open or a stream that is not read; others start."""
    control.done("subnet", "create", "blue", "10.1.0.0/16", "--default")
    good, evil = cloud.node("good"), cloud.node("evil")
    before = cloud.service.memory
    watch = agents_pb2.WatchHostRequest(host="evil").SerializeToString()
    with ExitStack() as stack:
        for number in range(1000):
            connection = stack.enter_context(cloud.connect(evil, settings={4: 0}))
            if number % 2:
                connection.call(ATTACH)
            else:
                stream = connection.call(WATCH_HOST)
                connection.send(0, 1, stream, b"\0" + struct.pack(">I", len(watch)) + watch)
        start_at_once(cloud, good)
        cloud.all_served(good)
        assert cloud.service.threads < THREADS
        assert cloud.service.memory < before + 200
    cloud.all_served(evil)


def numbered(number: int) -> Domain:
    """One of many domains."""
    mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
    return Domain(UUID(int=number + 1), f"web{number}", 1, (interface(mac),), (mac,))


def test_messages_of_any_size(cloud: FloodedHost) -> None:
    """What is too large, or is when it is decompressed, is refused before it costs anything; by anybody."""
    ann = cloud.issue("ann", "operator")
    before = cloud.service.memory
    bomb = gzip.compress(bytes(1 << 27), 9)
    message = b"\1" + struct.pack(">I", len(bomb)) + bomb
    with ExitStack() as stack:
        for _ in range(4):
            newcomer = Http2(cloud.door, cloud.files.own.certificate)
            for method, connection in ((LIST_NODES, cloud.connect(ann)), (ENROL, newcomer)):
                stack.enter_context(connection)
                stream = connection.call(method, ("grpc-encoding", "gzip"))
                with suppress(OSError):
                    for place in range(0, len(message), 16384):
                        connection.send(0, 0, stream, message[place : place + 16384])
        cloud.all_served(ann)
    files = (path.read_bytes() for path in (ann.ca, ann.key, ann.certificate))
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    with grpc.secure_channel(cloud.api, grpc.ssl_channel_credentials(*files), options) as channel:
        request, stub = nodes_pb2.GetNodeRequest(name="x" * (16 << 20)), nodes_pb2_grpc.NodesStub(channel)
        wanted = agents_pb2.LibvirtDomain(uuid=str(UUID(int=1)), macs=["52:54:00:00:00:01"] * (1 << 20))
        with pytest.raises(grpc.RpcError) as caught, cloud.channel(cloud.node("evil")) as channel_of_node:
            agents_pb2_grpc.AgentsStub(channel_of_node).AttachDomain(
                agents_pb2.AttachDomainRequest(host="evil", domain=wanted), timeout=HANG
            )
        assert caught.value.code().name == "RESOURCE_EXHAUSTED"
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetNode(request, compression=compression, timeout=HANG)
            assert caught.value.code().name in ("RESOURCE_EXHAUSTED", "UNIMPLEMENTED")
    cloud.all_served(ann)
    assert cloud.service.memory < before + 200


def ping(connection: Http2) -> None:
    """Ask for a sign of life."""
    connection.send(PING, 0, 0, bytes(8))


def settle(connection: Http2) -> None:
    """Change the settings."""
    connection.send(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))


def reset(connection: Http2) -> None:
    """Begin a call, and take it back."""
    connection.send(RST_STREAM, 0, connection.call(LIST_NODES), bytes(4))


def go_on(connection: Http2) -> None:
    """Go on with headers that never end."""
    connection.send(CONTINUATION, 0, 1, (b"\0\x01a\x7f\x81\x7f" + b"x" * 16384)[:16384])


def say_much(connection: Http2) -> None:
    """Begin a call with much metadata."""
    connection.call(LIST_NODES, *((f"a{number}", "x" * 100) for number in range(100)))


def test_frames_without_end(cloud: FloodedHost) -> None:
    """Nobody else notices."""
    ann, eve = cloud.issue("ann", "operator"), cloud.issue("eve", "reader")
    before = cloud.service.memory

    def send(frame: Callable[[Http2], None]) -> None:
        with suppress(OSError), cloud.connect(eve) as connection:
            connection.read()
            for _ in range(500):
                frame(connection)

    for frame in (ping, settle, reset, go_on, say_much):
        flood = threading.Thread(target=send, args=(frame,))
        flood.start()
        cloud.all_served(ann)
        flood.join()
    cloud.all_served(ann)
    assert cloud.service.memory < before + 200


def test_answers_that_nobody_reads(cloud: FloodedHost) -> None:
    """Of calls and streams, by a client whose window is shut."""
    ann, eve = cloud.issue("ann", "operator"), cloud.issue("eve", "reader")
    with ExitStack() as stack:
        for method in (LIST_NODES, WATCH, "/ovnhook.v1.Status/GetStatus"):
            for _ in range(4):
                connection = stack.enter_context(cloud.connect(eve, settings={4: 0}))
                for _ in range(20):
                    connection.send(0, 1, connection.call(method), bytes(5))
        cloud.all_served(ann)
        with pytest.raises(NotFound):
            Client(cloud.service.path).call("MoveGateway", name="none", host="hv1")


def test_strangers_leave_no_line_in_the_journal(cloud: FloodedHost) -> None:
    """Whoever fails to shake hands does not fill it."""
    ann = cloud.issue("ann", "operator")
    before = cloud.service.journal.read_text()
    for where in (cloud.api, cloud.door):
        for first in (CLIENT_HELLO, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(100)):
            Connections(where, 50, first).close()
    for _ in range(20):
        with suppress(OSError), Http2(cloud.api, cloud.files.own.certificate) as nobody:
            nobody.ended()
    assert cloud.trusts(ann)
    said = cloud.service.journal.read_text().removeprefix(before).splitlines()
    assert [line for line in said if not line.endswith(" was renewed")] == []  # as it was, when ann was let in


def test_requests_of_the_standard_services_that_are_none(control: Control, caplog: pytest.LogCaptureFixture) -> None:
    """Reflection and health say so, as our own do, and the log has no traceback."""
    chance = random.Random(1)
    methods = ["grpc.health.v1.Health/Check", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
    found = set()
    with control.channel() as channel:
        for number in range(200):
            requests = iter([chance.randbytes(1 + number % 40)])
            try:
                list(channel.stream_stream(f"/{methods[number % 2]}")(requests, timeout=HANG))
            except grpc.RpcError as error:
                found.add(error.code().name)
    assert found <= {"INVALID_ARGUMENT", "NOT_FOUND"}
    assert "INVALID_ARGUMENT" in found
    assert "Traceback" not in caplog.text
