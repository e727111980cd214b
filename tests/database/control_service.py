"""A control service on real databases, and the command as its client."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import grpc
import pytest
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.api.client import Client
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import FailedPrecondition
from ovnhook.cli.main import main
from ovnhook.control import server
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import Server

MAC = "52:54:00:00:00:01"


class CommandResult(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    error: str

    @property
    def table(self) -> list[list[str]]:
        """Words of each line of the output."""
        return [line.split() for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        """Output as JSON."""
        return json.loads(self.out)


class Control:
    """A control service, and the command as its client."""

    def __init__(
        self,
        path: Path,
        northbound: Server,
        southbound: Server,
        make_host: Callable[[str], Server],
        capture: pytest.CaptureFixture[str],
    ) -> None:
        self.path = path
        self.northbound = northbound
        self.southbound = southbound
        self.config = Config(
            northbound=northbound.remote, southbound=southbound.remote, vswitch=make_host("hv1").remote
        )
        self.service = server.ControlServer(path, self.config)
        self.service.start()
        self._capture = capture

    def ovnhook(self, *arguments: str) -> CommandResult:
        """Run the command."""
        self._capture.readouterr()
        status = main(["--socket", str(self.path), *arguments])
        return CommandResult(status, *self._capture.readouterr())

    def done(self, *arguments: str) -> CommandResult:
        """Run the command, which must succeed without a warning."""
        done = self.ovnhook(*arguments)
        assert (done.status, done.error) == (0, "")
        return done

    def refused(self, status: int, *arguments: str) -> tuple[str, str]:
        """Run the command, which must fail and change nothing; return the error and the hint."""
        before = self.northbound.dump(versions=True)
        done = self.ovnhook(*arguments)
        assert self.northbound.dump(versions=True) == before
        assert (done.status, done.out) == (status, "")
        error, *hints = done.error.splitlines()
        assert len(hints) <= 1
        assert error.startswith("error: ")
        assert all(hint.startswith("hint: ") for hint in hints)
        return error.removeprefix("error: "), hints[0].removeprefix("hint: ") if hints else ""

    def attach(self, name: str, subnet: str, address: str = "", mac: str = MAC) -> Domain:
        """Start a domain on hv1."""
        request = InterfaceRequest(subnet, addresses=(IPAddress(address),) if address else (), hostname=name)
        domain = Domain(uuids.switch(name), name, 1, (Interface(mac, InterfaceType.BRIDGE, request),), (mac,))
        DirectHost(self.config).attach(domain, Deadline.after(HANG))
        return domain

    def stop(self, domain: Domain) -> None:
        """Stop a domain."""
        DirectHost(self.config).detach(domain, Deadline.after(HANG))

    def clear(self) -> None:
        """Delete everything, as an administrator does, and assert that no row is left."""

        def listed(noun: str) -> Any:
            return self.done(noun, "list", "--format", "json").json

        for row in listed("port"):
            if row["kept_by"] == "client":
                self.done("port", "delete", row["id"])
        for uuid, host in {(row["domain"], row["host"]) for row in listed("lease")}:
            try:
                DirectHost(self.config).release_leases(UUID(uuid), Deadline.after(HANG))
            except FailedPrecondition:  # an API client's, which detached it and kept its leases
                self.client().call("Detach", domain=uuid, host=host, forget=True)
        for row in listed("floating-ip"):
            self.done("floating-ip", "delete", row["address"])
        for row in listed("subnet"):
            self.done("subnet", "delete", row["name"])
        for row in listed("router"):
            self.done("router", "delete", row["name"])
        groups = listed("security-group")
        for row in groups:  # a rule may have another group as its source
            for rule in row["rules"]:
                self.done("security-group", "remove", row["name"], str(rule["number"]))
        for row in groups:
            self.done("security-group", "delete", row["name"])
        left = {table: [*found.values()] for table, found in self.northbound.dump().items() if found}
        for registry in left.pop("DNS"):
            assert dict(registry["external_ids"][1])["ovnhook:kind"] == "registry"
        assert set(left) <= {"NB_Global"}

    def client(self) -> Client:
        """Client of the API, as in the command."""
        return Client(self.path)

    def channel(self) -> grpc.Channel:
        """Channel to the service."""
        return grpc.insecure_channel(f"unix:{self.path}")
