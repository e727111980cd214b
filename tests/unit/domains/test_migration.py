"""The plan of a migration, against a store of rows in memory."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ovnhook.domains import migration, plan
from tests.unit.domains.store import WEB, Places, Store, attach, make_domain, placements, where


@given(placements())
def test_a_migration(places: Places) -> None:
    """The same ports and leases throughout, bound to the one host, to both, to the other; each step may come twice."""
    store = Store()
    attach(store, make_domain(places), places, "hv1")
    leases = store.of(WEB)[0]
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    assert migration.announce(store.observe(WEB), "hv2") == ()
    assert where(store) == {("hv1", "hv2")}
    assert attach(store, make_domain(places, run=9), places, "hv2") == ()
    assert where(store) == {("hv1", "hv2")}
    store.commit(migration.finish(store.observe(WEB), "hv2"))
    assert migration.finish(store.observe(WEB), "hv2") == ()
    assert plan.leave(store.observe(WEB), "hv1") == ()
    assert where(store) == {("hv2", "")}
    assert plan.release_leases(store.observe(WEB), "hv1") == ()
    assert store.of(WEB)[0] == [replace(lease, host="hv2") for lease in leases]


@given(placements(), st.permutations(["hv1", "hv2"]))
def test_a_migration_that_a_host_leaves(places: Places, hosts: list[str]) -> None:
    """Whichever host says first that the domain does not run there, the ports are the other one's; then they go."""
    store = Store()
    attach(store, make_domain(places), places, "hv1")
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    first, second = hosts
    store.commit(plan.leave(store.observe(WEB), first))
    assert where(store) == {(second, "")}
    assert plan.leave(store.observe(WEB), first) == ()
    store.commit(plan.leave(store.observe(WEB), second))
    leases, ports, lease_index = store.of(WEB)
    assert ports == []
    assert len(leases) == len(places)
    assert lease_index is not None
    assert (lease_index.host, lease_index.moving_to) == (second, "")


@given(placements())
def test_a_domain_that_is_forgotten_while_it_migrates(places: Places) -> None:
    """An undefine on the source takes nothing from the destination, nor one there from the source."""
    for host, other in (("hv1", "hv2"), ("hv2", "hv1")):
        store = Store()
        attach(store, make_domain(places), places, "hv1")
        store.commit(migration.announce(store.observe(WEB), "hv2"))
        leases = store.of(WEB)[0]
        store.commit(plan.release_leases(store.observe(WEB), host))
        assert store.of(WEB)[0] == [replace(lease, host=other) for lease in leases]
        assert where(store) == {(other, "")}
        store.commit(plan.release_leases(store.observe(WEB), other))
        assert store == Store()


@given(placements())
def test_an_offline_migration(places: Places) -> None:
    """A domain that does not run has leases only: they go along."""
    store = Store()
    attach(store, make_domain(places), places, "hv1")
    store.commit(plan.leave(store.observe(WEB), "hv1"))
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    store.commit(plan.release_leases(store.observe(WEB), "hv1"))
    leases, _, lease_index = store.of(WEB)
    assert len(leases) == len(places)
    assert lease_index is not None
    assert (lease_index.host, lease_index.moving_to) == ("hv2", "")


@given(placements())
def test_a_migration_whose_destination_fails_to_start(places: Places) -> None:
    """What is undone there is the destination's part in it."""
    store = Store()
    attach(store, make_domain(places), places, "hv1")
    before = store.of(WEB)
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    store.commit(plan.roll_back(make_domain(places, run=9), "hv2", store.observe(WEB)))
    assert store.of(WEB) == before
