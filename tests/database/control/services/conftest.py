"""Clients of a control service."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.database.control_service import Control


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
