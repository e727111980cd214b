"""A client in a process of its own: no server of the tests' drives gRPC's connections on its behalf."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lab.waiting import HANG
from ovnhook.control.server import ControlServer
from ovnhook.pki.keyfiles import Files
from tests.database.control_host import ControlHost, cloud

__all__ = ["cloud"]  # the fixture

_CLIENT = """
import sys
from pathlib import Path
from uuid import UUID

from ovnhook.agent.control import ControlService
from ovnhook.api.calls import Calls
from ovnhook.base.config import load
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.domains.values import Domain

service = ControlService(Calls.of_host(load(Path(sys.argv[1]))))
for line in sys.stdin:
    try:
        service.detach(Domain(UUID(int=1), ""), "hv1", Deadline.after(float(line)))
        print("done", flush=True)
    except Unavailable:
        print("unavailable", flush=True)
"""


def test_an_agent_outlives_the_service(cloud: ControlHost, directory: Path) -> None:
    """Its calls fail while the service is away, and are answered when it is back."""
    file = directory / "ovnhook.toml"
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings(cloud).items()))
    command = [sys.executable, "-c", _CLIENT, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:

        def call(seconds: float) -> str:
            assert client.stdin
            assert client.stdout
            print(seconds, file=client.stdin, flush=True)
            return client.stdout.readline().strip()

        assert call(HANG) == "done"
        cloud.service.stop()
        assert call(1) == "unavailable"
        cloud.service = ControlServer(cloud.path, cloud.config)
        cloud.service.start()
        assert call(HANG) == "done"


def settings(cloud: ControlHost) -> dict[str, str]:
    """Settings of a node of the cloud."""
    files: Files = cloud.enrol(cloud.create_token("hv1"))
    return {
        "control": cloud.api,
        "database_certificate": str(files.certificate),
        "database_private_key": str(files.key),
        "database_ca": str(files.ca),
    }
