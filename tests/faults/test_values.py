"""The matrix's own judgement: which cells there are, what differs from what is wanted, and what the page says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults import results
from tests.faults.invariants import (
    ObservedCloud,
    ObservedLease,
    ObservedPort,
    ObservedTap,
    RunningInterface,
    differences,
)
from tests.faults.matrix import (
    CELLS,
    FAILURES,
    FOREIGN,
    MOMENTS,
    OPERATIONS,
    OWN,
    REFUSALS,
    SHORT,
    TRAFFIC,
    Cell,
    Component,
    Fault,
    Situation,
    Traffic,
)

INTERFACE = RunningInterface("hv1", "uuid1", "web1", "52:54:00:00:00:01", "vnet0")
PORT = ObservedPort(
    name="id1",
    domain="uuid1",
    mac=INTERFACE.mac,
    host="hv1",
    requested="hv1",
    moving=False,
    addresses=f"{INTERFACE.mac} 10.0.0.2",
    dhcp=True,
    chassis="hv1",
    up=True,
)
LEASE = ObservedLease("10.0.0.2", "uuid1", INTERFACE.mac)
TAP = ObservedTap("hv1", "vnet0", "id1", "uuid1")
GOOD = ObservedCloud((INTERFACE,), frozenset({"uuid1"}), (PORT,), (LEASE,), ("uuid1",), (TAP,), frozenset({"10.0.0.2"}))
STOPPED = replace(GOOD, interfaces=(), ports=(), taps=(), named=frozenset())


def test_the_short_selection_has_every_row_and_every_column() -> None:
    """A part, a fault or an operation that is added is run by the tests too; of rows and moments some are enough."""
    assert {cell.part for cell in SHORT} >= set(Component) - FOREIGN - OWN
    assert {cell.fault for cell in SHORT} == set(Fault)
    assert {cell.situation for cell in SHORT} >= set(OPERATIONS)
    assert {cell.situation.operation for cell in SHORT if cell.situation in MOMENTS} == {
        moment.operation for moment in MOMENTS
    }
    assert all(cell.same_as == cell and cell in CELLS for cell in SHORT)


def test_cells_that_are_another_one_are_run_once() -> None:
    """Each cell leads to one that is itself, with the same fault and the same expectations."""
    for cell in CELLS:
        assert cell.same_as.same_as == cell.same_as
        assert (cell.fault, cell.step) == (cell.same_as.fault, cell.same_as.step)
        assert cell.traffic == cell.same_as.traffic
        assert cell.may_fail == cell.same_as.may_fail


def test_every_exception_has_its_reason() -> None:
    """Where traffic may stop or an operation may fail the page says why."""
    assert all(why and traffic is not Traffic.KEPT for traffic, why in TRAFFIC.values())
    assert all(FAILURES.values())
    assert all(REFUSALS.values())


@pytest.mark.parametrize("cloud", [GOOD, STOPPED], ids=["running", "stopped"])
def test_what_is_wanted(cloud: ObservedCloud) -> None:
    """A domain that runs has everything, one that is only defined keeps its lease."""
    assert differences(cloud) == []


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda good: replace(good, ports=()), "has no port"),
        (lambda good: replace(good, taps=()), "tap vnet0 is None, not id1"),
        (lambda good: replace(good, taps=(replace(TAP, iface_id="id2"),)), "tap vnet0 is id2, not id1"),
        (lambda good: replace(good, ports=(replace(PORT, requested="hv1,hv2", moving=True),)), "and is moving"),
        (lambda good: replace(good, ports=(replace(PORT, host="hv2"),)), "its port is hv2's"),
        (lambda good: replace(good, ports=(replace(PORT, chassis="hv2"),)), "bound on hv2"),
        (lambda good: replace(good, ports=(replace(PORT, up=False),)), "down"),
        (lambda good: replace(good, ports=(replace(PORT, dhcp=False),)), "no DHCP options"),
        (lambda good: replace(good, leases=(replace(LEASE, address="10.0.0.3"),)), "its lease is 10.0.0.3"),
        (lambda good: replace(good, named=frozenset()), "no name leads to 10.0.0.2"),
        (lambda good: replace(good, named=good.named | {"10.0.0.9"}), "a name leads to 10.0.0.9"),
        (lambda _: replace(STOPPED, ports=(PORT,)), "its domain does not run"),
        (lambda _: replace(STOPPED, taps=(TAP,)), "does not run there"),
        (lambda _: replace(STOPPED, known=frozenset()), "which does not exist"),
        (lambda _: replace(STOPPED, known=frozenset(), leases=()), "holds something, and does not exist"),
        (lambda good: replace(good, leases=(LEASE, replace(LEASE, domain="uuid2"))), "one address twice: 10.0.0.2"),
        (lambda good: replace(good, interfaces=(INTERFACE, replace(INTERFACE, host="hv2"))), "runs twice: uuid1"),
    ],
)
def test_what_differs_is_told(break_it: Callable[[ObservedCloud], ObservedCloud], said: str) -> None:
    """Each thing that can be wrong is seen."""
    assert said in "\n".join(differences(break_it(GOOD)))


def test_the_page_is_what_the_results_say() -> None:
    """Neither was written by hand."""
    assert results.PAGE.read_text(encoding="utf-8") == results.render(results.read())


def test_the_page_has_a_mark_for_each_cell() -> None:
    """Holds, does not and why, has not been run; and the same as another."""
    good, bad = Cell(Component.NB, Fault.CUT, Situation.IDLE), Cell(Component.OVS_DB, Fault.PAUSE, Situation.START)
    page = results.render(
        {
            cell.name: results.Result(cell.name, wrong, "x")
            for cell, wrong in ((good, ()), (bad, ("broken `so`\nand so",)))
        }
    )
    assert "| northbound database | ✓ | · | · | · | kept |" in page
    assert "| southbound database | (✓) | · | · | · | kept |" in page
    assert "| ovsdb-server (OVS) | · | ✗ | · | · | kept |" in page
    assert "### ovs-db-pause-start\n\n- `broken 'so' and so`\n" in page
    assert "1 of 2 cells passed" in page
