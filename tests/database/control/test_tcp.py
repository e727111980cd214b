"""The control service over TCP: who is served, and who gets nothing."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from lab.waiting import HANG
from ovnhook.api.v1 import subnets_pb2, subnets_pb2_grpc
from ovnhook.base.config import Config, load
from ovnhook.base.errors import InvalidConfig, OvnhookError
from ovnhook.control import admission
from ovnhook.control.admission import CallKind
from ovnhook.control.listener import PER_CLIENT
from ovnhook.control.server import ControlServer
from tests.database import ovsdb_server as databases
from tests.database.openssl import OpensslAuthority
from tests.database.ovsdb_server import run


@pytest.fixture
def configuration(
    northbound: databases.Server, southbound: databases.Server, authority: OpensslAuthority, port: int
) -> Config:
    """One that serves with mutual TLS."""
    certificate, key = authority.sign("control")
    return Config(
        northbound=northbound.remote,
        southbound=southbound.remote,
        vswitch="unix:/nonexistent/s",
        listen=f"127.0.0.1:{port}",
        certificate=str(certificate),
        private_key=str(key),
        ca=str(authority.certificate),
    )


@pytest.fixture
def serve(directory: Path) -> Iterator[Callable[[Config], ControlServer]]:
    """Serve as configured; the service is stopped after the test."""
    started: list[ControlServer] = []

    def begin(config: Config) -> ControlServer:
        started.append(ControlServer(directory / "run" / "control.sock", config))
        started[-1].start()
        return started[-1]

    yield begin
    for service in started:
        service.stop()


def ask(channel: grpc.Channel) -> subnets_pb2.ListSubnetsResponse:
    """Call the service, and close the channel."""
    with channel:
        stub = subnets_pb2_grpc.SubnetsStub(channel)
        answer: subnets_pb2.ListSubnetsResponse = stub.ListSubnets(subnets_pb2.ListSubnetsRequest(), timeout=HANG)
    return answer


def secure(
    config: Config, ca: Path, pair: tuple[Path, Path] | None = None, options: Sequence[tuple[str, int]] = ()
) -> grpc.Channel:
    """A channel with TLS: who is trusted, and the client's certificate and key."""
    certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)
    return grpc.secure_channel(config.listen, credentials, options)


def test_who_is_served(
    configuration: Config, serve: Callable[[Config], ControlServer], authority: OpensslAuthority, directory: Path
) -> None:
    """Who has a certificate of the service's CA that is valid, and nobody else."""
    serve(configuration)
    other = OpensslAuthority(directory, "other")
    ca = authority.certificate
    wrong = {
        "none": secure(configuration, ca),
        "of another CA": secure(configuration, ca, other.sign("stranger")),
        "expired": secure(configuration, ca, authority.sign("late", days=-1)),
        "in the clear": grpc.insecure_channel(configuration.listen),
        "the service is of another CA": secure(configuration, other.certificate, authority.sign("deceived")),
    }
    for what, channel in wrong.items():
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, what
    assert not ask(secure(configuration, ca, authority.sign("client"))).subnets


def test_the_unix_socket_is_served_beside_it(
    configuration: Config, serve: Callable[[Config], ControlServer], directory: Path
) -> None:
    """Without a certificate: who may open it is root."""
    serve(configuration)
    assert not ask(grpc.insecure_channel(f"unix:{directory}/run/control.sock")).subnets


def test_many_calls_of_one_at_once(
    configuration: Config,
    serve: Callable[[Config], ControlServer],
    authority: OpensslAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that are one too many are refused, and none is cancelled whose message may only wait for its thread."""
    monkeypatch.setattr(admission, "HALF_OPEN_AGE", 10 * HANG)
    serve(configuration)
    most, pair = 2 * PER_CLIENT[CallKind.SHORT], authority.sign("client")
    ready = threading.Barrier(most)
    said: list[grpc.StatusCode] = []

    def call(channel: grpc.Channel) -> None:
        stub = subnets_pb2_grpc.SubnetsStub(channel)
        for _ in range(10):
            ready.wait(HANG)
            try:
                stub.ListSubnets(subnets_pb2.ListSubnetsRequest(), timeout=HANG)
            except grpc.RpcError as error:
                said.append(error.code())

    with ExitStack() as stack, ThreadPoolExecutor(most) as pool:
        alone = [("grpc.use_local_subchannel_pool", 1)]
        channels = [stack.enter_context(secure(configuration, authority.certificate, pair, alone)) for _ in range(most)]
        list(pool.map(call, channels))
    assert {*said} <= {grpc.StatusCode.RESOURCE_EXHAUSTED}


def test_a_renewed_certificate(
    configuration: Config, serve: Callable[[Config], ControlServer], authority: OpensslAuthority, directory: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Is taken up by the next connection, and another CA as well; files that don't go together are not."""
    caplog.set_level(logging.INFO)
    serve(configuration)
    old = authority.sign("client")
    ask(secure(configuration, authority.certificate, old))

    key = Path(configuration.private_key).read_bytes()
    authority.sign("control")
    new = Path(configuration.private_key).read_bytes()
    Path(configuration.private_key).write_bytes(key)
    for _ in range(2):
        ask(secure(configuration, authority.certificate, old))
    complaints = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(complaints) == 1
    assert f"private_key {configuration.private_key}: not the key of {configuration.certificate}" in complaints[0]
    Path(configuration.private_key).write_bytes(new)
    ask(secure(configuration, authority.certificate, old))
    assert f"certificate {configuration.certificate} was renewed" in caplog.text

    other = OpensslAuthority(directory, "other")
    other.sign("control")
    Path(configuration.ca).write_bytes(other.certificate.read_bytes())
    assert not ask(secure(configuration, other.certificate, other.sign("newcomer"))).subnets
    with pytest.raises(grpc.RpcError):
        ask(secure(configuration, other.certificate, old))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("certificate", None, "No such file or directory"),
        ("private_key", None, "No such file or directory"),
        ("ca", None, "No such file or directory"),
        ("certificate", b"no PEM", "not a certificate in PEM"),
        ("private_key", b"no PEM", "not a private key in PEM, without a passphrase"),
        ("ca", b"\xff\x00", "not a certificate in PEM"),
        ("ca", b"", "not a certificate in PEM"),
        ("private_key", b"another", "not the key of"),
        ("private_key", b"locked", "not a private key in PEM, without a passphrase"),
    ],
)
def test_files_that_are_wrong(
    configuration: Config, authority: OpensslAuthority, directory: Path, name: str, content: bytes | None, said: str
) -> None:
    """The service does not start, and says which file is wrong and how."""
    path = Path(getattr(configuration, name))
    if content is None:
        path.unlink()
    elif content == b"another":
        path.write_bytes(authority.sign("somebody")[1].read_bytes())
    elif content == b"locked":
        run("openssl", "ec", "-in", str(path), "-aes256", "-passout", "pass:secret", "-out", f"{path}.locked")
        Path(f"{path}.locked").replace(path)
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidConfig) as caught:
        ControlServer(directory / "run" / "control.sock", configuration).start()
    assert caught.value.message.startswith(f"{name} {path}: {said}")


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost", "[::1]"])
def test_in_the_clear(configuration: Config, serve: Callable[[Config], ControlServer], listen: str, port: int) -> None:
    """This host alone is served."""
    if "::1" in listen and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    config = replace(configuration, listen=f"{listen}:{port}", certificate="", private_key="", ca="")
    serve(config)
    assert not ask(grpc.insecure_channel(config.listen)).subnets


def test_an_address_that_is_taken(configuration: Config, directory: Path, port: int) -> None:
    """The service does not start."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(OvnhookError, match=f"can't listen on 127.0.0.1:{port}"):
            ControlServer(directory / "run" / "control.sock", configuration).start()


@pytest.mark.parametrize(
    ("listen", "allowed"),
    [
        ("127.0.0.1:9443", True),
        ("127.9.9.9:1", True),
        ("[::1]:9443", True),
        ("localhost:65535", True),
        ("0.0.0.0:9443", False),
        ("[::]:9443", False),
        ("192.0.2.10:9443", False),
        ("[2001:db8::1]:9443", False),
        ("control.example:9443", False),
        ("localhost.example:9443", False),
    ],
)
def test_what_is_refused_in_the_clear(tmp_path: Path, listen: str, allowed: bool) -> None:
    """What others could reach; with certificates it is none of the configuration's business."""
    path = tmp_path / "ovnhook.toml"
    path.write_text(f'listen = "{listen}"\n')
    if allowed:
        assert load(path).listen == listen
    else:
        with pytest.raises(InvalidConfig, match="only a loopback address") as caught:
            load(path)
        assert "mutual TLS" in caught.value.hint
    with path.open("a") as file:
        file.write('certificate = "/c"\nprivate_key = "/k"\nca = "/a"\n')
    assert load(path).listen == listen


@pytest.mark.parametrize(
    "text",
    [
        "listen = '127.0.0.1'",
        "listen = ':9443'",
        "listen = '127.0.0.1:'",
        "listen = '127.0.0.1:0'",
        "listen = '127.0.0.1:65536'",
        "listen = '127.0.0.1:-1'",
        "listen = '127.0.0.1:https'",
        "listen = '127.0.0.1:٣'",
        "listen = '::1:9443'",
        "listen = 'unix:/run/x'",
        "listen = 9443",
        "certificate = '/c'",
        "certificate = '/c'\nca = '/a'",
        "certificate = 'c'\nprivate_key = '/k'\nca = '/a'",
    ],
)
def test_what_means_nothing(tmp_path: Path, text: str) -> None:
    """Is an error of the configuration."""
    path = tmp_path / "ovnhook.toml"
    path.write_text(text)
    with pytest.raises(InvalidConfig):
        load(path)


def test_no_key_is_left_behind(
    configuration: Config, serve: Callable[[Config], ControlServer], directory: Path
) -> None:
    """The key is in its own file, and nowhere else."""
    key = Path(configuration.private_key).read_bytes()
    serve(configuration)
    copies = [path for path in directory.rglob("*") if path.is_file() and key in path.read_bytes()]
    assert copies == [Path(configuration.private_key)]
    assert not any("memfd" in str(path.resolve()) for path in Path("/proc/self/fd").iterdir())
