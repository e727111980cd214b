"""Ports by every name that they have: the command and the API on a real database."""

from __future__ import annotations

import shlex
from uuid import UUID

import grpc
import pytest
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.api.v1 import ports_pb2, ports_pb2_grpc
from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.text import quoted
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import as_set, key, mutate
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.southbound_rows import add_chassis

BLUE, GREEN, OTHER = "52:54:00:00:00:0b", "52:54:00:00:00:0a", "52:54:00:00:00:0c"
TWO = UUID(int=9)


def start(control: Control, *interfaces: Interface, name: str = "two", uuid: UUID = TWO) -> None:
    """Let a domain start on hv1, whose first interface is not ours."""
    macs = ("52:54:00:00:00:ff", *(one.mac for one in interfaces))
    DirectHost(control.config).attach(Domain(uuid, name, 1, interfaces, macs), Deadline.after(HANG))


def on(subnet: str, mac: str, *addresses: str) -> Interface:
    """An interface on a subnet."""
    return Interface(
        mac,
        InterfaceType.BRIDGE,
        InterfaceRequest(subnet, addresses=tuple(map(IPAddress, addresses)), hostname=mac[-2:]),
    )


@pytest.fixture
def cloud(control: Control) -> Control:
    """A domain with one interface and one with two, on subnets that both lead outside."""
    outside = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
    control.done("router", "set", "gateway", *outside)
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64")
    control.done("subnet", "create", "green", "10.2.0.0/24")
    control.attach("web1", "blue", "10.1.0.11")
    start(control, on("blue", BLUE, "10.1.0.20", "fd00:1::20"), on("green", GREEN, "10.2.0.20"))
    return control


@pytest.mark.parametrize(
    ("name", "mac"),
    [
        ("web1", MAC),
        (str(uuids.switch("web1")), MAC),
        (MAC.upper(), MAC),
        ("10.1.0.11", MAC),
        ("two/blue", BLUE),
        ("two/1", BLUE),
        ("two/2", GREEN),
        (f"{TWO}/green", GREEN),
        ("FD00:1:0::20", BLUE),
        (GREEN.replace(":", "-"), GREEN),
    ],
)
def test_one_port(cloud: Control, name: str, mac: str) -> None:
    """By the command and by the API; so is a floating IP given."""
    shown = cloud.done("port", "show", name, "--format", "json").json
    assert shown["mac"] == mac
    assert cloud.done("port", "show", shown["id"], "--format", "json").json == shown
    with cloud.channel() as channel:
        port = ports_pb2_grpc.PortsStub(channel).GetPort(ports_pb2.GetPortRequest(id=name), timeout=HANG)
    assert (port.id, port.mac) == (shown["id"], mac)
    assert cloud.done("floating-ip", "create", "203.0.113.20", name, "--format", "json").json["mac"] == mac
    assert cloud.refused(5, "port", "delete", name)[0] == f"port {shown['id']} belongs to domain " + (
        "web1, which runs on hv1" if mac == MAC else "two, which runs on hv1"
    )


@pytest.mark.parametrize("name", ["Käse", "日本", "a b", "it's"])
def test_a_hint_is_a_command(cloud: Control, name: str) -> None:
    """In the characters of the name, quoted where a shell needs it; also for a client in another language."""
    start(cloud, on("blue", OTHER), name=name, uuid=UUID(int=11))
    error, hint = cloud.refused(5, "port", "delete", name)
    assert f"belongs to domain {name}, which runs on hv1" in error
    assert hint == f"virsh destroy {quoted(name)}"
    assert shlex.split(hint)[-1] == name
    with cloud.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        ports_pb2_grpc.PortsStub(channel).DeletePort(ports_pb2.DeletePortRequest(id=name), timeout=20)
    assert dict(refused.value.trailing_metadata())["ovnhook-hint-bin"].decode() == hint


def test_a_terminal_is_told_nothing(cloud: Control) -> None:
    """By the name of a domain that another host wrote: tables, errors and hints show it, and programs get it."""
    evil = "x\x1b]0;pwned\x07\x9b2J\u202egpj"
    start(cloud, on("blue", OTHER), name=evil, uuid=UUID(int=11))
    for command in (("port", "list"), ("lease", "list"), ("port", "show", OTHER), ("port", "delete", OTHER)):
        done = cloud.ovnhook(*command)
        said = done.out + done.error
        assert r"x\x1b]0;pwned\x07\x9b2J\u202egpj" in said
        assert all(line.isprintable() for line in said.split("\n"))
    listed = cloud.done("port", "list", "--format", "json").json
    assert evil in [row["domain_name"] for row in listed]


def test_several_ports(cloud: Control) -> None:
    """The choices are listed, and each of them is one."""
    for command in (("port", "show"), ("port", "delete"), ("floating-ip", "create", "203.0.113.20")):
        error, hint = cloud.refused(2, *command, "two")
        assert error.startswith("'two' is ambiguous: ")
        assert {GREEN, BLUE, "(10.2.0.20)"} <= {*error.replace(",", " ").split()}
        for choice in hint.removeprefix("name one of them: ").split(", "):
            assert cloud.done("port", "show", choice, "--format", "json").json["domain_name"] == "two"
    with cloud.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        ports_pb2_grpc.PortsStub(channel).GetPort(ports_pb2.GetPortRequest(id="two"), timeout=HANG)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert BLUE in refused.value.details()


@pytest.mark.parametrize("name", ["two/0", "two/3", "two/red", "nobody", "10.1.0.99", "10.1.0.0/24", "", "52:54"])
def test_no_port(cloud: Control, name: str) -> None:
    """The hint shows those that there are."""
    error, hint = cloud.refused(3, "port", "show", name)
    assert (error, hint) == (f"there is no port '{name}'", "ovnhook port list")


def test_the_same_mac_and_address_in_two_subnets(cloud: Control) -> None:
    """They are told apart by the subnet."""
    cloud.done("subnet", "create", "apart", "10.1.0.0/24", "--no-router")
    start(cloud, on("apart", BLUE, "10.1.0.20"), name="copy", uuid=UUID(int=10))
    for name in (BLUE, "10.1.0.20"):
        assert cloud.refused(2, "port", "show", name)[1] == "name one of them: copy/apart, two/blue"
        for subnet, domain in (("apart", "copy"), ("blue", "two")):
            shown = cloud.done("port", "show", f"{name}/{subnet}", "--format", "json").json
            assert shown["domain_name"] == domain


def test_the_index_follows_the_domain(cloud: Control) -> None:
    """An interface that is unplugged moves the others up, as in libvirt's XML."""
    start(cloud, on("green", GREEN, "10.2.0.20"), on("blue", OTHER))
    assert cloud.done("port", "show", "two/1", "--format", "json").json["mac"] == GREEN
    assert cloud.done("port", "show", "two/2", "--format", "json").json["mac"] == OTHER


def test_a_port_of_an_earlier_version(cloud: Control) -> None:
    """Its index isn't known; all other names hold, and the next start writes it down."""
    rows = cloud.northbound.dump()["Logical_Switch_Port"]
    database = Database(cloud.northbound.remote, "OVN_Northbound")
    gone = [["external_ids", "delete", as_set(["ovnhook:index"])]]
    database.transact([mutate("Logical_Switch_Port", key(UUID(one)), gone) for one in rows], Deadline.after(HANG))
    database.close()
    assert cloud.done("port", "show", "two/blue", "--format", "json").json["mac"] == BLUE
    cloud.refused(3, "port", "show", "two/1")
    start(cloud, on("blue", BLUE, "10.1.0.20", "fd00:1::20"), on("green", GREEN, "10.2.0.20"))
    assert cloud.done("port", "show", "two/1", "--format", "json").json["mac"] == BLUE


def test_ports_of_clients(cloud: Control) -> None:
    """They are deleted by name; those made one by one are counted, and keep their number."""
    add_chassis(cloud.southbound, "hv1", options="")
    for number, mac in enumerate((OTHER, "52:54:00:00:00:02")):
        cloud.done("port", "create", "box 1", "--host", "hv1", "--subnet", "blue", "--mac", mac)
        cloud.done("port", "create", "box 1", "--host", "hv1", "--mac", mac)
        assert cloud.done("port", "show", f"box 1/{number}", "--format", "json").json["mac"] == mac
    assert cloud.refused(2, "port", "delete", "box 1")[1] == "name one of them: 'box 1/1', 'box 1/0'"
    cloud.done("port", "delete", "box 1/0")
    cloud.done("port", "delete", "box 1")
    assert "box" not in cloud.done("port", "list").out


def test_leases_by_name(cloud: Control) -> None:
    """As long as it is one address that is meant; a domain that runs keeps its own."""
    web2 = cloud.attach("web2", "green", "10.2.0.12", OTHER)
    cloud.refused(5, "lease", "release", "web2")
    for domain in (web2, Domain(TWO, "two", 1, macs=(BLUE, GREEN))):
        cloud.stop(domain)
    for name, choices in (("two/blue", "10.1.0.20, fd00:1::20"), ("two", "10.1.0.20, fd00:1::20, 10.2.0.20")):
        error, hint = cloud.refused(2, "lease", "release", name)
        assert error == f"address '{name}' is not an IP address"
        assert sorted(hint.removeprefix(f"'{name}' has several, name one of them: ").split(", ")) == sorted(
            choices.split(", ")
        )
    assert cloud.refused(2, "lease", "release", "nobody")[1] == "ovnhook lease list"
    cloud.refused(2, "lease", "release", "web2", "--subnet", "blue")
    for name in ("web2", "two/green", "fd00:1::20", BLUE):
        cloud.done("lease", "release", name)
    assert {one["domain_name"] for one in cloud.done("lease", "list", "--format", "json").json} == {"web1"}
