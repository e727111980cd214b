"""The control service and the command, on a real northbound database: what is done, and what is refused how."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
import yaml
from google.protobuf import descriptor_pb2
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook import __version__
from ovnhook.agent.host import Host
from ovnhook.api.client import Client
from ovnhook.api.grpc.health.v1 import health_pb2, health_pb2_grpc
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ovnhook.api.v1 import subnets_pb2, subnets_pb2_grpc
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, OvnhookError
from ovnhook.cli.main import main
from ovnhook.control import server
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from tests.database.control_service import MAC, Control
from tests.database.ovsdb_server import Server, wait_for


def test_a_life_of_a_subnet(control: Control) -> None:
    """Make, show, list, set, delete; in the database are just the rows of it."""
    made = control.done(
        "subnet", "create", "blue", "10.1.0.0/24", "--default", "--gateway", "10.1.0.254", "--dns", "10.1.0.53",
        "--dns", "192.0.2.53", "--domain", "lab.example", "--range", "10.1.0.10-10.1.0.19", "--mtu", "1400",
        "--format", "json",
    ).json  # fmt: skip
    assert made == {
        "name": "blue",
        "cidr": "10.1.0.0/24",
        "gateway": "10.1.0.254",
        "cidr6": "",
        "gateway6": "",
        "router": "gateway",
        "ranges": ["10.1.0.10-10.1.0.19"],
        "dns": ["10.1.0.53", "192.0.2.53"],
        "dns_domain": "lab.example",
        "mtu": 1400,
        "default": True,
        "isolated": False,
        "used": 0,
        "capacity": 10,
        "network_id": 0,
        "logical_switch": str(uuids.switch("blue")),
        "dhcp_options": [str(uuids.dhcp_options("blue"))],
        "names": str(uuids.names("blue")),
    }
    assert list(made)[:2] == ["name", "cidr"]
    rows = control.northbound.dump()
    assert rows["Logical_Switch"][made["logical_switch"]]["name"] == "blue"
    (uuid,) = made["dhcp_options"]
    options = dict(rows["DHCP_Options"][uuid]["options"][1])
    assert options["router"] == "10.1.0.254"
    assert options["mtu"] == "1400"
    assert options["dns_server"] == "{10.1.0.53, 192.0.2.53}"

    assert control.done("subnet", "show", "blue", "--format", "json").json == made
    assert control.done("subnet", "list", "--format", "json").json == [made]
    assert yaml.safe_load(control.done("subnet", "list", "--format", "yaml").out) == [made]

    changed = control.done(
        "subnet", "set", "blue", "--no-gateway", "--no-router", "--no-range", "--dns", "10.1.0.1", "--no-domain"
    )
    assert ["gateway", "10.1.0.1"] in changed.table
    after = control.done("subnet", "show", "blue", "--format", "json").json
    assert after == {
        **made, "gateway": "10.1.0.1", "router": "", "ranges": [], "dns": ["10.1.0.1"], "dns_domain": "",
        "capacity": 253,
    }  # fmt: skip
    assert "router" not in dict(control.northbound.dump()["DHCP_Options"][uuid]["options"][1])

    assert control.done("subnet", "delete", "blue").out == ""
    assert control.done("subnet", "list", "--format", "json").json == []
    rows = control.northbound.dump()
    assert (rows["Logical_Switch"], rows["DHCP_Options"]) == ({}, {})
    assert control.refused(3, "subnet", "delete", "blue")[0] == "there is no subnet 'blue'"


def test_tables(control: Control) -> None:
    """One line for each, with headings, and no colour or trailing space where nobody looks at a terminal."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default", "--dns", "10.1.0.53")
    listed = control.done("subnet", "list")
    assert listed.table == [
        ["NAME", "CIDR", "GATEWAY", "ROUTER", "DNS", "DOMAIN", "MTU", "USED", "DEFAULT", "ISOLATED"],
        ["blue", "10.1.0.0/24", "10.1.0.1", "gateway", "10.1.0.53", "-", "1442", "0/253", "yes", "no"],
    ]
    assert "\x1b" not in listed.out
    assert all(line == line.rstrip() for line in listed.out.splitlines())
    assert control.done("lease", "list").table == [
        ["SUBNET", "ADDRESS", "DOMAIN", "MAC", "HOSTNAME", "HOST", "IN", "USE"]
    ]


def test_to_make_again_what_is_already_so(control: Control) -> None:
    """Succeeds and writes nothing; with anything else under that name it is refused, and says what differs."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--dns", "10.1.0.53")
    before = control.northbound.dump(versions=True)
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--dns", "10.1.0.53")
    assert control.northbound.dump(versions=True) == before
    error, _ = control.refused(4, "subnet", "create", "blue", "10.1.0.0/24")
    assert error == "subnet blue exists and is another: its DNS server is 10.1.0.53, not none"


@pytest.mark.parametrize(
    ("status", "arguments", "error", "hint"),
    [
        (2, "create red 10.3.0.1/24", "network 10.3.0.1/24 has host bits set", "did you mean 10.3.0.0/24?"),
        (2, "create red 10.3.0.0/31", "network 10.3.0.0/31 is too small", "/30"),
        (2, "create red 10.0.0.0/8", "network 10.0.0.0/8 is too large", "/12"),
        (2, "create red 127.0.0.0/24", "is loopback", "10.0.0.0/8"),
        (2, "create red fd00::/64 --no-router", "network fd00::/64 needs a router", "ovnhook router create"),
        (2, "create re_d- 10.3.0.0/24", "name 're_d-' is not possible", "letters"),
        (2, "create red 10.3.0.0/24 --gateway 10.4.0.1", "gateway 10.4.0.1 is not a host address of 10.3.0.0/24", ""),
        (2, "create red 10.3.0.0/24 --range 10.3.0.9-10.3.0.8", "the first address is after the last", "10.3.0.8-"),
        (2, "create red 10.3.0.0/24 --dns dns", "DNS server 'dns' is not an IP address", ""),
        (2, "create red 10.3.0.0/24 --domain a_b", "domain 'a_b' is not a DNS domain", "hyphens"),
        (2, "create red 10.3.0.0/24 --mtu 100", "MTU 100 is not possible", "576 to 9000"),
        (2, "create red 10.3.0.0/24 --mtu x", "'--mtu': 'x' is not a valid integer", "ovnhook subnet create --help"),
        (2, "create red", "Missing argument 'CIDR'", "ovnhook subnet create --help"),
        (2, "create red 10.3.0.0/24 --colour blue", "No such option", "ovnhook subnet create --help"),
        (2, "paint", "No such command 'paint'", "ovnhook subnet --help"),
        (4, "create red 10.1.0.128/25", "network 10.1.0.128/25 overlaps with subnet blue (10.1.0.0/24)", ""),
        (4, "create red 10.3.0.0/24 --default", "subnet blue is the default subnet already", "set red --default"),
        (4, "create theirs 10.3.0.0/24", "a logical switch 'theirs' exists that is not ovnhook's", "another name"),
        (2, "set blue", "nothing to set", "ovnhook subnet set --help"),
        (2, "set blue --dns 10.1.0.53 --no-dns", "--dns and --no-dns can't both be", ""),
        (2, "set blue --range 10.1.0.2-10.1.0.3 --no-range", "--range and --no-range can't both be", ""),
        (2, "set blue --mtu 0x", "not a valid integer", ""),
        (2, "set blue --gateway 10.1.0.0", "gateway 10.1.0.0 is not a host address", "10.1.0.1-10.1.0.254"),
        (5, "set blue --gateway 10.1.0.20", "gateway 10.1.0.20 is leased to domain web1 (52:54:00:00:00:01)", "other"),
        (3, "set red --mtu 1400", "there is no subnet 'red'", "ovnhook subnet list"),
        (3, "show red", "there is no subnet 'red'", "ovnhook subnet list"),
        (3, "delete red", "there is no subnet 'red'", "ovnhook subnet list"),
        (5, "delete blue", "subnet blue is in use by domain web1", "ovnhook lease list --subnet blue"),
        (5, "delete green", "subnet green is in use by port router-port, without a lease", "lsp-list green"),
    ],
)
def test_what_is_refused(control: Control, status: int, arguments: str, error: str, hint: str) -> None:
    """Every refusal: its words, its hint, its exit status, and that nothing was written."""
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    control.attach("web1", "blue", "10.1.0.20")
    control.northbound.transact(
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "theirs"}},
        {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": "router-port"}},
        {
            "op": "mutate",
            "table": "Logical_Switch",
            "where": [["name", "==", "green"]],
            "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]],
        },
    )
    said, advice = control.refused(status, "subnet", *arguments.split())
    assert error in said
    assert hint in advice


def test_the_default_subnet(control: Control) -> None:
    """It is moved on purpose, can't be given up, and goes with its subnet when nothing uses that."""

    def default() -> list[str]:
        return [row["name"] for row in control.done("subnet", "list", "--format", "json").json if row["default"]]

    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    control.done("subnet", "set", "green", "--default")
    assert default() == ["green"]
    control.done("subnet", "delete", "green")
    assert default() == []
    control.done("subnet", "create", "green", "10.2.0.0/24", "--default")
    assert default() == ["green"]


def test_leases_and_ports(control: Control) -> None:
    """What a domain has while it runs, and what is left of it when it doesn't."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    domain = control.attach("web1", "blue", "10.1.0.20")
    port_id = str(domain.port_uuid(MAC))
    port = {
        "id": port_id,
        "subnet": "blue",
        "mac": MAC,
        "addresses": ["10.1.0.20"],
        "domain": str(domain.uuid),
        "domain_name": "web1",
        "host": "hv1",
        "up": False,
        "kept_by": "libvirt",
        "moving_to": "",
    }
    lease = {
        "subnet": "blue",
        "address": "10.1.0.20",
        "domain": str(domain.uuid),
        "domain_name": "web1",
        "mac": MAC,
        "hostname": "web1",
        "host": "hv1",
        "in_use": True,
    }

    def ports(*arguments: str) -> Any:
        return control.done("port", "list", *arguments, "--format", "json").json

    def leases(*arguments: str) -> Any:
        return control.done("lease", "list", *arguments, "--format", "json").json

    assert ports() == ports("--subnet", "blue", "--host", "hv1") == [port]
    assert ports("--subnet", "green") == ports("--host", "hv2") == []
    assert control.done("port", "show", port_id, "--format", "json").json == port
    assert control.done("port", "list").table[1] == [port_id, "web1", MAC, "blue", "10.1.0.20", "hv1", "no"]
    assert leases() == leases("--subnet", "blue") == [lease]
    assert leases("--subnet", "green") == []
    assert control.done("subnet", "show", "blue", "--format", "json").json["used"] == 1
    assert [row["used"] for row in control.done("subnet", "list", "--format", "json").json] == [1, 0]

    control.stop(domain)
    assert ports() == []
    assert leases() == [{**lease, "in_use": False}]
    assert control.refused(3, "port", "show", port_id) == (f"there is no port '{port_id}'", "ovnhook port list")
    for noun in ("port", "lease"):
        assert control.refused(3, noun, "list", "--subnet", "red")[0] == "there is no subnet 'red'"


def test_to_release_a_lease(control: Control) -> None:
    """Not while the domain runs; with the entry in what the domain holds, and nothing else of it."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    wishes = [InterfaceRequest("blue", addresses=(IPAddress(f"10.1.0.{n}"),), hostname="web1") for n in (20, 21)]
    interfaces = tuple(
        Interface(f"52:54:00:00:00:0{n}", InterfaceType.BRIDGE, request) for n, request in enumerate(wishes)
    )
    domain = Domain(UUID(int=7), "web1", 1, interfaces, tuple(one.mac for one in interfaces))
    attachment = Host(control.config)
    attachment.attach(domain, Deadline.after(HANG))

    error, _ = control.refused(5, "lease", "release", "10.1.0.20")
    assert "web1" in error
    assert "hv1" in error
    attachment.detach(domain, Deadline.after(HANG))
    for arguments, status, words in (
        (["10.1.0.22"], 3, "address 10.1.0.22 of subnet blue is not leased"),
        (["10.9.0.22"], 3, "no subnet has the address 10.9.0.22"),
        (["10.1.0.20", "--subnet", "red"], 3, "there is no subnet 'red'"),
        (["web1"], 2, "address 'web1' is not an IP address"),
    ):
        assert control.refused(status, "lease", "release", *arguments)[0] == words
    assert control.done("lease", "release", "10.1.0.20").out == ""
    left = control.done("lease", "list", "--format", "json").json
    assert [row["address"] for row in left] == ["10.1.0.21"]
    (holding,) = attachment.northbound.holdings(Deadline.after(HANG))
    assert [str(address) for _, _, address in holding.leases] == ["10.1.0.21"]
    control.done("lease", "release", "10.1.0.21", "--subnet", "blue")
    assert attachment.northbound.holdings(Deadline.after(HANG)) == []
    control.done("subnet", "delete", "blue")


def test_smaller_ranges_leave_leases(control: Control) -> None:
    """They are outside then, and stay."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.attach("web1", "blue", "10.1.0.20")
    made = control.done("subnet", "set", "blue", "--range", "10.1.0.100-10.1.0.100", "--format", "json").json
    assert (made["used"], made["capacity"]) == (1, 1)


def test_conflicting_creates_at_once(control: Control) -> None:
    """Of eight that want the same network one has it; the others are told who."""
    start = threading.Barrier(8)

    def create(number: int) -> str:
        start.wait(HANG)
        try:
            Client(control.path).call("CreateSubnet", subnet={"name": f"s{number}", "cidr": "10.1.0.0/20"})
        except AlreadyExists as error:
            return error.message
        return ""

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(create, range(8)))
    (winner,) = [f"s{number}" for number, words in enumerate(said) if not words]
    assert {words for words in said if words} == {f"network 10.1.0.0/20 overlaps with subnet {winner} (10.1.0.0/20)"}
    assert [row["name"] for row in control.done("subnet", "list", "--format", "json").json] == [winner]


def test_creates_at_once_that_do_not_conflict(control: Control) -> None:
    """All of them are made, though each counts the registry on; only one of the defaults is."""
    start = threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait(HANG)
        wanted = {"name": f"s{number}", "cidr": f"10.{number}.0.0/16", "default": number % 2 == 0}
        try:
            Client(control.path).call("CreateSubnet", subnet=wanted)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(8)))
    assert all(made[1::2])
    assert sum(made[0::2]) == 1
    listed = control.done("subnet", "list", "--format", "json").json
    assert len(listed) == sum(made)
    assert sum(row["default"] for row in listed) == 1


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


@pytest.mark.parametrize("paths", [[], ["cidr"], ["name"], ["colour"], ["subnet.mtu"], ["mtu", "used"]])
def test_masks_that_are_refused(control: Control, paths: list[str]) -> None:
    """What can't be set is named; nothing else is set then."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    before = control.northbound.dump(versions=True)
    with pytest.raises(OvnhookError) as caught:
        Client(control.path).call("UpdateSubnet", subnet={"name": "blue", "mtu": 1300}, update_mask={"paths": paths})
    assert caught.value.status == "INVALID_ARGUMENT"
    assert (paths or ["update_mask"])[-1] in caught.value.message
    assert "gateway" in caught.value.hint
    assert control.northbound.dump(versions=True) == before


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

    monkeypatch.setattr("ovnhook.resources.subnet.rules.make", fail)
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
        "ovnhook.v1.Attachments",
        "ovnhook.v1.Certificates",
        "ovnhook.v1.Changes",
        "ovnhook.v1.FloatingIps",
        "ovnhook.v1.Leases",
        "ovnhook.v1.Nodes",
        "ovnhook.v1.Ports",
        "ovnhook.v1.Routers",
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


def test_help_is_fast_and_has_examples() -> None:
    """Without any of the libraries that take their time."""
    code = """if True:
        import sys
        from ovnhook.cli.main import main
        main(["subnet", "create", "--help"])
        print(sorted({"grpc", "google.protobuf", "rich", "yaml"} & sys.modules.keys()))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "ovnhook subnet create blue 10.1.0.0/24 --default" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["subnet"], ["lease"], ["port"], ["--help"], ["port", "list", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A noun by itself explains itself, which is no error."""
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: ovnhook")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The package's."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ovnhook {__version__}\n"


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
