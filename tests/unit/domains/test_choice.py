"""Subnets that interfaces go to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ovnhook.base.errors import NotFound
from ovnhook.domains import choice
from ovnhook.domains.values import Interface, InterfaceRequest, InterfaceType
from tests.unit.domains.store import MACS, SUBNETS

NETWORK = Interface(MACS[0], InterfaceType.NETWORK, network="blue")


@pytest.mark.parametrize(
    ("interface", "default", "subnet"),
    [
        (Interface(MACS[0], InterfaceType.BRIDGE), "default", "default"),
        (Interface(MACS[0], InterfaceType.BRIDGE, InterfaceRequest(subnet="green")), "default", "green"),
        (Interface(MACS[0], InterfaceType.ETHERNET), "default", "default"),
        (NETWORK, "default", "blue"),
        (NETWORK, "", "blue"),
        (replace(NETWORK, network="libvirts-own"), "default", "default"),
        (replace(NETWORK, portgroup="green"), "default", "green"),
        (replace(NETWORK, portgroup="green", request=InterfaceRequest(subnet="default")), "", "default"),
    ],
    ids=["default", "metadata", "ethernet", "network", "no-default", "other-network", "portgroup", "metadata-first"],
)
def test_where_an_interface_goes(interface: Interface, default: str, subnet: str) -> None:
    """Metadata, then portgroup, then a subnet named like the network, then the default one."""
    assert choice.choose_subnet(interface, default, SUBNETS).name == subnet


@pytest.mark.parametrize(
    ("interface", "default", "error", "said"),
    [
        (Interface(MACS[0], InterfaceType.BRIDGE), "", NotFound, "no default subnet"),
        (Interface(MACS[0], InterfaceType.BRIDGE, InterfaceRequest(subnet="red")), "default", NotFound, "'red'"),
        (replace(NETWORK, portgroup="red"), "default", NotFound, "portgroup 'red' of network 'blue'"),
        (replace(NETWORK, network="red"), "", NotFound, "no default subnet"),
    ],
    ids=["no-default", "metadata", "portgroup", "network"],
)
def test_an_interface_that_can_go_nowhere(
    interface: Interface, default: str, error: type[Exception], said: str
) -> None:
    """It is told which name leads to no subnet, and never put on another one."""
    with pytest.raises(error, match=said):
        choice.choose_subnet(interface, default, SUBNETS)
