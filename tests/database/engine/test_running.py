"""Domains while they run, or are off: interfaces plugged in and out, other definitions, rows that somebody changed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from ovnhook.agent.control import AttachResult
from ovnhook.base import uuids
from ovnhook.base.errors import InvalidRequest
from ovnhook.domains.values import Domain, Interface, InterfaceType, Unsupported
from ovnhook.resources.kind import Put
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.subnet.values import isolated_subnet
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import (
    MACS,
    MAIL,
    WEB,
    Hypervisors,
    Overtaken,
    attach,
    differing,
    domain,
    interface,
    soon,
)


def test_an_interface_is_plugged_in_and_out(world: Hypervisors, hv1: DirectHost) -> None:
    """Out again it has no port; its lease stays as long as the definition has it. The last one takes all with it."""
    first, second = interface(tap="vnet0"), replace(interface(MACS[1], tap="vnet1"), kind=InterfaceType.ETHERNET)
    hv1.attach(domain(first), soon())
    both, alone = domain(first, second), domain(first)
    attach(hv1, both)
    assert [port.mac for port in world.ports] == [*MACS[:2]]
    assert hv1.vswitch.taps(soon()).keys() == {"vnet0", "vnet1"}
    assert differing(world, hv1, both) == []
    leases = world.leases
    attach(hv1, replace(alone, defined_only_macs=(MACS[1],)))
    assert [port.mac for port in world.ports] == [MACS[0]]
    assert hv1.vswitch.taps(soon()).keys() == {"vnet0"}
    assert world.leases == leases
    attach(hv1, both)
    assert world.leases == leases
    attach(hv1, alone)
    assert [lease.mac for lease in world.leases] == [MACS[0]]
    attach(hv1, domain())
    assert (world.ports, world.leases, world.northbound.lease_indexes(soon())) == ([], [], [])
    attach(hv1, domain())


def test_what_runs_stays_where_it_is(world: Hypervisors, hv1: DirectHost) -> None:
    """Another subnet and address wait for the next start; another host name does not."""
    hv1.attach(domain(interface()), soon())
    (port,) = world.ports
    wanted = domain(interface(subnet="blue", address="10.1.0.20"))
    named = replace(
        wanted, interfaces=tuple(replace(one, request=replace(one.request, hostname="db")) for one in wanted.interfaces)
    )
    attached = attach(hv1, named)
    (said,) = attached.pending_until_restart
    assert said.startswith(f"domain web1: interface {MACS[0]}: subnet 'blue', address 10.1.0.20 of its metadata")
    assert f"until then it has {port.addresses[0]} on subnet default" in said
    assert world.ports == [port]
    assert [lease.hostname for lease in world.leases] == ["db"]
    assert "db" in world.northbound.dns_records("default", soon())
    assert attach(hv1, domain(interface())).pending_until_restart == ()
    hv1.attach(wanted, soon())
    assert world.addresses == {MACS[0]: "10.1.0.20"}


def test_one_that_cannot_be_attached_keeps_no_other_from_it(
    world: Hypervisors, hv1: DirectHost, hv2: DirectHost
) -> None:
    """It is told why; when that is put right it is attached."""
    hv2.attach(domain(interface(MACS[5], "blue", "10.1.0.20"), uuid=MAIL, name="mail"), soon())
    wanted = domain(interface(MACS[0], "blue", "10.1.0.20"), interface(MACS[1], "nowhere"), interface(MACS[2]))
    refused = attach(hv1, wanted).refused
    assert [str(error).split(": ")[1] for error in refused] == [f"interface {mac}" for mac in MACS[:2]]
    assert "is leased to domain mail" in str(refused[0])
    assert "there is no subnet 'nowhere' (ovnhook subnet list)" in str(refused[1])
    assert [port.mac for port in world.ports if port.domain == WEB] == [MACS[2]]
    hv2.detach(Domain(MAIL, "mail"), soon())
    hv2.release_leases(MAIL, soon())
    assert len(attach(hv1, wanted).refused) == 1
    assert world.addresses[MACS[0]] == "10.1.0.20"


def test_a_definition_that_changes(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Leases of interfaces that it has no more are given back, others are known by its name; other hosts do nothing."""
    hv1.attach(domain(interface(), interface(MACS[1], "blue")), soon())
    before = world.exact()
    renamed = Domain(WEB, "web2", macs=(MACS[1],))
    hv1.update_leases(renamed, soon())
    assert world.exact() == before  # it runs
    hv1.detach(renamed, soon())
    stopped = world.exact()
    hv2.update_leases(renamed, soon())
    assert world.exact() == stopped
    hv1.update_leases(renamed, soon())
    assert [(lease.mac, lease.domain_name) for lease in world.leases] == [(MACS[1], "web2")]
    assert [lease_index.domain_name for lease_index in world.northbound.lease_indexes(soon())] == ["web2"]
    assert world.northbound.dns_records("default", soon()) == {}
    kept = world.exact()
    hv1.update_leases(renamed, soon())
    assert world.exact() == kept
    hv1.update_leases(Domain(WEB, "web2"), soon())
    assert (world.leases, world.northbound.lease_indexes(soon())) == ([], [])


def test_a_domains_own_subnet_goes_with_its_last_lease(world: Hypervisors, hv1: DirectHost) -> None:
    """Also when it is defined anew without the interface."""
    world.create_router()
    own = replace(interface(), request=replace(interface().request, isolated=True, subnet=isolated_subnet(WEB)))
    hv1.attach(domain(own, interface(MACS[1])), soon())
    hv1.detach(Domain(WEB, "web1"), soon())
    hv1.update_leases(Domain(WEB, "web1", macs=(MACS[1],)), soon())
    assert isolated_subnet(WEB) not in world.northbound.observe(WEB, (), [isolated_subnet(WEB)], soon()).subnets
    assert [lease.mac for lease in world.leases] == [MACS[1]]


@pytest.mark.parametrize(
    "row",
    [
        {"port_security": ["set", []]},
        {"dhcpv4_options": ["set", []]},
        {"addresses": f"{MACS[0]} 10.0.0.250"},
        {"options": ["map", []]},
        {"options": ["map", [["requested-chassis", "hv9"]]]},
        {"options": ["map", [["requested-chassis", "hv1"], ["activation-strategy", "rarp"]]]},
        {"name": "another"},
    ],
    ids=" ".join,
)
def test_a_port_that_somebody_changed(world: Hypervisors, hv1: DirectHost, row: dict[str, Any]) -> None:
    """Whatever it is, it is seen, and mended by attaching the domain as it runs; keys of others' options stay."""
    wanted = domain(interface(tap="vnet0"))
    hv1.attach(wanted, soon())
    assert differing(world, hv1, wanted) == []
    before = world.server.dump()
    where = [["_uuid", "==", ["uuid", str(uuids.port(WEB, MACS[0]))]]]
    world.server.transact({"op": "update", "table": "Logical_Switch_Port", "where": where, "row": row})
    (what,) = differing(world, hv1, wanted)
    assert "port" in what
    attach(hv1, wanted)
    assert world.server.dump() == before
    assert differing(world, hv1, wanted) == []


def test_a_look_at_a_sound_host_writes_nothing(
    world: Hypervisors, hv1: DirectHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And asks for no domain, however many there are."""
    hosts = [
        domain(interface(mac, tap=f"vnet{n}"), uuid=uuid, name=f"vm{n}")
        for n, (uuid, mac) in enumerate(((WEB, MACS[0]), (MAIL, MACS[1])))
    ]
    for one in hosts:
        hv1.attach(one, soon())
    before = world.exact()
    monkeypatch.setattr(hv1.control, "inventory", lambda *_: pytest.fail("a domain was asked for"))
    assert differing(world, hv1, *hosts) == []
    assert world.exact() == before


def test_a_migration_that_is_given_up(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """The destination died and says nothing: the source has its ports back; leases follow who has the domain."""
    wanted = domain(interface(tap="vnet0"))
    hv1.attach(wanted, soon())
    before = world.server.dump()
    hv2.announce(wanted, soon())
    hv1.cancel_migration(WEB, soon())
    assert world.server.dump() == before
    hv2.cancel_migration(WEB, soon())
    assert world.server.dump() == before
    hv2.announce(wanted, soon())
    hv2.finish_migration(WEB, soon())
    assert [lease.host for lease in world.leases] == ["hv2"]


def test_rows_that_make_no_sense_keep_no_other_from_being_mended(world: Hypervisors, hv1: DirectHost) -> None:
    """Somebody has written them, or another version."""
    hv1.attach(domain(interface(tap="vnet0")), soon())
    for kind in ("lease", "domain"):
        ids = ["map", [["ovnhook:kind", kind], ["ovnhook:host", "hv1"]]]
        world.server.transact({"op": "insert", "table": "DNS", "row": {"external_ids": ids}})
    where = [["_uuid", "==", ["uuid", str(uuids.port(WEB, MACS[0]))]]]
    world.server.transact(
        {"op": "update", "table": "Logical_Switch_Port", "where": where, "row": {"addresses": "unknown"}}
    )
    (said,) = differing(world, hv1, domain(interface(tap="vnet0")))
    assert "addresses" in said


def test_a_name_or_an_id_that_is_taken_keeps_no_other_interface_from_its_port(
    world: Hypervisors, hv1: DirectHost
) -> None:
    """Nor the interface itself from the port that it has already."""
    hv1.attach(domain(interface(MACS[3]), uuid=MAIL, name="mail"), soon())
    (theirs,) = world.ports
    first = interface(tap="vnet0")
    hv1.attach(domain(first), soon())
    before = {port.mac: port for port in world.ports}
    named = replace(first, request=replace(first.request, hostname="mail"))
    copied, other = interface(MACS[1], id=theirs.id, tap="vnet1"), interface(MACS[2], tap="vnet2")
    attached = attach(hv1, domain(named, copied, other))
    assert {port.mac for port in world.ports if port.domain == WEB} == {MACS[0], MACS[2]}
    name, id_ = map(str, attached.refused)
    assert f"interface {MACS[0]}: host name 'mail' of subnet default is that of domain mail" in name
    assert f"interface {MACS[1]}: interfaceid {theirs.id} belongs to domain mail on hv1" in id_
    after = {port.mac: port for port in world.ports}
    assert after == {**before, MACS[2]: after[MACS[2]]}


def test_a_tap_is_unplugged_only_as_long_as_it_is_what_was_seen(world: Hypervisors, hv1: DirectHost) -> None:
    """Its name may be another guest's by now."""
    hv1.attach(domain(replace(interface(tap="vnet0"), kind=InterfaceType.ETHERNET)), soon())
    (tap,) = hv1.vswitch.taps(soon()).values()
    hv1.vswitch.unplug("vnet0", replace(tap, iface_id="another"), soon())
    assert hv1.vswitch.taps(soon()) == {"vnet0": tap}
    hv1.vswitch.unplug("vnet0", tap, soon())
    assert hv1.vswitch.taps(soon()) == {}
    hv1.vswitch.unplug("vnet0", tap, soon())


TAGGED = Unsupported(MACS[0], "its <vlan> (tag 42) is not supported on OVN ports", "remove <vlan>")


def unsupported(*interfaces: Interface) -> Domain:
    """A domain whose first interface has a VLAN tag and an MTU that is too large."""
    first, *others = interfaces
    return replace(domain(replace(first, mtu=1500), *others), unsupported=(TAGGED,))


def test_no_start_with_what_no_port_can_give(world: Hypervisors, hv1: DirectHost) -> None:
    """Neither the interface with it nor the others are attached, nor where no interface is ours."""
    before = world.exact()
    for one in (unsupported(interface(), interface(MACS[1])), replace(domain(), macs=MACS[:1], unsupported=(TAGGED,))):
        with pytest.raises(InvalidRequest, match=f"^domain web1: interface {MACS[0]}: its <vlan>"):
            hv1.attach(one, soon())
    assert world.exact() == before


def test_no_start_with_it_while_the_database_is_away(world: Hypervisors, hv1: DirectHost) -> None:
    """That it is no migration can't be said then: one that is stays where it is, as a start does that is none."""
    world.server.stop()
    with pytest.raises(InvalidRequest, match="its <vlan>"):
        hv1.attach(unsupported(interface()), soon())


def test_what_started_with_it_migrates(
    world: Hypervisors, hv1: DirectHost, hv2: DirectHost, caplog: pytest.LogCaptureFixture
) -> None:
    """An earlier version let it start. It arrives, with its port, its addresses and its subnet, and is logged."""
    started = domain(interface(tap="vnet0"), interface(MACS[1], tap="vnet1"))
    hv1.attach(started, soon())
    addresses = world.addresses
    comes = unsupported(interface(), interface(MACS[1]))
    hv2.announce(comes, soon())
    assert hv2.attach(comes, soon()).arrives
    assert {(port.host, port.moving_to) for port in world.ports} == {("hv1", "hv2")}
    assert "remove <vlan>" in caplog.text
    assert "<mtu size='1500'/> exceeds the MTU of subnet default, 1442" in caplog.text
    hv2.finish_migration(WEB, soon())
    assert {port.host for port in world.ports} == {"hv2"}
    assert world.addresses == addresses
    assert attach(hv2, comes).refused == ()
    hv2.detach(comes, soon())
    with pytest.raises(InvalidRequest, match="its <vlan>"):  # its next start
        hv2.attach(comes, soon())


def test_a_migration_changes_no_subnet(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """Metadata, or a default portgroup, that says otherwise by now waits for the next start, here as there."""
    hv1.attach(domain(interface()), soon())
    addresses = world.addresses
    hv2.announce(Domain(WEB, "web1"), soon())
    for other in (interface(subnet="blue"), interface(subnet="red"), replace(interface(), portgroup="blue")):
        assert hv2.attach(domain(other), soon()).arrives
        assert [port.subnet for port in world.ports] == ["default"]
        assert world.addresses == addresses


def test_what_runs_with_it_is_reported(world: Hypervisors, hv1: DirectHost) -> None:
    """It keeps its network, its port comes back when somebody has deleted it, and the difference says what to do."""
    hv1.attach(domain(interface()), soon())
    runs = unsupported(interface())
    assert attach(hv1, runs).refused == ()
    large = "its <mtu size='1500'/> exceeds the MTU of subnet default, 1442"
    assert differing(world, hv1, runs) == [TAGGED.what, large]
    (port,) = world.ports
    world.northbound.commit([Put(PORT, port, None)], soon())
    assert attach(hv1, runs).refused == ()
    assert [port.mac for port in world.ports] == [MACS[0]]
    fits = domain(replace(interface(), mtu=1442))
    assert differing(world, hv1, fits) == []


def test_what_is_plugged_in_with_it_is_refused(world: Hypervisors, hv1: DirectHost) -> None:
    """The domain's other interfaces keep their network; this one has none, and the error says why."""
    hv1.attach(domain(interface(MACS[1])), soon())
    (refused,) = attach(hv1, unsupported(interface(), interface(MACS[1]))).refused
    assert str(refused).startswith(f"domain web1: interface {MACS[0]}: its <vlan>")
    assert [port.mac for port in world.ports] == [MACS[1]]


def test_a_domain_that_is_taken_over_while_it_is_attached(world: Hypervisors, hv1: DirectHost, hv2: DirectHost) -> None:
    """It is left alone, and nothing is said to be placed that was not."""
    meanwhile = partial(hv2.attach, domain(interface()), soon())
    hv1.attachment.northbound = Overtaken(world.server.remote, meanwhile)
    assert attach(hv1, domain(interface(), interface(MACS[1]))) == AttachResult()
    assert [port.host for port in world.ports] == ["hv2"]
