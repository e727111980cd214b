"""Lists narrowed down by the command, on a real database."""

from __future__ import annotations

import base64

import pytest

from ovnhook.base.errors import InvalidRequest
from tests.database.control_service import Control

OUTSIDE = ("--physical-network", "external", "--next-hop", "203.0.113.254")


@pytest.fixture
def cloud(control: Control) -> Control:
    """Two routers that lead outside, a subnet on each and one on none; a domain on each, web3 without its network."""
    for number, (router, subnet) in enumerate((("gateway", "blue"), ("lab", "green"))):
        control.done("router", "set" if router == "gateway" else "create", router, *OUTSIDE,
                     "--address", f"203.0.113.{10 + number}/24")  # fmt: skip
        control.done("subnet", "create", subnet, f"10.{number}.0.0/24", "--router", router)
        control.attach(f"web{number}", subnet, f"10.{number}.0.10", f"52:54:00:00:00:0{number}")
        control.done("floating-ip", "create", f"203.0.113.{20 + number}", f"web{number}")
    control.done("subnet", "create", "red", "10.2.0.0/24", "--no-router")
    control.stop(control.attach("web2", "red", "10.2.0.10", "52:54:00:00:00:02"))
    return control


def shown(cloud: Control, noun: str, column: str, *options: str) -> list[str]:
    """A column of a list."""
    return [row[column] for row in cloud.done(noun, "list", *options, "--format", "json").json]


def test_what_is_shown(cloud: Control) -> None:
    """What all options together say, and nothing else; a domain is known by its UUID as by its name."""
    assert shown(cloud, "subnet", "name", "--router", "lab") == ["green"]
    (uuid,) = shown(cloud, "lease", "domain", "--domain", "web1")
    for name in ("web1", uuid):
        assert shown(cloud, "lease", "address", "--domain", name) == ["10.1.0.10"]
        assert shown(cloud, "port", "domain_name", "--domain", name) == ["web1"]
        assert shown(cloud, "floating-ip", "address", "--domain", name) == ["203.0.113.21"]
    assert shown(cloud, "lease", "domain_name", "--host", "hv1") == ["web0", "web1", "web2"]
    assert shown(cloud, "lease", "domain_name", "--host", "hv1", "--subnet", "red", "--domain", "web2") == ["web2"]
    assert shown(cloud, "floating-ip", "address", "--router", "gateway") == ["203.0.113.20"]


@pytest.mark.parametrize(
    ("noun", "options"),
    [
        ("lease", ("--host", "hv2")),
        ("lease", ("--domain", "nobody")),
        ("lease", ("--domain", "web1", "--subnet", "blue")),
        ("port", ("--domain", "web2")),
        ("port", ("--domain", "web1", "--host", "hv2")),
        ("floating-ip", ("--domain", "web1", "--router", "gateway")),
    ],
)
def test_what_has_nothing(cloud: Control, noun: str, options: tuple[str, ...]) -> None:
    """Is an empty list."""
    assert cloud.done(noun, "list", *options, "--format", "json").json == []


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[",
        "[" * 100_000,
        "{}x",
        "null",
        "1",
        "[null]",
        "[[]]",
        "[1.5]",
        "[true, {}]",
        f"[{'9' * 100_000}]",
        '"blue"',
        "NaN",
    ],
    ids=lambda text: text[:10],
)
def test_tokens_that_no_list_gave(cloud: Control, text: str) -> None:
    """Are told as such by every list."""
    token = base64.urlsafe_b64encode(text.encode()).decode()
    for method in ("ListSubnets", "ListRouters", "ListFloatingIps", "ListLeases", "ListPorts"):
        with pytest.raises(InvalidRequest, match="page_token"):
            cloud.client().call(method, page_token=token)


@pytest.mark.parametrize(
    ("noun", "option", "what"),
    [
        ("subnet", "--router", "router"),
        ("floating-ip", "--router", "router"),
        ("lease", "--subnet", "subnet"),
        ("port", "--subnet", "subnet"),
    ],
)
def test_what_is_not_there(cloud: Control, noun: str, option: str, what: str) -> None:
    """A router or subnet that nobody has made is an error, and no empty list."""
    assert cloud.refused(3, noun, "list", option, "nothing")[0] == f"there is no {what} 'nothing'"
