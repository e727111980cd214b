"""The plan, against a store of rows in memory that carries out changes as the database does."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from netaddr import IPAddress

from ovnhook.domains import plan
from ovnhook.resources.kind import Need, Put, puts
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import LeaseIndex
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from tests.unit.domains.store import (
    MACS,
    MAIL,
    SUBNETS,
    WEB,
    Places,
    Store,
    attach,
    hosts,
    make_domain,
    placements,
    with_another_domain,
)


@given(placements(), placements(), hosts)
def test_attach_is_done_when_it_was_done(first: Places, second: Places, host: str) -> None:
    """After any attach, also one that moves a domain from elsewhere, the same attach changes nothing."""
    store = with_another_domain()
    attach(store, make_domain(first), first)
    domain = make_domain(second, run=2)
    attach(store, domain, second, host)
    assert attach(store, domain, second, host) == ()


@given(placements(), placements(), hosts)
def test_attach_makes_what_is_wanted_and_leaves_nothing_of_before(first: Places, second: Places, host: str) -> None:
    """Each interface has just its address, on just its subnet; what the domain had before is given back."""
    store = with_another_domain()
    attach(store, make_domain(first), first)
    attach(store, make_domain(second, run=2), second, host)
    leases, ports, lease_index = store.of(WEB)
    wanted = {(mac, subnet, SUBNETS[subnet].cidr[n]) for mac, subnet, n in second}
    assert {(lease.mac, lease.subnet, lease.address) for lease in leases} == wanted
    assert lease_index is not None
    assert set(lease_index.leases) == wanted
    there = {(port.mac, port.subnet, *port.addresses): port.host for port in ports if port.host == host}
    assert there == dict.fromkeys(wanted, host)
    assert host == "hv2" or len(ports) == len(wanted)  # what is another host's is that host's to remove


@given(placements(), placements(most=2), hosts)
def test_no_change_touches_another_domain(first: Places, second: Places, host: str) -> None:
    """Whatever is done to one domain, another one's rows stay as they are."""
    store = with_another_domain()
    before = store.of(MAIL)
    for domain, places in ((make_domain(first), first), (make_domain(second, run=2), second)):
        attach(store, domain, places, host)
        assert store.of(MAIL) == before
    store.commit(plan.roll_back(make_domain(second, run=2), host, store.observe(WEB)))
    store.commit(plan.release_leases(store.observe(WEB), host))
    assert store.of(MAIL) == before


@given(placements())
def test_a_lease_outlives_its_port(places: Places) -> None:
    """Detached and attached again, a domain has the leases that it had, and its ports are as they were."""
    store = Store()
    attach(store, make_domain(places), places)
    leases, ports, lease_index = store.of(WEB)
    store.commit(plan.detach(store.observe(WEB).ports.values(), "hv1"))
    assert store.of(WEB) == (leases, [], lease_index)
    attach(store, make_domain(places, run=2), places)
    again, ports_again, lease_index_again = store.of(WEB)
    assert (again, lease_index_again) == (leases, lease_index)
    assert sorted(ports_again, key=lambda port: port.mac) == sorted(ports, key=lambda port: port.mac)


@given(placements())
def test_forget_leaves_nothing(places: Places) -> None:
    """After it the domain holds nothing, and nothing is left to do."""
    store = Store()
    attach(store, make_domain(places), places)
    store.commit(plan.release_leases(store.observe(WEB), "hv1"))
    assert store == Store()
    assert plan.release_leases(store.observe(WEB), "hv1") == ()


@given(placements())
def test_another_host_can_do_nothing(places: Places) -> None:
    """A host that a domain has left takes nothing away that is the new host's."""
    store = Store()
    attach(store, make_domain(places), places, "hv1")
    attach(store, make_domain(places, run=7), places, "hv2")
    observed = store.observe(WEB)
    assert plan.detach(observed.ports.values(), "hv1") == ()
    assert plan.release_leases(observed, "hv1") == ()
    assert plan.roll_back(make_domain(places), "hv1", observed) == ()


@given(placements())
def test_a_failed_first_start_leaves_nothing(places: Places) -> None:
    """What the run took it gives back."""
    store = Store()
    attach(store, make_domain(places), places)
    store.commit(plan.roll_back(make_domain(places), "hv1", store.observe(WEB)))
    assert store == Store()


@given(placements())
def test_a_failed_later_start_keeps_the_leases(places: Places) -> None:
    """What an earlier run took stays the domain's."""
    store = Store()
    attach(store, make_domain(places), places)
    leases, _, lease_index = store.of(WEB)
    store.commit(plan.detach(store.observe(WEB).ports.values(), "hv1"))
    later = make_domain(places, run=2)
    attach(store, later, places)
    store.commit(plan.roll_back(later, "hv1", store.observe(WEB)))
    assert store.of(WEB) == (leases, [], lease_index)


def test_a_failed_start_gives_back_what_is_new_in_it() -> None:
    """Of a domain with one old interface and one new one, the new one's lease goes, the old one's stays."""
    old: Places = [(MACS[0], "blue", 5)]
    both: Places = [*old, (MACS[1], "green", 6)]
    store = Store()
    attach(store, make_domain(old), old)
    attach(store, make_domain(both, run=2), both)
    store.commit(plan.roll_back(make_domain(both, run=2), "hv1", store.observe(WEB)))
    leases, ports, lease_index = store.of(WEB)
    assert [(lease.mac, str(lease.address)) for lease in leases] == [(MACS[0], "10.1.0.5")]
    assert ports == []
    assert lease_index is not None
    assert lease_index.leases == ((MACS[0], "blue", IPAddress("10.1.0.5")),)


def test_an_interface_that_is_not_ours_now_keeps_its_lease() -> None:
    """In prepare a network's interface is not resolved yet: its address must be there when it is, in start."""
    both: Places = [(MACS[0], "blue", 5), (MACS[1], "green", 6)]
    store = Store()
    attach(store, make_domain(both), both)
    before = store.of(WEB)[0]
    assert attach(store, make_domain(both[:1], run=2, others=[MACS[1]]), both[:1]) == ()
    assert store.of(WEB)[0] == before


def test_an_interface_that_is_gone_gives_its_lease_back() -> None:
    """Its MAC is not in the domain's XML any more."""
    both: Places = [(MACS[0], "blue", 5), (MACS[1], "green", 6)]
    store = Store()
    attach(store, make_domain(both), both)
    attach(store, make_domain(both[:1], run=2), both[:1])
    assert [lease.mac for lease in store.of(WEB)[0]] == [MACS[0]]


def test_a_lease_that_became_anothers_is_not_dropped() -> None:
    """A holding that names an address which is somebody else's by now does not take it from them."""
    store = with_another_domain()
    stale = LeaseIndex(WEB, "web1", "hv1", ((MACS[0], "blue", IPAddress("10.1.0.200")),))
    store.lease_indexes[WEB] = stale
    before = store.of(MAIL)
    store.commit(plan.release_leases(store.observe(WEB), "hv1"))
    assert store.of(MAIL) == before
    assert store.of(WEB) == ([], [], None)


def test_a_rename_is_written_down_and_moves_nothing() -> None:
    """A renamed domain is the same one: same addresses, same ports, another name in each row."""
    places: Places = [(MACS[0], "blue", 5)]
    store = Store()
    attach(store, make_domain(places), places)
    changes = attach(store, make_domain(places, name="web2"), places)
    assert {change.kind for change in changes if isinstance(change, Need)} == {SUBNET}
    assert {change.kind for change in changes if isinstance(change, Put)} == {LEASE, DNS_RECORDS, PORT, LEASE_INDEX}
    assert all(change.old and change.new for change in changes if isinstance(change, Put))
    leases, ports, lease_index = store.of(WEB)
    assert lease_index is not None
    assert {leases[0].domain_name, ports[0].domain_name, lease_index.domain_name, leases[0].hostname} == {"web2"}


def test_a_change_of_the_interface_id_renames_the_port() -> None:
    """The port follows the id that libvirt puts on the tap."""
    places: Places = [(MACS[0], "blue", 5)]
    store = Store()
    domain = make_domain(places)
    attach(store, domain, places)
    changed = replace(domain, interfaces=(replace(domain.interfaces[0], interface_id="1f" * 16),))
    (*needs, change) = attach(store, changed, places)
    assert [(type(need), need.kind) for need in needs] == [(Need, SUBNET), (Need, LEASE)]
    (put,) = puts(PORT, [change])
    assert put.old
    assert put.new
    assert (put.old.id, put.new.id) == (str(domain.port_uuid(MACS[0])), "1f" * 16)


@given(placements())
def test_the_subnet_is_checked_first(places: Places) -> None:
    """Every subnet that is used is checked once, before anything is written."""
    changes = attach(Store(), make_domain(places), places)
    needs = [change.value.name for change in changes if isinstance(change, Need) and change.kind is SUBNET]
    assert sorted(needs) == sorted({subnet for _, subnet, _ in places})
    assert all(change.kind is SUBNET for change in changes[: len(needs)])


@given(placements())
def test_what_happens_to_an_interface_can_be_read_in_the_log(places: Places) -> None:
    """Each port and each lease is told with domain, interface, subnet and address."""
    store = Store()
    said = [str(change) for change in attach(store, make_domain(places), places)]
    observed = store.observe(WEB)
    for mac, subnet, number in places:
        address = str(SUBNETS[subnet].cidr[number])
        told = [line for line in said if line.startswith("domain web1: ") and mac in line and f"{address} " in line]
        assert len(told) == 2, said  # the lease and the port
        assert all(f"subnet {subnet}" in line for line in told)
    for change in plan.release_leases(observed, "hv1"):
        silent = change.kind in (DNS_RECORDS, LEASE_INDEX)  # they go with what is told
        assert silent or str(change).startswith("domain web1: ")
