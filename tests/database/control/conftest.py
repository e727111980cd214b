"""A control service for clients with certificates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovnhook.control.server import ControlServer
from tests.database.clients import Clients
from tests.database.control_service import Control
from tests.database.openssl import OpensslAuthority
from tests.database.southbound_rows import add_chassis


@pytest.fixture
def clients(control: Control, authority: OpensslAuthority, directory: Path, port: int) -> Iterator[Clients]:
    """Two hosts, a default subnet, and a service for clients with certificates."""
    for host in ("hv1", "hv2"):
        add_chassis(control.southbound, host, options="")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    certificate, key = authority.sign("control", "control")
    config = replace(
        control.config,
        listen=f"127.0.0.1:{port}",
        certificate=str(certificate),
        private_key=str(key),
        ca=str(authority.certificate),
    )
    service = ControlServer(directory / "run" / "tls.sock", config)
    service.start()
    made = Clients(control, authority, config.listen)
    yield made
    made.close()
    service.stop()
