"""A control service as a process of its own, with the limits of its systemd unit."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import grpc

from lab.waiting import HANG
from ovnhook.api.grpc.health.v1 import health_pb2, health_pb2_grpc
from ovnhook.base.config import Config
from tests.database.ovsdb_server import wait_for

UNIT = Path(__file__).parents[2] / "packaging/debian/ovnhook-control.ovnhook-control.service"


def of_unit(key: str) -> str:
    """Setting of the service's systemd unit."""
    (value,) = re.findall(rf"^{key}=(.+)$", UNIT.read_text(), re.MULTILINE)
    return str(value)


class ControlProcess:
    """A running control service, until `stop`.

    Args:
        path: path of its socket.
        config: its configuration.
        environment: environment variables, in addition to those of the tests and the unit.
    """

    def __init__(self, path: Path, config: Config, **environment: str) -> None:
        self.path = path
        self.journal = path.parent.with_suffix(".journal")
        file = path.parent.with_suffix(".toml")
        lines = (f"{key} = {json.dumps(value)}" for key, value in asdict(config).items() if value != "")
        file.write_text("\n".join(lines))
        files = min(int(of_unit("LimitNOFILE")), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        command = [
            "env",
            of_unit("Environment"),
            *(f"{key}={value}" for key, value in environment.items()),
            sys.executable,
            "-m",
            "ovnhook.control",
            "--config",
            str(file),
            "--socket",
            str(path),
        ]
        with self.journal.open("w") as journal:
            self.process = subprocess.Popen(["prlimit", f"--nofile={files}", *command], stderr=journal)
        wait_for(self.serves)

    def serves(self) -> bool:
        """True if an RPC of root is answered."""
        if self.process.poll() is not None:
            raise AssertionError(self.journal.read_text())
        if not self.path.exists():
            return False
        with grpc.insecure_channel(f"unix:{self.path}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            try:
                answer = check(health_pb2.HealthCheckRequest(), timeout=HANG)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    @property
    def files(self) -> int:
        """Number of its open files."""
        return len([*Path(f"/proc/{self.process.pid}/fd").iterdir()])

    @property
    def memory(self) -> int:
        """Its peak memory in MiB."""
        (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found) // 1024

    @property
    def threads(self) -> int:
        """Number of its threads."""
        return len([*Path(f"/proc/{self.process.pid}/task").iterdir()])

    def stop(self) -> None:
        """Terminate it, as systemd does; pytest shows its journal if the test has failed."""
        self.process.terminate()
        self.process.wait(HANG)
        print(self.journal.read_text(), file=sys.stderr)
