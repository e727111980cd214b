"""The control service on a real northbound database: lists, errors, health, reflection, its socket, its process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2

from lab.waiting import HANG
from ovnhook.api.client import Client
from ovnhook.api.grpc.health.v1 import health_pb2, health_pb2_grpc
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ovnhook.api.v1 import subnets_pb2, subnets_pb2_grpc
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.errors import OvnhookError
from ovnhook.cli.main import main
from ovnhook.control import server
from tests.database.control_service import Control
from tests.database.ovsdb_server import Server, wait_for


def test_pages(control: Control) -> None:
    """All rows, each once, whatever the size of a page."""
    for number in range(5):
        control.done("subnet", "create", f"s{number}", f"10.{number}.0.0/16")
    client = Client(control.path)
    names = [f"s{number}" for number in range(5)]
    for size in (0, 1, 2, 5, 10**6):
        assert [row["name"] for row in client.pages("ListSubnets", "subnets", page_size=size)] == names
    first = client.call("ListSubnets", page_size=2)
    assert [row["name"] for row in first["subnets"]] == names[:2]
    control.done("subnet", "delete", "s1")
    second = client.call("ListSubnets", page_token=first["next_page_token"])
    assert [row["name"] for row in second["subnets"]] == names[2:]
    for fields in ({"page_size": -1}, {"page_token": "x"}, {"page_token": "WzFd"}, {"page_token": "é"}):
        with pytest.raises(OvnhookError) as caught:
            client.call("ListSubnets", **fields)
        assert caught.value.status == "INVALID_ARGUMENT"
        assert "page_" in caught.value.message


def test_errors_of_the_api(control: Control) -> None:
    """gRPC's status, the message, and the hint in the metadata, for clients that aren't ours."""
    with control.channel() as channel:
        stub = subnets_pb2_grpc.SubnetsStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetSubnet(subnets_pb2.GetSubnetRequest(name="blüe"), timeout=HANG)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "there is no subnet 'blüe'"
    assert ("ovnhook-hint", "ovnhook subnet list") in [tuple(pair) for pair in caught.value.trailing_metadata()]


def test_what_was_not_foreseen(
    control: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told no secrets, the log everything, and the service goes on."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("ovnhook.resources.subnet.rules.parse", fail)
    error, _ = control.refused(1, "subnet", "create", "blue", "10.1.0.0/24")
    assert "secret" not in error
    assert "ZeroDivisionError: secret" in caplog.text
    monkeypatch.undo()
    control.done("subnet", "create", "blue", "10.1.0.0/24")


def test_a_database_that_is_away(control: Control) -> None:
    """The command says which; when it is back all goes on."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.northbound.stop()
    done = control.ovnhook("subnet", "list")
    assert done.status == 7
    assert done.error.startswith(f"error: OVN_Northbound: {control.northbound.remote}: ")
    control.northbound.start()
    assert control.done("subnet", "list").table[1][0] == "blue"


def test_a_database_that_is_silent(control: Control) -> None:
    """The client's deadline is kept, and it hears what was waited for rather than that time is over."""
    control.done("subnet", "list")
    control.northbound.pause()
    with control.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        subnets_pb2_grpc.SubnetsStub(channel).ListSubnets(subnets_pb2.ListSubnetsRequest(), timeout=1)
    control.northbound.resume()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "OVN_Northbound" in caught.value.details()


def test_health(control: Control) -> None:
    """Serving while the database is there; a watch hears of both changes."""
    with control.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        kinds = health_pb2.HealthCheckResponse
        for service in ("", "ovnhook.v1.Subnets", "grpc.health.v1.Health"):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=HANG).status == kinds.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=HANG)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert next(stub.Watch(health_pb2.HealthCheckRequest(service="nothing"), timeout=HANG)).status == (
            kinds.SERVICE_UNKNOWN
        )
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=HANG)
        assert next(watch).status == kinds.SERVING
        control.northbound.stop()
        assert next(watch).status == kinds.NOT_SERVING
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=HANG).status == kinds.NOT_SERVING
        control.northbound.start()
        assert next(watch).status == kinds.SERVING


def test_reflection(control: Control) -> None:
    """A client that has no proto learns all from the service."""
    asked = reflection_pb2.ServerReflectionRequest
    requests = [
        asked(list_services=""),
        asked(file_containing_symbol="ovnhook.v1.Subnets.CreateSubnet"),
        asked(file_by_filename="google/protobuf/field_mask.proto"),
        asked(file_containing_symbol="ovnhook.v1.Nothing"),
        asked(file_containing_symbol="ovnhook.v1.Subnets.Nothing"),
        asked(all_extension_numbers_of_type="ovnhook.v1.Subnet"),
        asked(),
    ]
    with control.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers = list(stub.ServerReflectionInfo(iter(requests), timeout=HANG))
    listed, found, imported, *errors = answers
    assert [service.name for service in listed.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "ovnhook.v1.Agents",
        "ovnhook.v1.Attachments",
        "ovnhook.v1.Certificates",
        "ovnhook.v1.Changes",
        "ovnhook.v1.FloatingIps",
        "ovnhook.v1.Leases",
        "ovnhook.v1.Nodes",
        "ovnhook.v1.Ports",
        "ovnhook.v1.Routers",
        "ovnhook.v1.SecurityGroups",
        "ovnhook.v1.Status",
        "ovnhook.v1.Subnets",
    ]
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(file)
        for file in found.file_descriptor_response.file_descriptor_proto
    ]
    assert {file.package for file in files} == {"ovnhook.v1", "google.protobuf"}
    assert len(imported.file_descriptor_response.file_descriptor_proto) == 1
    assert [answer.error_response.error_code for answer in errors] == [5, 5, 5, 3]
    assert [answer.original_request for answer in answers] == requests


def test_only_root_may_open_the_socket(control: Control) -> None:
    """By its mode; the folder is for all, as others have their sockets there."""
    assert stat.S_IMODE(control.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(control.path.parent.stat().st_mode) == 0o755


def test_a_second_service_is_refused(control: Control) -> None:
    """In one line; the first one goes on."""
    with pytest.raises(OvnhookError, match=f"another control service serves on {control.path}"):
        server.ControlServer(control.path, control.config).start()
    control.done("subnet", "list")


@pytest.mark.parametrize("path", ["/proc/nothing/control.sock", "/dev/null/control.sock", f"/tmp/{'x' * 120}"])
def test_where_nobody_can_serve(path: str) -> None:
    """In one line."""
    with pytest.raises(OvnhookError, match="can't serve on /"):
        server.ControlServer(Path(path), Config()).start()


class TestProcess:
    """The process ``ovnhook-control``."""

    @pytest.fixture
    def start(self, directory: Path, northbound: Server) -> Iterator[Callable[[], subprocess.Popen[str]]]:
        """Start the service; all of them are ended after the test."""
        configuration = directory / "ovnhook.toml"
        configuration.write_text(f'northbound = "{northbound.remote}"\nvswitch = "unix:{directory}/nothing"\n')
        socket = directory / "run" / "control.sock"
        command = [sys.executable, "-m", "ovnhook.control", "--config", str(configuration), "--socket", str(socket)]
        started: list[subprocess.Popen[str]] = []

        def begin() -> subprocess.Popen[str]:
            started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
            return started[-1]

        yield begin
        for process in started:
            process.kill()
            process.communicate(timeout=HANG)

    def test_it_serves_until_it_is_told_to_end(
        self, directory: Path, start: Callable[[], subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A crash leaves a socket that nobody answers, and the next one replaces; SIGTERM leaves none."""
        socket = directory / "run" / "control.sock"
        arguments = ["--socket", str(socket), "subnet", "list", "--format", "json"]
        assert main(arguments) == 7
        assert capsys.readouterr().err.splitlines() == [
            f"error: the control service is not running at {socket}",
            "hint: systemctl start ovnhook-control",
        ]
        first = start()
        wait_for(lambda: main(arguments) == 0)
        second = start()
        assert second.wait(HANG) == 1
        assert second.stderr
        assert second.stderr.read() == f"ERROR ovnhook.control: another control service serves on {socket}\n"
        first.kill()
        first.wait(HANG)
        assert socket.exists()
        assert main(arguments) == 7
        third = start()
        wait_for(lambda: main(arguments) == 0)
        third.send_signal(signal.SIGTERM)
        assert third.wait(HANG) == 0
        assert not socket.exists()
        assert third.stderr
        assert third.stderr.read() == f"INFO ovnhook.control: serving on {socket}\n"

    def test_where_it_serves(self, directory: Path, start: Callable[[], subprocess.Popen[str]], port: int) -> None:
        """Both places are in the log, and a client finds it at the second as well."""
        with (directory / "ovnhook.toml").open("a") as configuration:
            configuration.write(f'listen = "127.0.0.1:{port}"\n')
        process = start()
        assert process.stderr
        socket = directory / "run" / "control.sock"
        assert process.stderr.readline() == f"INFO ovnhook.control: serving on {socket} and 127.0.0.1:{port}\n"
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            listed = subnets_pb2_grpc.SubnetsStub(channel).ListSubnets(subnets_pb2.ListSubnetsRequest(), timeout=HANG)
        assert list(listed.subnets) == []

    def test_a_configuration_that_means_nothing(
        self, directory: Path, start: Callable[[], subprocess.Popen[str]]
    ) -> None:
        """One line, and the exit status of its error."""
        (directory / "ovnhook.toml").write_text("colour = 1\n")
        process = start()
        assert process.wait(HANG) == 2
        assert process.stderr
        (line,) = process.stderr.read().splitlines()
        assert line.startswith("ERROR ovnhook.control: ")
        assert "colour" in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_told(control: Control) -> None:
    """Not root: the command says so."""
    control.path.parent.parent.chmod(0o755)
    code = "import os, sys; from ovnhook.cli.main import main; os.setuid(65534); sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "--socket", str(control.path), "subnet", "list"],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 7
    assert done.stderr.startswith(f"error: only root may use the control service at {control.path}\n")


def test_the_network_id(control: Control) -> None:
    """Northd gives it; where it can't be asked for, all else is shown."""
    uuid = control.done("subnet", "create", "blue", "10.1.0.0/24", "--format", "json").json["logical_switch"]
    for key, ids in ((6, {"logical-switch": uuid}), (7, {"logical-router": str(uuids.router("gateway"))})):
        row = {"tunnel_key": key, "external_ids": ["map", [*map(list, ids.items())]]}
        control.southbound.transact({"op": "insert", "table": "Datapath_Binding", "row": row})
    assert control.done("subnet", "show", "blue", "--format", "json").json["network_id"] == 6
    assert control.done("subnet", "list", "--format", "json").json[0]["network_id"] == 6
    control.southbound.stop()
    assert control.done("subnet", "show", "blue", "--format", "json").json["network_id"] == 0


def test_a_broken_row(control: Control) -> None:
    """Somebody's row under our name takes nothing from the others; everything else is shown."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.attach("web1", "blue")
    ids = [["ovnhook:kind", "lease"], ["ovnhook:subnet", "blue"]]
    control.northbound.transact({"op": "insert", "table": "DNS", "row": {"external_ids": ["map", ids]}})
    ids = [["ovnhook:kind", "subnet"], ["ovnhook:cidr", "10.1"]]
    control.northbound.transact(
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "odd", "external_ids": ["map", ids]}}
    )
    assert [row["domain_name"] for row in control.done("lease", "list", "--format", "json").json] == ["web1"]
    assert [row["name"] for row in control.done("subnet", "list", "--format", "json").json] == ["blue"]
    assert control.done("router", "list", "--format", "json").json[0]["subnets"] == ["blue"]
