"""The first subnet and the external gateway of a new cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from netaddr import IPNetwork

from ovnhook.base.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound
from ovnhook.setup import cloud, hostgateway
from ovnhook.setup.step import apply_steps


@pytest.mark.parametrize(
    ("cidr", "hop", "why"),
    [
        ("203.0.113.10", "203.0.113.1", "expected a host address with a prefix length"),
        ("203.0.113.0/24", "203.0.113.1", "expected a host address with a prefix length"),
        ("203.0.113.10/24", "198.51.100.1", "expected another address in 203.0.113.0/24"),
        ("203.0.113.10/24", "203.0.113.10", "expected another address in 203.0.113.0/24"),
        ("203.0.113.10/24", "router", "does not appear to be"),
        ("nowhere/24", "203.0.113.1", "does not appear to be"),
    ],
)
def test_a_place_outside_that_can_not_be(cidr: str, hop: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        cloud.external_gateway(cidr, hop)


class ServiceStub:
    """A control service that has a subnet and a router, or not yet."""

    def __init__(self, subnets: list[dict[str, Any]], router: dict[str, Any]) -> None:
        self.subnets, self.router = subnets, router

    def call(self, method: str, **fields: Any) -> dict[str, Any]:
        if method == "CreateSubnet":
            self.subnets.append({"cidr6": "", **fields["subnet"]})
        elif method == "UpdateRouter":
            self.router.update({"address": "", "address6": "", **fields["router"]})
        elif not self.router:
            raise NotFound("there is no router 'gateway'")
        return self.router

    def pages(self, method: str, rows: str, **fields: Any) -> list[dict[str, Any]]:
        return {"subnets": self.subnets, "routers": [self.router]}[rows]


@pytest.mark.parametrize(
    ("cidr", "hop", "fields"),
    [
        ("203.0.113.10/24", "203.0.113.1", {"address": "203.0.113.10/24", "next_hop": "203.0.113.1"}),
        ("2001:DB8::10/64", "2001:db8::1", {"address6": "2001:db8::10/64", "next_hop6": "2001:db8::1"}),
    ],
)
def test_a_cloud_begins(cidr: str, hop: str, fields: dict[str, str]) -> None:
    service, said = ServiceStub([], {}), list[str]()
    external = cloud.external_gateway(cidr, hop)
    apply_steps(cloud.steps(service, "10.128.0.0/24", external), said.append)
    (subnet,) = service.subnets
    assert (subnet["name"], subnet["cidr"], subnet["default"]) == ("main", "10.128.0.0/24", True)
    assert subnet["dns_domain"] == "main.internal"
    assert {"physical_network": "external", **fields}.items() <= service.router.items()
    assert sum(line.startswith("changed") for line in said) == 2
    said.clear()
    apply_steps(cloud.steps(service, "10.128.0.0/24", external), said.append)
    assert all(line.startswith("unchanged") for line in said)


def test_what_a_cloud_has_stays() -> None:
    blue = {"name": "blue", "cidr": "10.1.0.0/24", "cidr6": "", "default": True}
    router = {"name": "gateway", "physical_network": "external", "address": "203.0.113.9/24", "address6": ""}
    service, said = ServiceStub([blue], router), list[str]()
    with pytest.raises(AlreadyExists, match=r"already has the external address 203\.0\.113\.9/24"):
        apply_steps(
            cloud.steps(service, "10.128.0.0/24", cloud.external_gateway("203.0.113.10/24", "203.0.113.1")), said.append
        )
    assert len(said) == 1
    assert service.subnets == [blue]


HOST = cloud.ExternalGateway()
BLUE = {"name": "blue", "cidr": "10.1.0.0/24", "cidr6": "", "default": True}
OUTSIDE = {"name": "gateway", "physical_network": "external", "address": "203.0.113.9/24", "address6": ""}


@pytest.mark.parametrize("networks", [None, lambda: [IPNetwork("198.51.100.0/24")]])
def test_a_cloud_that_reaches_the_outside_through_its_hosts(networks: Callable[[], list[IPNetwork]] | None) -> None:
    """A second time changes nothing."""
    service, said = ServiceStub([], {}), list[str]()
    for first in (True, False):
        said.clear()
        apply_steps(cloud.steps(service, "10.128.0.0/24", HOST, networks), said.append)
        assert service.router["physical_network"] == "host"
        assert {line.split()[0] for line in said[1:]} == {"changed" if first else "unchanged"}
    external = cloud.external_gateway("203.0.113.10/24", "203.0.113.1")
    apply_steps(cloud.steps(service, "10.128.0.0/24", external, networks), said.append)  # an uplink that is added later
    assert service.router["address"] == "203.0.113.10/24"


@pytest.mark.parametrize(
    ("router", "is_gateway", "then"),
    [
        (OUTSIDE, True, "external"),
        (OUTSIDE, False, "external"),
        ({"name": "gateway", "physical_network": ""}, True, "host"),
        ({"name": "gateway", "physical_network": ""}, False, ""),
    ],
)
def test_an_existing_cloud_keeps_its_way_outside(router: dict[str, Any], is_gateway: bool, then: str) -> None:
    """Also none, unless this very host is to be the gateway."""
    service = ServiceStub([BLUE], dict(router))
    apply_steps(cloud.steps(service, "10.128.0.0/24", HOST, list if is_gateway else None), list[str]().append)
    assert service.router["physical_network"] == then


def test_a_subnet_that_is_the_hosts_network() -> None:
    """Refused before it is made, with the option to choose another one."""
    service = ServiceStub([], {})
    steps = cloud.steps(service, "10.128.0.0/24", HOST, lambda: [IPNetwork("10.0.0.0/8")])
    with pytest.raises(FailedPrecondition, match=r"10\.128\.0\.0/24 overlaps with network 10\.0\.0\.0/8") as caught:
        apply_steps(steps, list[str]().append)
    assert "--subnet" in caught.value.hint
    assert service.subnets == []


@pytest.mark.parametrize(
    ("mappings", "free"),
    [("", True), ("host:br-host", True), ("external:br-ex", False), ("host:br-host,external:br-ex", False)],
)
def test_a_host_with_an_uplink_of_its_own(mappings: str, free: bool) -> None:
    assert hostgateway.is_free({"ovn-bridge-mappings": mappings}) is free
    assert hostgateway.is_free({})
