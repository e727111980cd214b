"""Rows of domains that somebody has changed so that they contradict each other: repaired by the control service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ovnhook.base import uuids
from ovnhook.base.errors import Conflict
from ovnhook.control import consistency
from ovnhook.control.server import ControlServer
from ovnhook.databases.northbound import Northbound
from ovnhook.diagnosis import consistency as checks
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import as_map, as_set
from tests.database.control_service import MAC, Control
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import soon
from tests.database.our_rows import delete, names, state
from tests.database.ovsdb_server import wait_for, wait_for_scans

SECOND, THIRD = "52:54:00:00:00:02", "52:54:00:00:00:03"


@pytest.fixture
def cloud(control: Control, monkeypatch: pytest.MonkeyPatch) -> Control:
    """A control service, a subnet with a DNS domain, a domain that runs and one that is off."""
    monkeypatch.setattr(checks, "_GRACE_PERIOD", 0.0)
    control.done("subnet", "create", "blue", "10.1.0.0/24", "--default", "--domain", "lab.example")
    control.attach("web1", "blue", "10.1.0.20")
    control.stop(control.attach("mail", "blue", "10.1.0.21", mac=SECOND))
    return control


def change(control: Control, table: str, row: Any, *mutations: Any) -> None:
    """Change a row by hand."""
    where = [["_uuid", "==", ["uuid", str(row)]]]
    (done,) = control.northbound.transact({"op": "mutate", "table": table, "where": where, "mutations": [*mutations]})
    assert done["count"] == 1


def records(control: Control, *gone: str, **come: str) -> None:
    """Change DNS records by hand."""
    row = uuids.dns_records("blue")
    change(control, "DNS", row, ["records", "delete", as_set(gone)], ["records", "insert", as_map(come)])


def stray_lease(control: Control) -> None:
    """Add a lease that no lease index lists."""
    lease = {**control.northbound.dump()["DNS"][str(uuids.lease("blue", "10.1.0.20"))]}
    ids = {**dict(lease["external_ids"][1]), "ovnhook:domain": str(uuids.switch("gone")), "ovnhook:mac": THIRD}
    row = {"records": as_map({"gone": "10.1.0.50"}), "external_ids": as_map(ids)}
    uuid = str(uuids.lease("blue", "10.1.0.50"))
    control.northbound.transact({"op": "insert", "table": "DNS", "uuid": uuid, "row": row})


def dns(uuid: Any) -> str:
    """Row of the table DNS, as `delete` expects it."""
    return f"DNS {uuid}"


ACCIDENTS: dict[str, Callable[[Control], object]] = {
    "record deleted": lambda control: records(control, "web1"),
    "reverse record deleted": lambda control: records(control, "20.0.1.10.in-addr.arpa"),
    "records of a domain that is off": lambda control: records(control, "mail", "mail.lab.example"),
    "record changed": lambda control: records(control, "web1", web1="10.1.0.99"),
    "record of no lease": lambda control: records(control, stray="10.1.0.99"),
    "all records deleted": lambda control: change(
        control, "DNS", uuids.dns_records("blue"), ["records", "delete", as_map(names(control, "blue"))]
    ),
    "row of the records deleted": lambda control: delete(control, dns(uuids.dns_records("blue"))),
    "reservation deleted": lambda control: delete(control, dns(uuids.claim("blue", MAC))),
    "lease of no domain": stray_lease,
    "reservation of another": lambda control: change(
        control,
        "DNS",
        uuids.claim("blue", MAC),
        ["external_ids", "delete", as_set(["ovnhook:domain"])],
        ["external_ids", "insert", as_map({"ovnhook:domain": str(uuids.switch("gone"))})],
    ),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_every_accident_is_repaired(cloud: Control, accident: str, caplog: pytest.LogCaptureFixture) -> None:
    """By a running control service, in seconds; the log says what it was."""
    caplog.set_level(logging.WARNING, "ovnhook.control")
    before = state(cloud)
    ACCIDENTS[accident](cloud)
    assert state(cloud) != before
    wait_for(lambda: state(cloud) == before)
    wait_for(lambda: "repaired in OVN_Northbound: " in caplog.text)
    assert "not repaired" not in caplog.text


def test_several_control_services(cloud: Control, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Repair at once, and each thing once."""
    caplog.set_level(logging.WARNING, "ovnhook.control.consistency")
    others = [ControlServer(directory / "run" / f"{number}.sock", cloud.config) for number in range(2)]
    for other in others:
        other.start()
    try:
        before = state(cloud)
        for _ in range(3):
            for accident in ("record deleted", "record of no lease", "reservation deleted", "lease of no domain"):
                ACCIDENTS[accident](cloud)
            wait_for(lambda: state(cloud) == before)
        assert caplog.text.count("repaired in OVN_Northbound: DNS record stray of subnet blue") == 3
    finally:
        for other in others:
            other.stop()


def test_nothing_is_written_without_need(cloud: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor read: all values are in memory."""
    monkeypatch.setattr(consistency, "_FULL_INTERVAL", 0.0)
    before = cloud.northbound.dump(versions=True)
    seen: list[object] = []
    monkeypatch.setattr(cloud.service._consistency, "_northbound", seen)  # which has no methods
    wait_for_scans(cloud.service._consistency.loop, "take_step")
    assert cloud.service._consistency._seen == {}
    assert cloud.northbound.dump(versions=True) == before


def start(control: Control, name: str, address: str, mac: str) -> Domain:
    """Start a domain."""
    return control.attach(name, "blue", address, mac)


def set_hostname(control: Control) -> None:
    """Rename a domain's lease by its definition."""
    renamed = Domain(uuids.switch("mail"), "post", macs=(SECOND,), hostnames=((SECOND, "post"),))
    DirectHost(control.config).update_leases(renamed, soon())


RACES: dict[str, tuple[str, Callable[[Control], object]]] = {
    "released": (
        "records of a domain that is off",
        lambda control: DirectHost(control.config).release_leases(uuids.switch("mail"), soon()),
    ),
    "renamed": ("records of a domain that is off", set_hostname),
    "another DNS domain": (
        "records of a domain that is off",
        lambda control: control.done("subnet", "set", "blue", "--domain", "other.example"),
    ),
    "leased": ("record of no lease", lambda control: start(control, "new", "10.1.0.99", THIRD)),
    "detached": (
        "reservation deleted",
        lambda control: control.stop(Domain(uuids.switch("web1"), "web1", macs=(MAC,))),
    ),
    "started": ("lease of no domain", lambda control: start(control, "gone", "10.1.0.50", THIRD)),
}


@pytest.mark.parametrize("race", RACES)
def test_an_operation_that_comes_first(cloud: Control, race: str) -> None:
    """Wins: the repair is of what was there before, and fails."""
    accident, operation = RACES[race]
    cloud.service._consistency.loop.stop(soon())
    feed = cloud.service.hosts
    ACCIDENTS[accident](cloud)
    wait_for(feed.inconsistencies)
    keys = [*(feed.inconsistencies() or ())]
    repaired, changes = feed.repairs(keys)
    assert repaired == keys
    operation(cloud)
    before = cloud.northbound.dump(versions=True)
    northbound = Northbound(cloud.northbound.remote)
    with pytest.raises(Conflict):
        northbound.commit(changes, soon())
    assert cloud.northbound.dump(versions=True) == before


def test_what_is_not_repaired(
    cloud: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Is logged once and reported by status, and keeps nothing else from being repaired."""
    caplog.set_level(logging.INFO, "ovnhook.control.consistency")
    monkeypatch.setattr(consistency, "_MAX_DELAY", 0.0)
    commit = Northbound.commit

    def fail(northbound: Northbound, changes: Any, deadline: Any) -> None:
        if "mail" in str([one.operations for one in changes]):
            raise Conflict("it was changed")
        commit(northbound, changes, deadline)

    monkeypatch.setattr(Northbound, "commit", fail)
    records(cloud, "mail", "web1")
    what = f"domain mail: interface {SECOND}: DNS record mail of subnet blue is missing"
    wait_for(lambda: what in cloud.ovnhook("status").out)
    assert names(cloud, "blue")["web1"] == "10.1.0.20"
    assert caplog.text.count(f"not repaired: {what}") == 1
    monkeypatch.setattr(Northbound, "commit", commit)
    wait_for(lambda: what not in cloud.ovnhook("status").out)
    assert "mail" in names(cloud, "blue")


def test_many_at_once(cloud: Control, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are repaired in few transactions, and not all are logged."""
    monkeypatch.setattr(consistency, "_BATCH", 30)
    caplog.set_level(logging.WARNING, "ovnhook.control.consistency")
    before = names(cloud, "blue")
    records(cloud, **{f"stray{number}": f"10.1.0.{number}" for number in range(100, 200)})
    wait_for(lambda: names(cloud, "blue") == before)
    wait_for(lambda: "repaired in OVN_Northbound: 10 more rows" in caplog.text)
