"""Domains as clients of the API describe them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.errors import InvalidRequest
from ovnhook.domains import clientdomain
from ovnhook.domains.clientdomain import ClientInterface
from ovnhook.resources.port.values import Owner

BOX = UUID("b0b760f6-c243-4921-961b-fb38061dec03")


def test_what_is_not_said() -> None:
    """UUID and MACs are made of the name, and stay; the host name is the domain's."""
    one, two = clientdomain.make("", "Box 1", [ClientInterface(), ClientInterface()]).interfaces
    assert clientdomain.make("", "Box 1", [ClientInterface(), ClientInterface()]).interfaces == (one, two)
    assert clientdomain.identify("", "Box 1").uuid == uuids.client_domain("Box 1")
    assert one.mac != two.mac
    assert {one.mac[:8], two.mac[:8]} == {"52:54:00"}
    assert {one.request.hostname, two.request.hostname} == {""}
    assert clientdomain.make("", "box", [ClientInterface()]).interfaces[0].mac not in (one.mac, two.mac)


def test_what_is_said() -> None:
    """Every value; a domain may be known by its UUID alone."""
    asked = ClientInterface("52:54:00:AA:bb:01", "blue", False, ("10.1.0.20", "fd00::20"), "Web", str(BOX))
    made = clientdomain.make(str(BOX), "box", [asked, ClientInterface(isolated=True)])
    assert (made.uuid, made.name, made.kept_by) == (BOX, "box", Owner.CLIENT)
    first, second = made.interfaces
    assert made.macs == ("52:54:00:aa:bb:01", second.mac)
    assert (first.interface_id, first.request.subnet, first.request.hostname) == (str(BOX), "blue", "web")
    assert first.request.addresses == (IPAddress("10.1.0.20"), IPAddress("fd00::20"))
    assert (second.request.isolated, second.request.subnet) == (True, f"isolated-{BOX}")
    assert clientdomain.identify(str(BOX), "").uuid == BOX


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mac": "52:54:00"}, "domain box: interface 52:54:00: not a MAC address"),
        ({"mac": "01:00:5e:00:00:01"}, "domain box: interface 01:00:5e:00:00:01: not a MAC address"),
        ({"mac": "00:00:00:00:00:00"}, "interface 00:00:00:00:00:00: not a MAC address"),
        ({"subnet": "a b"}, "domain box: interface 0: 'a b' is not a valid subnet name"),
        (
            {"subnet": "blue", "isolated": True},
            "domain box: interface 0: subnet 'blue' and isolated are mutually exclusive",
        ),
        ({"hostname": "a.b"}, "domain box: interface 0: host name 'a.b' is not a DNS label"),
        ({"addresses": ("10.1",)}, "domain box: interface 0: '10.1' is not an IP address"),
        ({"addresses": ("10.1.0.2", "10.1.0.3")}, "one IPv4 and one IPv6 address at most"),
        ({"id": "one"}, "domain box: interface 0: id 'one' is not a UUID"),
    ],
)
def test_interfaces_that_are_refused(values: dict[str, Any], message: str) -> None:
    """With domain, interface and value."""
    with pytest.raises(InvalidRequest) as caught:
        clientdomain.make("", "box", [ClientInterface(**values)])
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("uuid", "name", "interfaces", "message"),
    [
        ("", "", [ClientInterface()], "name '' is not a valid domain name"),
        (str(BOX), "", [ClientInterface()], "name '' is not a valid domain name"),
        ("", "a/b", [ClientInterface()], "name 'a/b' is not a valid domain name"),
        ("", "a\nb", [ClientInterface()], "is not a valid domain name"),
        ("", "a" * 256, [ClientInterface()], "is not a valid domain name"),
        ("box", "box", [ClientInterface()], "domain 'box' is not a UUID"),
        ("", "box", [], "domain box: 0 interfaces: expected 1 to 32"),
        ("", "box", [ClientInterface()] * 33, "domain box: 33 interfaces: expected 1 to 32"),
        (
            "",
            "box",
            [ClientInterface("52:54:00:aa:bb:01"), ClientInterface("52:54:00:AA:BB:01")],
            "two interfaces have this MAC address",
        ),
    ],
)
def test_domains_that_are_refused(uuid: str, name: str, interfaces: list[ClientInterface], message: str) -> None:
    """With the value."""
    with pytest.raises(InvalidRequest) as caught:
        clientdomain.make(uuid, name, interfaces)
    assert message in caught.value.message
