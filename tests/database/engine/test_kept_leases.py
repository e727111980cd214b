"""Leases that outlive the definition of their domain, and how they end."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from netaddr import IPAddress

from ovnhook.base.errors import AlreadyExists
from ovnhook.domains.values import Domain
from tests.database.control_service import Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import MACS, MAIL, WEB, Hypervisors, attach, differing, domain, interface, soon

KEPT, OTHER = IPAddress("10.1.0.20"), IPAddress("10.1.0.21")


def keeping(keep: bool = True, uuid: UUID = WEB) -> Domain:
    """A domain of which the first of two interfaces keeps its lease."""
    first, second = (interface(mac, "blue", str(where)) for mac, where in zip(MACS, (KEPT, OTHER), strict=False))
    return domain(replace(first, request=replace(first.request, keep=keep)), second, uuid=uuid)


def test_the_end_of_the_domain(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """The lease stays, listed in the domain's index; nothing differs; a start on any host has the address again."""
    hv1.attach(keeping(), soon())
    assert differing(world, hv1, keeping()) == []
    hv1.detach(keeping(), soon())
    hv1.release_leases(WEB, soon())
    assert [(lease.address, lease.keep) for lease in world.leases] == [(KEPT, True)]
    (index,) = world.northbound.lease_indexes(soon())
    assert (index.host, index.leases) == ("", ((MACS[0], "blue", KEPT),))
    assert {"10.1.0.20"} == {*world.northbound.dns_records("blue", soon()).values()} - {"web1"}
    assert differing(world, hv1) == []
    before = world.exact()
    for host in (hv1, hv2):
        host.release_leases(WEB, soon())
        host.update_leases(Domain(WEB, "web1"), soon())
    assert world.exact() == before
    with pytest.raises(AlreadyExists, match=r"10\.1\.0\.20 of subnet blue is leased to domain web1"):
        hv2.attach(keeping(uuid=MAIL), soon())
    again = domain(interface(subnet="blue"))
    hv2.attach(again, soon())
    assert world.addresses == {MACS[0]: "10.1.0.20"}
    hv2.detach(again, soon())
    hv2.release_leases(WEB, soon())
    assert (world.leases, world.northbound.lease_indexes(soon())) == ([], [])


def test_it_follows_the_metadata(world: Hypervisors, hv1: DirectHost) -> None:
    """Of a domain that runs, at once; a scan finds that it differs."""
    hv1.attach(keeping(keep=False), soon())
    assert differing(world, hv1, keeping()) == ["10.1.0.20 of subnet blue is not kept without the domain"]
    attach(hv1, keeping())
    assert differing(world, hv1, keeping()) == []
    assert {lease.address: lease.keep for lease in world.leases} == {KEPT: True, OTHER: False}
    assert differing(world, hv1, keeping(keep=False)) == ["10.1.0.20 of subnet blue is kept without the domain"]
    attach(hv1, keeping(keep=False))
    hv1.detach(keeping(), soon())
    hv1.release_leases(WEB, soon())
    assert world.leases == []


def test_a_floating_ip_and_the_release_by_hand(control: Control) -> None:
    """The floating IP stays with the lease, and both end by the command."""
    outside = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
    control.done("router", "set", "gateway", *outside)
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    host = DirectHost(control.config)
    host.attach(keeping(), soon())
    control.done("floating-ip", "create", "203.0.113.20", "10.1.0.20")
    host.detach(keeping(), soon())
    host.release_leases(WEB, soon())
    (lease,) = control.done("lease", "list", "--format", "json").json
    assert (lease["address"], lease["keep"], lease["in_use"]) == ("10.1.0.20", True, False)
    assert [one["address"] for one in control.done("floating-ip", "list", "--format", "json").json] == ["203.0.113.20"]
    control.done("lease", "release", "10.1.0.20")
    for noun in ("lease", "floating-ip"):
        assert control.done(noun, "list", "--format", "json").json == []
    assert host.northbound.lease_indexes(soon()) == []
