"""Floating addresses by the control service and the command, on a real database."""

from __future__ import annotations

from uuid import UUID

import pytest
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost

OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
SECOND = "52:54:00:00:00:02"


@pytest.fixture
def cloud(control: Control) -> Control:
    """A subnet that is led outside with web1 on it, and one that isn't with web2."""
    control.done("router", "set", "gateway", *OUTSIDE)
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("subnet", "create", "inner", "10.2.0.0/24", "--no-router")
    control.attach("web1", "blue", "10.1.0.11")
    control.attach("web2", "inner", "10.2.0.12", "52:54:00:00:00:22")
    return control


def test_a_life_of_a_floating_ip(cloud: Control) -> None:
    """Make, again, list, delete; its row is on the router, and goes with the lease."""
    made = cloud.done("floating-ip", "create", "203.0.113.20", "web1", "--format", "json").json
    assert (made["inside"], made["domain_name"], made["router"]) == ("10.1.0.11", "web1", "gateway")
    row = cloud.northbound.dump()["NAT"][made["nat"]]
    assert (row["type"], row["external_ip"], row["logical_ip"]) == ("dnat_and_snat", "203.0.113.20", "10.1.0.11")
    before = cloud.northbound.dump(versions=True)
    port = next(row["id"] for row in cloud.done("port", "list", "--format", "json").json if row["mac"] == made["mac"])
    for target in ("web1", made["domain"], port):
        assert cloud.done("floating-ip", "create", "203.0.113.20", target, "--format", "json").json == made
    assert cloud.northbound.dump(versions=True) == before
    assert cloud.done("floating-ip", "list", "--format", "json").json == [made]
    assert cloud.done("floating-ip", "list").table[1:] == [
        ["203.0.113.20", "web1", made["mac"], "10.1.0.11", "blue", "gateway"]
    ]
    cloud.done("floating-ip", "delete", "203.0.113.20")
    assert cloud.done("floating-ip", "list", "--format", "json").json == []
    assert made["nat"] not in cloud.northbound.dump()["NAT"]


def test_it_goes_with_the_lease(cloud: Control, caplog: pytest.LogCaptureFixture) -> None:
    """However that is given back: by the agent, or by hand; the log says so, and the subnet's own NAT stays."""
    domain = cloud.attach("web4", "blue", "10.1.0.14", SECOND)
    for gone in ("agent", "hand"):
        cloud.done("floating-ip", "create", "203.0.113.24", "web4")
        assert len(cloud.northbound.dump()["NAT"]) == 2
        cloud.stop(domain)
        assert len(cloud.northbound.dump()["NAT"]) == 2
        if gone == "agent":
            DirectHost(cloud.config).release_leases(domain.uuid, Deadline.after(HANG))
        else:
            cloud.done("lease", "release", "10.1.0.14")
        assert len(cloud.northbound.dump()["NAT"]) == 1
        said = "floating IP 203.0.113.24 of domain web4 is deleted with its lease, 10.1.0.14 of subnet blue"
        assert caplog.messages.count(said) == 1
        caplog.clear()
        domain = cloud.attach("web4", "blue", "10.1.0.14", SECOND)


@pytest.mark.parametrize(
    ("status", "arguments", "error"),
    [
        (2, "create 203.0.113 web1", "address '203.0.113' is not an IPv4 address"),
        (2, "create 198.51.100.1 web1", "address 198.51.100.1 is not a host address of 203.0.113.0/24"),
        (2, "create 203.0.113.255 web1", "address 203.0.113.255 is not a host address"),
        (4, "create 203.0.113.10 web1", "address 203.0.113.10 is that of router gateway"),
        (4, "create 203.0.113.254 web1", "address 203.0.113.254 is the next hop of router gateway"),
        (4, "create 203.0.113.20 web5", "address 203.0.113.20 is the floating IP of domain web1"),
        (4, "create 203.0.113.21 web1", "10.1.0.11 of domain web1 has the floating IP 203.0.113.20"),
        (3, "create 203.0.113.21 web9", "no IPv4 address is leased to a domain or port 'web9'"),
        (2, "create 203.0.113.21 web2", "subnet inner of domain web2 is on no router"),
        (2, "create 203.0.113.21 twice", "'twice' is ambiguous: 52:54:00:00:00:31 (10.1.0.31), 52:54"),
        (3, "delete 203.0.113.21", "there is no floating IP '203.0.113.21'"),
    ],
)
def test_what_is_refused(cloud: Control, status: int, arguments: str, error: str) -> None:
    """Every refusal: its words, its exit status, and that nothing was written."""
    cloud.done("floating-ip", "create", "203.0.113.20", "web1")
    cloud.attach("web5", "blue", "10.1.0.15", "52:54:00:00:00:05")
    macs = ("52:54:00:00:00:31", "52:54:00:00:00:32")
    wishes = [
        InterfaceRequest("blue", addresses=(IPAddress(f"10.1.0.{mac[-2:]}"),), hostname=f"h{mac[-2:]}") for mac in macs
    ]
    interfaces = tuple(Interface(mac, InterfaceType.BRIDGE, request) for mac, request in zip(macs, wishes, strict=True))
    DirectHost(cloud.config).attach(Domain(UUID(int=9), "twice", 1, interfaces, macs), Deadline.after(HANG))
    assert error in cloud.refused(status, "floating-ip", *arguments.split())[0]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            "router set gateway --no-external",
            "floating IP 203.0.113.20 of domain web1 needs the external network of router gateway",
        ),
        (
            "router set gateway --address 198.51.100.9/24 --next-hop 198.51.100.1",
            "needs the external network of router gateway",
        ),
        ("subnet set blue --no-router", "floating IP 203.0.113.20 of domain web1 needs router gateway"),
    ],
)
def test_what_it_needs_stays(cloud: Control, arguments: str, error: str) -> None:
    """Its router, on its subnet, with the network outside that it is of."""
    cloud.done("floating-ip", "create", "203.0.113.20", "web1")
    said, advice = cloud.refused(5, *arguments.split())
    assert error in said
    assert advice == "ovnhook floating-ip delete 203.0.113.20"


def test_one_address_on_two_routers(cloud: Control) -> None:
    """Both would answer for it."""
    cloud.done("floating-ip", "create", "203.0.113.20", "web1")
    cloud.done(
        *("router", "create", "second", "--physical-network", "external"),
        *("--address", "203.0.113.30/24", "--next-hop", "203.0.113.254"),
    )
    cloud.done("subnet", "create", "other", "10.8.0.0/24", "--router", "second")
    cloud.attach("web8", "other", mac="52:54:00:00:00:08")
    said, _ = cloud.refused(4, "floating-ip", "create", "203.0.113.20", "web8")
    assert said.startswith("address 203.0.113.20 is the floating IP of domain web1")
