"""Leases and ports by the control service and the command, on a real database."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost


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
        "allowed_addresses": [],
        "port_security_off": False,
        "security_groups": [],
        "limit_inbound": "",
        "limit_outbound": "",
        "virtual_addresses": [],
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
        "keep": False,
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
    attachment = DirectHost(control.config)
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
    (lease_index,) = attachment.northbound.lease_indexes(Deadline.after(HANG))
    assert [str(address) for _, _, address in lease_index.leases] == ["10.1.0.21"]
    control.done("lease", "release", "10.1.0.21", "--subnet", "blue")
    assert attachment.northbound.lease_indexes(Deadline.after(HANG)) == []
    control.done("subnet", "delete", "blue")
