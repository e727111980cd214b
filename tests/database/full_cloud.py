"""A cloud with a row of each kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import soon
from tests.database.ovsdb_server import wait_for
from tests.database.southbound_rows import add_chassis

OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
SECOND = "52:54:00:00:00:02"


def web(address: str = "10.1.0.20", hostname: str = "web1", name: str = "web1", *macs: str) -> Domain:
    """Domain with one or more interfaces on subnet blue."""
    interfaces = tuple(
        Interface(
            mac,
            InterfaceType.BRIDGE,
            InterfaceRequest("blue", addresses=(IPAddress(address),) if mac == MAC else (), hostname=name),
        )
        for mac in (MAC, *macs)
    )
    first = replace(interfaces[0], request=replace(interfaces[0].request, hostname=hostname))
    return Domain(uuids.switch("web1"), name, 1, (first, *interfaces[1:]), (MAC, *macs))


@pytest.fixture
def cloud(control: Control) -> Control:
    """Cloud with a row of each kind."""
    fill(control)
    return control


def fill(control: Control) -> None:
    """Make a row of each kind."""
    add_chassis(control.southbound, "gw1")
    control.done("router", "set", "gateway", *OUTSIDE, "--limit-outbound", "1G")
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--cidr6", "fd00:1::/64", "--default")
    control.done("subnet", "create", "alone", "10.2.0.0/24", "--isolated")
    DirectHost(control.config).attach(web(), soon())
    control.done("floating-ip", "create", "203.0.113.20", "web1")
    wait_for(lambda: gateways(control) == ["gw1"])


def gateways(control: Control) -> list[str]:
    """The hosts that the default router may be on."""
    found: list[str] = control.done("router", "show", "gateway", "--format", "json").json["gateways"]
    return found
