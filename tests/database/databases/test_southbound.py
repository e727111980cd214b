"""Reports of hosts in the southbound database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.databases.southbound import Southbound
from ovnhook.resources.chassis import NextHop, Report
from tests.database.ovsdb_server import SOUTHBOUND_SCHEMA, Server
from tests.database.southbound_rows import add_active_gateway, add_chassis, add_mac_binding, set_reports

REPORT = Report("1.0", "3.1.0", ())


@pytest.mark.parametrize("serves_dns", [None, False, True])
def test_a_report_of_resolvers(make_server: Callable[[str, Path], Server], serves_dns: bool | None) -> None:
    """Whether they run; what an agent of an earlier version reports later says nothing of them."""
    server = make_server("sb", SOUTHBOUND_SCHEMA)
    southbound = Southbound(server.remote)
    add_chassis(server, "hv1")
    for report, expected in ((replace(REPORT, serves_dns=serves_dns), serves_dns), (REPORT, None)):
        assert southbound.publish("hv1", report, 1030.5, Deadline.after(HANG))
        (node,) = southbound.nodes(Deadline.after(HANG))
        assert node.serves_dns is expected
    set_reports(server, "hv1", dns="perhaps")
    (node,) = southbound.nodes(Deadline.after(HANG))
    assert node.serves_dns is None
    southbound.database.close()


def test_a_report_of_networks(make_server: Callable[[str, Path], Server]) -> None:
    """As they were reported; what a host writes itself that is no network is ignored."""
    server = make_server("sb", SOUTHBOUND_SCHEMA)
    southbound = Southbound(server.remote)
    add_chassis(server, "hv1")
    there = ("198.51.100.0/24", "2001:db8::/64")
    assert southbound.publish("hv1", replace(REPORT, networks=there), 1030.5, Deadline.after(HANG))
    (node,) = southbound.nodes(Deadline.after(HANG))
    assert node.networks == there
    set_reports(server, "hv1", networks="198.51.100.1/24 10.0.0.0/8 x ::/129 10.0.0.0")
    (node,) = southbound.nodes(Deadline.after(HANG))
    assert node.networks == ("10.0.0.0/8",)
    southbound.database.close()


def test_a_report_of_foreign_networks(make_server: Callable[[str, Path], Server]) -> None:
    """One that is gone is not reported any more."""
    server = make_server("sb", SOUTHBOUND_SCHEMA)
    southbound = Southbound(server.remote)
    add_chassis(server, "hv1")
    for names in (("default", "red"), ("red",), ()):
        assert southbound.publish("hv1", replace(REPORT, foreign_networks=names), 1030.5, Deadline.after(HANG))
        (node,) = southbound.nodes(Deadline.after(HANG))
        assert node.foreign_networks == {*names}
    southbound.database.close()


def test_who_wrote_a_report(make_server: Callable[[str, Path], Server]) -> None:
    """The control service or, before an upgrade and after a downgrade, an agent of an earlier version."""
    server = make_server("sb", SOUTHBOUND_SCHEMA)
    southbound = Southbound(server.remote)

    def uses_api() -> bool:
        (node,) = southbound.nodes(Deadline.after(HANG))
        return node.uses_api

    add_chassis(server, "hv1")
    assert not uses_api()
    set_reports(server, "hv1", agent="0.9", seen="1000", api="")
    assert not uses_api()
    assert southbound.publish("hv1", REPORT, 1030.5, Deadline.after(HANG))
    assert uses_api()
    set_reports(server, "hv1", agent="0.9", seen="1060", api="1030")
    assert not uses_api()
    southbound.database.close()


def test_next_hops_that_never_answered(make_server: Callable[[str, Path], Server]) -> None:
    """Of routers whose active gateway is the host, those that OVN has no MAC address of."""
    server = make_server("sb", SOUTHBOUND_SCHEMA)
    southbound = Southbound(server.remote)
    for name in ("gw1", "gw2"):
        add_chassis(server, name)
    for number, (router, host) in enumerate((("one", "gw1"), ("two", "gw1"), ("three", "gw2")), 1):
        add_active_gateway(server, router, host, number)
    hops = [NextHop(router, f"192.0.2.{number}") for number, router in enumerate(("one", "two", "three", "none"))]

    def silent(host: str) -> list[NextHop]:
        return southbound.silent_next_hops(host, hops, Deadline.after(HANG))

    assert (silent("gw1"), silent("gw2"), silent("hv1")) == (hops[:2], hops[2:3], [])
    add_mac_binding(server, "one", "192.0.2.0", 1)
    add_mac_binding(server, "three", "192.0.2.1", 3)
    assert (silent("gw1"), silent("gw2")) == (hops[1:2], hops[2:3])
    southbound.database.close()
