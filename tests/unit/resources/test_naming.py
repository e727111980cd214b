"""Names of interfaces: what each kind of name means, and what is said where it means several."""

from __future__ import annotations

from uuid import UUID

import pytest
from netaddr import IPAddress

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources import naming
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port

WEB, DB = UUID(int=1), UUID(int=2)


def port(
    number: int, domain: UUID, name: str, subnet: str, *addresses: str, index: int | None = 0, mac: str = ""
) -> Port:
    """A port."""
    mac = mac or f"52:54:00:00:00:0{number}"
    return Port(f"if-{number}", subnet, mac, tuple(map(IPAddress, addresses)), domain, name, "hv1", index=index)


PORTS = [
    port(1, WEB, "web 1", "blue", "10.1.0.11", "fd00::11", index=2),
    port(2, WEB, "web 1", "green", "10.2.0.11", index=0),
    port(3, DB, "käse", "blue", "10.1.0.12"),
    port(4, UUID(int=4), "if-3", "red", "10.1.0.11"),
    port(5, UUID(int=5), "10.1.0.12", "red", "10.3.0.1", mac="52:54:00:00:00:03"),
    port(6, UUID(int=6), "a/b", "blue", "10.1.0.60"),
    port(7, UUID(int=7), "old", "blue", "10.1.0.70", index=None),
    port(8, UUID(int=7), "old", "blue", "10.1.0.80", index=None),
]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("if-1", [1]),
        ("if-3", [3]),  # an ID before a domain's name
        ("52:54:00:00:00:01", [1]),
        ("52-54-00-00-00-01", [1]),
        ("52:54:00:00:00:03", [3, 5]),
        ("52:54:00:00:00:03/red", [5]),
        ("525400000002", [2]),
        ("10.1.0.11", [1, 4]),
        ("10.1.0.11/blue", [1]),
        ("FD00:0::11", [1]),
        ("10.1.0.12", [3, 5]),  # an address, and a domain of that name
        ("10.1.0.12/24", []),
        ("web 1", [1, 2]),
        ("web 1/0", [2]),
        ("web 1/2", [1]),
        ("web 1/1", []),
        ("web 1/02", []),
        ("web 1/blue", [1]),
        ("web 1/red", []),
        (str(WEB), [1, 2]),
        (f"{WEB}/green", [2]),
        (str(DB).upper(), [3]),
        ("käse", [3]),
        ("a/b", [6]),
        ("a/b/0", [6]),
        ("a", []),
        ("old/0", []),
        ("/0", []),
        ("", []),
        ("9" * 5000, []),
        ("x/" + "9" * 5000, []),
    ],
)
def test_what_a_name_means(name: str, meant: list[int]) -> None:
    """One port, several or none."""
    assert [one.id for one in naming.resolve(name, PORTS)] == [f"if-{number}" for number in meant]


@pytest.mark.parametrize(
    ("name", "error", "hint"),
    [
        (
            "web 1",
            "'web 1' is ambiguous: 52:54:00:00:00:01 (10.1.0.11, fd00::11), 52:54:00:00:00:02 (10.2.0.11)",
            "name one of them: 'web 1/blue', 'web 1/green'",
        ),
        (
            "old",
            "'old' is ambiguous: 52:54:00:00:00:07 (10.1.0.70), 52:54:00:00:00:08 (10.1.0.80)",
            "name one of them: 52:54:00:00:00:07, 52:54:00:00:00:08",
        ),
        (
            "10.1.0.12",
            "'10.1.0.12' is ambiguous: 52:54:00:00:00:03 (10.1.0.12), 52:54:00:00:00:03 (10.3.0.1)",
            "name one of them: käse/blue, 10.1.0.12/red",
        ),
    ],
)
def test_a_name_of_several(name: str, error: str, hint: str) -> None:
    """The choices are listed, with names that mean one of them each."""
    found = naming.resolve(name, PORTS)
    with pytest.raises(InvalidRequest) as refused:
        naming.require_single(name, found)
    assert (refused.value.message, refused.value.hint) == (error, hint)
    for one in found:
        better = [option for option in naming._names(one) if naming.resolve(option, PORTS) == [one]]
        assert naming.require_single(better[0], naming.resolve(better[0], PORTS)) == one


def test_many_choices() -> None:
    """Not all are listed."""
    found = [port(number, WEB, "web", f"s{number}", f"10.0.0.{number}", index=number) for number in range(9)]
    with pytest.raises(InvalidRequest) as refused:
        naming.require_single("web", found)
    assert refused.value.message.endswith("52:54:00:00:00:04 (10.0.0.4), 4 more")
    assert refused.value.hint.startswith("name one of them: web/s0, ")


def test_holders_of_leases() -> None:
    """Interfaces with the addresses that are leased to them, whether their domain runs or not."""

    def lease(domain: UUID, mac: str, subnet: str, address: str) -> Lease:
        return Lease(subnet, IPAddress(address), domain, "any", mac, "any", "hv1", "run")

    mac = "52:54:00:00:00:01"
    leases = [
        lease(WEB, mac, "blue", "10.1.0.11"),
        lease(WEB, mac, "blue", "fd00::11"),
        lease(WEB, mac, "green", "10.2.0.99"),
        lease(DB, mac, "blue", "10.1.0.12"),
    ]
    found = naming.leased_interfaces(leases, PORTS)
    assert [(one.domain, one.subnet, [*map(str, one.addresses)], one.id, one.index) for one in found] == [
        (WEB, "blue", ["10.1.0.11", "fd00::11"], "if-1", 2),
        (WEB, "green", ["10.2.0.99"], "", None),
        (DB, "blue", ["10.1.0.12"], "", None),
    ]
    assert naming.resolve("any/blue", found) == [found[0], found[2]]
