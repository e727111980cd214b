"""What guests are called."""

from __future__ import annotations

from uuid import UUID

import pytest
from netaddr import IPAddress

from ovnhook.resources.lease.values import Lease
from ovnhook.resources.subnet import dns


def lease(host: str, address: str) -> Lease:
    """A lease of which only these matter."""
    return Lease("blue", IPAddress(address), UUID(int=1), host, "52:54:00:00:00:01", host, "hv1", "hv1/1")


def test_names_lead_to_addresses_and_back() -> None:
    """With the domain and without; back to the one with it."""
    assert dns.records([lease("web1", "10.1.0.20")], "lab.example") == {
        "web1": "10.1.0.20",
        "web1.lab.example": "10.1.0.20",
        "20.0.1.10.in-addr.arpa": "web1.lab.example",
    }
    assert dns.records([lease("web1", "10.1.0.20")], "") == {
        "web1": "10.1.0.20",
        "20.0.1.10.in-addr.arpa": "web1",
    }


def test_a_host_with_several_addresses() -> None:
    """Of several interfaces, and of both kinds."""
    found = dns.records([lease("web1", "fd00::20"), lease("web1", "10.1.0.20"), lease("web1", "10.1.0.3")], "")
    assert found.pop("web1") == "10.1.0.3 10.1.0.20 fd00::20"
    assert found == {
        "3.0.1.10.in-addr.arpa": "web1",
        "20.0.1.10.in-addr.arpa": "web1",
        f"0.2.{'0.' * 26}0.0.d.f.ip6.arpa": "web1",
    }


def test_nobody() -> None:
    """No lease, no name."""
    assert dns.records([], "lab.example") == {}


@pytest.mark.parametrize(
    ("record", "value", "there"),
    [
        ("web1", "10.1.0.5 fd00::5", ["10.1.0.5", "fd00::5"]),
        ("5.0.1.10.in-addr.arpa", "web1", ["10.1.0.5"]),
        (IPAddress("fd00::5").reverse_dns.rstrip("."), "web1", ["fd00::5"]),
        ("web1", "nonsense", ["nonsense"]),
        ("x.in-addr.arpa", "web1", ["x"]),
        ("x.ip6.arpa", "web1", []),
    ],
)
def test_the_places_of_a_record(record: str, value: str, there: list[str]) -> None:
    """Forwards and back."""
    assert list(dns.addresses_of(record, value)) == there
