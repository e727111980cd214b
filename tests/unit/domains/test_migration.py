"""The plan of a migration, against a store of rows in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovnhook.base.errors import FailedPrecondition, PermissionDenied
from ovnhook.domains import migration, plan
from ovnhook.domains.presence import AgentState, FindState
from ovnhook.domains.values import Domain
from tests.unit.domains.store import OTHER, WEB, Places, Store, attach, make_domain, placements, where


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


NOW, UNTIL = 1000, 1020
DOMAIN = Domain(WEB, "web1")


def request(store: Store, host: str, find_state: FindState, now: int = NOW, until: int = UNTIL) -> str:
    """Request a migration, and return who has to confirm it."""
    changes, source = migration.request(DOMAIN, store.observe(WEB), host, now, until, find_state)
    store.commit(changes)
    return source


def alive(_host: str) -> AgentState:
    return AgentState.ALIVE


@given(placements())
def test_a_requested_migration(places: Places) -> None:
    """Changes nothing but who requests it; the confirmation does what the announcement does."""
    store = Store()
    attach(store, make_domain(places), places, "hv1")
    before = store.of(WEB)
    assert request(store, "hv2", alive) == "hv1"
    assert store.of(WEB)[:2] == before[:2]
    assert attach(store, make_domain(places), places, "hv1") == ()
    store.commit(migration.confirm(DOMAIN, store.observe(WEB), "hv1", "hv2", UNTIL))
    assert migration.confirm(DOMAIN, store.observe(WEB), "hv1", "hv2", UNTIL) == ()
    announced = Store()
    attach(announced, make_domain(places), places, "hv1")
    announced.commit(migration.announce(announced.observe(WEB), "hv2"))
    assert store == announced
    assert request(store, "hv2", alive) == ""
    assert store == announced


@given(placements())
def test_a_request_that_is_withdrawn(places: Places) -> None:
    """Leaves nothing; a later one is not touched."""
    store = Store()
    attach(store, make_domain(places), places, "hv1")
    before = store.of(WEB)
    request(store, "hv2", alive)
    request(store, "hv2", alive, until=UNTIL + 1)
    assert migration.withdraw(store.observe(WEB), "hv2", UNTIL) == ()
    store.commit(migration.withdraw(store.observe(WEB), "hv2", UNTIL + 1))
    assert store.of(WEB) == before
    with pytest.raises(FailedPrecondition, match="hv2 does not request its migration"):
        migration.confirm(DOMAIN, store.observe(WEB), "hv1", "hv2", NOW)


def test_a_request_that_is_void() -> None:
    """When its time is over, it can't be confirmed, and another destination may have it."""
    store = Store()
    attach(store, make_domain(OTHER), OTHER, "hv1")
    request(store, "hv2", alive)
    with pytest.raises(FailedPrecondition, match="hv2 requests its migration at the same time"):
        request(store, "hv3", alive, now=UNTIL)
    with pytest.raises(FailedPrecondition, match="no longer"):
        migration.confirm(DOMAIN, store.observe(WEB), "hv1", "hv2", UNTIL + 1)
    assert request(store, "hv3", alive, now=UNTIL + 1) == "hv1"
    with pytest.raises(FailedPrecondition, match="domain web1 is not on hv3"):
        migration.confirm(DOMAIN, store.observe(WEB), "hv3", "hv3", NOW)


@pytest.mark.parametrize("state", [AgentState.DEAD, AgentState.EARLIER])
def test_a_source_that_cannot_confirm(state: AgentState) -> None:
    """It is not asked."""
    store = Store()
    attach(store, make_domain(OTHER), OTHER, "hv1")
    assert request(store, "hv2", lambda _: state) == ""
    assert where(store) == {("hv1", "hv2")}


@pytest.mark.parametrize(
    ("dead", "source"), [((), None), (("hv1",), None), (("hv2",), "hv1"), (("hv1", "hv2"), "")], ids=str
)
def test_a_third_host(dead: Sequence[str], source: str | None) -> None:
    """Gets no domain that two others have, unless the destination is dead; then the source decides, if it is not."""
    store = Store()
    attach(store, make_domain(OTHER), OTHER, "hv1")
    store.commit(migration.announce(store.observe(WEB), "hv2"))

    def find_state(host: str) -> AgentState:
        return AgentState.DEAD if host in dead else AgentState.ALIVE

    if source is None:
        with pytest.raises(PermissionDenied, match="and can't migrate to hv3"):
            request(store, "hv3", find_state)
        return
    assert request(store, "hv3", find_state) == source
    if source:
        with pytest.raises(FailedPrecondition, match="is migrating to hv2"):
            migration.confirm(DOMAIN, store.observe(WEB), "hv1", "hv3", NOW)
