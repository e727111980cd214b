"""Clients of a control service."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest

from ovnhook.control import agentstates
from tests.database.clients import Clients
from tests.database.control_service import Control
from tests.database.nodes import NodeClient


@pytest.fixture
def channel(control: Control) -> Iterator[grpc.Channel]:
    """A client's."""
    with control.channel() as made:
        yield made


@pytest.fixture
def narrow(control: Control) -> Iterator[grpc.Channel]:
    """A client's that takes no more from the service than 64 KiB before they are read."""
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]
    with grpc.insecure_channel(f"unix:{control.path}", options) as made:
        yield made


@pytest.fixture
def make_node(clients: Clients) -> Callable[[str], NodeClient]:
    """Function that makes the client of a node, with its certificate."""
    return lambda name: NodeClient(clients.channel(name, "node"), name)


@pytest.fixture
def node1(make_node: Callable[[str], NodeClient]) -> NodeClient:
    """A node."""
    return make_node("hv1")


@pytest.fixture
def node2(make_node: Callable[[str], NodeClient]) -> NodeClient:
    """Another one."""
    return make_node("hv2")


@pytest.fixture
def _long_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control service that has run for some time."""
    monkeypatch.setattr(agentstates, "GRACE", 0.0)
