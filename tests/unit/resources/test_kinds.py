"""Changes that follow from others, and what they cost in a cloud of thousands of subnets."""

from __future__ import annotations

import cProfile
import pstats
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import AlreadyExists, Unrepaired
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.kind import Put
from ovnhook.resources.kinds import complete
from ovnhook.resources.router.kind import NETWORK, ROUTER
from ovnhook.resources.router.values import External, InterfaceAddress, Network, Router
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet


def subnet(number: int, router: str = "gateway") -> Subnet:
    """An isolated subnet."""
    first = (10 << 24) + 16 * number
    return Subnet(f"s{number}", IPNetwork(f"{IPAddress(first)}/28"), IPAddress(first + 1), router, isolated=True)


def router(number: int) -> Router:
    """A router with an external gateway; number 0 is the default one."""
    address = InterfaceAddress(IPAddress((198 << 24) + (18 << 16) + 10 + number), 15)
    external = External("external", address, IPAddress("198.18.0.1"))
    return Router(f"r{number}" if number else "gateway", external)


def large_cloud(size: int) -> Cloud:
    """A cloud with a router for every 100 subnets, and two subnets for each floating IP."""
    return Cloud(
        None,
        (
            *(router(number) for number in range(size // 100)),
            *(subnet(number) for number in range(size)),
            *(
                FloatingIp(
                    address=IPAddress((198 << 24) + (18 << 16) + 1000 + number),
                    router="gateway",
                    subnet=f"s{number}",
                    inside=subnet(number).gateway + 1,
                    domain=UUID(int=number),
                    domain_name="web",
                    mac="52:54:00:00:00:01",
                )
                for number in range(size // 2)
            ),
        ),
    )


def calls(size: int) -> int:
    """The number of function calls of one more subnet."""
    cloud = large_cloud(size)
    profile = cProfile.Profile()
    changes = profile.runcall(complete, [Put(SUBNET, None, subnet(size))], cloud)
    assert len(changes) == 2
    found: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return found


def test_the_cost_is_linear() -> None:
    """Every start of a domain with a subnet of its own pays it."""
    few, many = calls(500), calls(1000)
    assert many < 2.2 * few
    assert many < 100 * 1000


def test_a_default_router_that_is_missing() -> None:
    """It is created with its first subnet; where others are on it, only changes that need none of its rows go on."""
    first = complete([Put(SUBNET, None, subnet(1))], Cloud())
    assert first == (
        Put(SUBNET, None, subnet(1)),
        Put(ROUTER, None, Router("gateway")),
        Put(NETWORK, None, Network(Router("gateway"), (subnet(1),))),
    )
    lost = Cloud(None, (Router("other"), subnet(1)))
    another = Put(ROUTER, None, Router("another"))
    assert complete([another], lost) == (another, Put(NETWORK, None, Network(Router("another"))))
    for change in (
        Put(SUBNET, None, subnet(2)),
        Put(SUBNET, subnet(1), subnet(1, "other")),
        Put(SUBNET, subnet(1), None),
        Put(ROUTER, None, router(0)),
    ):
        with pytest.raises(Unrepaired, match="router gateway of subnet s1 is missing"):
            complete([change], lost)


def test_what_was_wrong_before() -> None:
    """It is refused again only where it is changed."""
    wrong = Subnet("wrong", IPNetwork("198.18.0.0/24"), IPAddress("198.18.0.1"), "gateway")
    cloud = Cloud(None, (router(0), subnet(1), wrong))
    assert complete([Put(SUBNET, None, subnet(2))], cloud)
    assert complete([Put(SUBNET, wrong, None)], cloud)
    with pytest.raises(AlreadyExists, match=r"network 198\.18\.0\.0/24 of subnet wrong overlaps"):
        complete([Put(SUBNET, wrong, Subnet("wrong", wrong.cidr, wrong.gateway, "gateway", mtu=1300))], cloud)
