"""Domains that clients of the API attach, on real databases."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from lxml import etree

from lab.waiting import HANG
from ovnhook.api.v1 import attachments_pb2, attachments_pb2_grpc, ports_pb2, ports_pb2_grpc
from ovnhook.api.v1.attachments_pb2 import Interface
from ovnhook.base import uuids
from ovnhook.base.errors import FailedPrecondition
from tests.database.control_service import Control
from tests.database.our_rows import count, names
from tests.database.southbound_rows import add_chassis

HOW_TO = Path(__file__).parents[4] / "docs/how-to/attach-ports.md"


@pytest.fixture
def ready(control: Control) -> Control:
    """Two hosts and a default subnet."""
    for host in ("hv1", "hv2"):
        add_chassis(control.southbound, host, options="")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default", "--domain", "lab.example")
    return control


def attach(
    control: Control, *interfaces: Interface, host: str = "hv1", **more: Any
) -> list[attachments_pb2.AttachedInterface]:
    """Attach the domain called box."""
    with control.channel() as channel:
        stub = attachments_pb2_grpc.AttachmentsStub(channel)
        request = attachments_pb2.AttachRequest(name="box", host=host, interfaces=interfaces, **more)
        return list(stub.Attach(request, timeout=HANG).interfaces)


def detach(control: Control, host: str = "hv1", **more: Any) -> None:
    """Detach it."""
    with control.channel() as channel:
        attachments_pb2_grpc.AttachmentsStub(channel).Detach(
            attachments_pb2.DetachRequest(name="box", host=host, **more), timeout=HANG
        )


def ports(control: Control) -> list[dict[str, Any]]:
    """All ports of domains."""
    return list(control.done("port", "list", "--format", "json").json)


def leases(control: Control) -> list[str]:
    """All leased addresses."""
    return [lease["address"] for lease in control.done("lease", "list", "--format", "json").json]


def test_attach_and_detach(ready: Control) -> None:
    """What comes back is what is in OVN; it may be repeated; leases stay until the domain is forgotten."""
    nothing = count(ready.northbound.dump())
    asked = (
        Interface(addresses=["10.1.0.20"]),
        Interface(isolated=True, hostname="inner"),
    )
    first, second = given = attach(ready, *asked)
    assert (first.subnet, list(first.addresses), first.mtu) == ("blue", ["10.1.0.20"], 1442)
    assert second.subnet == f"isolated-{uuids.client_domain('box')}"
    assert {one["id"]: (one["mac"], one["addresses"], one["host"], one["kept_by"]) for one in ports(ready)} == {
        one.id: (one.mac, list(one.addresses), "hv1", "client") for one in given
    }
    before = ready.northbound.dump(versions=True)
    assert attach(ready, *asked) == given
    assert ready.northbound.dump(versions=True) == before
    assert names(ready, "blue")["box.lab.example"] == "10.1.0.20"

    element = etree.fromstring(first.xml)
    assert {path: element.xpath(path) for path in ("@type", "source/@bridge", "virtualport/@type", "mtu/@size")} == {
        "@type": ["bridge"],
        "source/@bridge": ["br-int"],
        "virtualport/@type": ["openvswitch"],
        "mtu/@size": ["1442"],
    }
    assert element.xpath("mac/@address") == [first.mac]
    assert element.xpath("virtualport/parameters/@interfaceid") == [str(UUID(first.id))]

    detach(ready, "hv2")
    assert len(ports(ready)) == 2
    detach(ready)
    detach(ready)
    assert ports(ready) == []
    assert leases(ready) == [*first.addresses, *second.addresses]
    assert attach(ready, *asked) == given
    detach(ready, "hv2", forget=True)
    assert len(leases(ready)) == 2
    detach(ready, forget=True)
    assert count(ready.northbound.dump()) == nothing


def test_a_domain_that_moves_and_changes(ready: Control) -> None:
    """The ports follow it to another host; what it has no interface for any more is given back."""
    _, second = attach(ready, Interface(), Interface())
    attach(ready, Interface(), Interface(), host="hv2")
    assert {port["host"] for port in ports(ready)} == {"hv2"}
    (left,) = attach(ready, Interface(mac=second.mac), host="hv2")
    assert left == second
    assert [port["id"] for port in ports(ready)] == [second.id]
    assert leases(ready) == list(second.addresses)


def test_a_domain_on_two_hosts(ready: Control) -> None:
    """Forgotten on one, it keeps what runs on the other, whose it is then."""
    with ready.channel() as channel:
        stub = ports_pb2_grpc.PortsStub(channel)
        first, second = (
            stub.CreatePort(
                ports_pb2.CreatePortRequest(name="box", host=host, interface=Interface(mac=mac)),
                timeout=HANG,
            )
            for host, mac in (("hv2", "52:54:00:00:00:0a"), ("hv1", "52:54:00:00:00:0b"))
        )
    assert set(leases(ready)) == {*first.addresses, *second.addresses}
    detach(ready, forget=True)
    assert {port["id"]: port["host"] for port in ports(ready)} == {first.id: "hv2"}
    assert leases(ready) == list(first.addresses)
    detach(ready, "hv2", forget=True)
    assert (ports(ready), leases(ready)) == ([], [])


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"host": "hv9"}, "NOT_FOUND", "there is no host 'hv9'"),
        ({"domain": "box"}, "INVALID_ARGUMENT", "domain 'box' is not a UUID"),
        ({"interfaces": []}, "INVALID_ARGUMENT", "domain box: 0 interfaces: expected 1 to 32"),
        ({"interfaces": [Interface(subnet="red")]}, "NOT_FOUND", "there is no subnet 'red'"),
        (
            {"interfaces": [Interface(addresses=["10.2.0.1"])]},
            "INVALID_ARGUMENT",
            "not a host address of subnet",
        ),
    ],
)
def test_what_is_refused(ready: Control, request_: dict[str, Any], status: str, words: str) -> None:
    """With the standard code, and nothing is left."""
    before = ready.northbound.dump(versions=True)
    request = {"name": "box", "host": "hv1", "interfaces": [Interface()], **request_}
    with ready.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        attachments_pb2_grpc.AttachmentsStub(channel).Attach(attachments_pb2.AttachRequest(**request), timeout=HANG)
    assert refused.value.code().name == status
    assert words in refused.value.details()
    assert ready.northbound.dump(versions=True) == before


def test_a_domain_that_libvirt_runs(ready: Control) -> None:
    """It is libvirt's to end, and so are its leases; once they are released a client may have it, and libvirt not."""
    domain = ready.attach("web1", "blue")
    uuid = str(domain.uuid)
    for call in (partial(attach, ready, Interface(), domain=uuid), partial(detach, ready, domain=uuid)):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code().name == "FAILED_PRECONDITION"
        assert refused.value.details() == "domain web1 is managed by libvirt on hv1"
    (port,) = ports(ready)
    assert (
        ready.refused(5, "port", "delete", port["id"])[0]
        == f"port {port['id']} belongs to domain web1, which runs on hv1"
    )
    ready.stop(domain)
    before = ready.northbound.dump(versions=True)
    for call in (
        partial(attach, ready, Interface(mac=port["mac"]), domain=uuid),
        partial(detach, ready, domain=uuid, forget=True),
    ):
        with pytest.raises(grpc.RpcError, match="domain web1 is managed by libvirt"):
            call()
    assert ready.northbound.dump(versions=True) == before
    ready.done("lease", "release", *port["addresses"])
    attach(ready, Interface(mac=port["mac"]), domain=uuid)
    (there,) = ports(ready)
    assert there["kept_by"] == "client"
    for again in (partial(ready.attach, "web1", "blue"), partial(ready.stop, domain)):
        with pytest.raises(FailedPrecondition, match="is managed by a client of the API on hv1, not by libvirt"):
            again()
    assert ports(ready) == [there]


def test_a_life_of_a_port(ready: Control) -> None:
    """Make, again, otherwise, a second one, delete."""
    nothing = count(ready.northbound.dump())
    made = ready.done("port", "create", "box", "--host", "hv1", "--address", "10.1.0.20", "--format", "json").json
    assert (made["addresses"], made["subnet"], made["mtu"]) == (["10.1.0.20"], "blue", 1442)
    again = ready.done("port", "create", "box", "--host", "hv1", "--format", "json").json
    assert again == made
    for arguments, difference in (
        (("--host", "hv2"), "its host is hv1, not hv2"),
        (("--host", "hv1", "--isolated"), "its subnet is blue, not isolated-"),
        (("--host", "hv1", "--address", "10.1.0.21"), "its address is 10.1.0.20, not 10.1.0.21"),
    ):
        said, advice = ready.refused(4, "port", "create", "box", *arguments)
        assert said.startswith(f"domain box already has interface {made['mac']}: {difference}")
        assert advice == f"ovnhook port delete {made['id']}"
    mac = "52:54:00:aa:bb:01"
    second = ready.done("port", "create", "box", "--host", "hv1", "--mac", mac, "--isolated", "--format", "json").json
    assert {port["id"] for port in ports(ready)} == {made["id"], second["id"]}
    ready.done("port", "delete", second["id"])
    assert leases(ready) == ["10.1.0.20"]
    assert f"isolated-{uuids.client_domain('box')}" not in ready.done("subnet", "list").out
    ready.done("port", "delete", made["id"])
    assert count(ready.northbound.dump()) == nothing
    assert ready.refused(3, "port", "delete", made["id"])[0] == f"there is no port '{made['id']}'"


def test_the_how_to(ready: Control, capsys: pytest.CaptureFixture[str]) -> None:
    """Its program does what it says."""
    (program,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    exec(compile(program.replace("/run/ovnhook/control.sock", str(ready.path)), HOW_TO.name, "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"[0-9a-f-]{36} 52:54:00:\S+ 10\.\S+ 1442", line) for line in lines)
    assert ports(ready) == []


def test_a_port_made_again_after_another_default(ready: Control) -> None:
    """It stays as it is; another name for it is refused."""
    made = ready.done("port", "create", "box", "--host", "hv1", "--hostname", "one", "--format", "json").json
    ready.done("subnet", "create", "green", "10.2.0.0/24")
    ready.done("subnet", "set", "green", "--default")
    assert ready.done("port", "create", "box", "--host", "hv1", "--format", "json").json == made
    said, _ = ready.refused(4, "port", "create", "box", "--host", "hv1", "--hostname", "two")
    assert said.endswith(f"already has interface {made['mac']}: its host name is one, not two")
    assert names(ready, "blue")["one.lab.example"] == made["addresses"][0]


def test_the_leases_of_a_domain_of_libvirts(ready: Control) -> None:
    """Shut off, it keeps them, whatever a client says."""
    domain = ready.attach("web1", "blue")
    ready.stop(domain)
    with pytest.raises(grpc.RpcError) as refused:
        detach(ready, domain=str(domain.uuid), forget=True)
    assert refused.value.code().name == "FAILED_PRECONDITION"
    assert len(leases(ready)) == 1
