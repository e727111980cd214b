"""Fixtures: real database servers and a control service for each test."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import Hypervisors
from tests.database.openssl import OpensslAuthority
from tests.database.ovsdb_server import NORTHBOUND_SCHEMA, SOUTHBOUND_SCHEMA, VSWITCH_SCHEMA, Cluster, Server, run


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="ovnhook-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def authority(directory: Path) -> OpensslAuthority:
    """Certificate authority that the service trusts."""
    return OpensslAuthority(directory, "ca")


@pytest.fixture
def port() -> int:
    """Free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture
def make_port() -> Callable[[], int]:
    """Function that returns free TCP ports."""

    def port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return port


@pytest.fixture
def make_server(directory: Path) -> Iterator[Callable[[str, Path], Server]]:
    """Function that starts servers by name and schema; they are stopped after the test."""
    with ExitStack() as stack:

        def make(name: str, schema: Path) -> Server:
            (directory / name).mkdir()
            server = Server(directory / name, schema)
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture
def northbound(make_server: Callable[[str, Path], Server]) -> Server:
    """Standalone northbound database."""
    return make_server("nb", NORTHBOUND_SCHEMA)


@pytest.fixture
def southbound(make_server: Callable[[str, Path], Server]) -> Server:
    """Standalone southbound database."""
    return make_server("sb", SOUTHBOUND_SCHEMA)


@pytest.fixture
def cluster(directory: Path) -> Iterator[Cluster]:
    """Northbound database as a cluster of three servers."""
    made = Cluster()
    try:
        made.start(directory)
        yield made
    finally:
        made.stop()


@pytest.fixture
def make_host(make_server: Callable[[str, Path], Server]) -> Callable[[str], Server]:
    """Function that starts Open vSwitch databases of hosts, with a system-id and br-int."""

    def make(name: str) -> Server:
        server = make_server(name, VSWITCH_SCHEMA)
        vsctl = ["ovs-vsctl", "--no-wait", f"--db={server.remote}"]
        run(*vsctl, "init", "--", "set", "Open_vSwitch", ".", f"external_ids:system-id={name}")
        run(*vsctl, "add-br", "br-int")
        return server

    return make


@pytest.fixture
def vswitch(make_host: Callable[[str], Server]) -> Server:
    """The Open vSwitch database of a host called hv1."""
    return make_host("hv1")


@pytest.fixture
def control(
    directory: Path,
    northbound: Server,
    southbound: Server,
    make_host: Callable[[str], Server],
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Control]:
    """A control service on these databases, and the command."""
    made = Control(directory / "run" / "control.sock", northbound, southbound, make_host, capsys)
    yield made
    made.service.stop()


@pytest.fixture
def world(northbound: Server, make_host: Callable[[str], Server]) -> Hypervisors:
    """A northbound database with three subnets, and hosts."""
    return Hypervisors(northbound, make_host)


@pytest.fixture
def hv1(world: Hypervisors) -> DirectHost:
    """Host hv1."""
    return world.host("hv1")


@pytest.fixture
def hv2(world: Hypervisors) -> DirectHost:
    """Host hv2."""
    return world.host("hv2")
