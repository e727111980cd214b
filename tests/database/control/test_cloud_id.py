"""The id of a cloud, and what others see outside that is derived from it: made once, by one of several services."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ovnhook.base import uuids
from ovnhook.control import server
from tests.database.control_service import Control
from tests.database.ovsdb_server import run, wait_for
from tests.database.southbound_rows import add_chassis

OUTSIDE = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", "203.0.113.254")
LEGACY = uuids.external_mac(None, "gateway")


def cloud_id(control: Control) -> str:
    """The id in the registry, or ""."""
    return str(dict(control.northbound.dump()["DNS"][str(uuids.REGISTRY)]["records"][1]).get("cloud", ""))


def port(control: Control) -> dict[str, Any]:
    """The router's external gateway port."""
    rows = control.northbound.dump()["Logical_Router_Port"].values()
    return next(row for row in rows if row["name"] == "external:gateway")


def peer(control: Control) -> str:
    """The name of its peer, by which its addresses are announced."""
    rows = control.northbound.dump()["Logical_Switch_Port"].values()
    return next(str(row["name"]) for row in rows if row["name"].startswith("outside:gateway"))


def make_legacy(control: Control) -> None:
    """Let the rows be as versions without an id of the cloud wrote them."""
    nbctl = ["ovn-nbctl", "--no-leader-only", f"--db={control.northbound.remote}"]
    run(
        *nbctl,
        *("--", "clear", "DNS", str(uuids.REGISTRY), "records"),
        *("--", "remove", "Logical_Router", str(uuids.router("gateway")), "external_ids", '"ovnhook:mac"'),
        *("--", "set", "Logical_Router_Port", "external:gateway", f'mac="{LEGACY}"'),
        *("--", "set", "Logical_Switch_Port", peer(control), 'name="outside:gateway"'),
    )


def test_made_when_it_is_needed(control: Control) -> None:
    """With the first external gateway; it stays when that is set, taken away and made again."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    assert cloud_id(control) == ""
    control.done("router", "set", "gateway", *OUTSIDE)
    made = cloud_id(control)
    mac = uuids.external_mac(UUID(made), "gateway")
    assert mac != LEGACY
    assert (port(control)["mac"], peer(control)) == (mac, f"outside:gateway:{mac}")
    control.done("router", "set", "gateway", "--address", "203.0.113.11/24")
    assert (cloud_id(control), port(control)["mac"]) == (made, mac)
    control.done("router", "set", "gateway", "--no-external")
    control.done("subnet", "create", "green", "10.2.0.0/24", "--default")
    control.done("router", "set", "gateway", *OUTSIDE)
    assert (cloud_id(control), port(control)["mac"]) == (made, mac)


def test_an_existing_cloud_is_given_one(control: Control, directory: Path) -> None:
    """By one of two services that look at the same time; both agree, and nothing is written afterwards."""
    add_chassis(control.southbound, "gw1")
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("router", "set", "gateway", *OUTSIDE)
    first = cloud_id(control)
    other = server.ControlServer(directory / "other" / "control.sock", control.config)
    try:
        for _ in range(3):
            make_legacy(control)
            wait_for(lambda: cloud_id(control) not in ("", first))  # noqa: B023
            first = cloud_id(control)
            mac = uuids.external_mac(UUID(first), "gateway")
            assert (port(control)["mac"], peer(control)) == (mac, f"outside:gateway:{mac}")
    finally:
        other.stop()
    before = control.northbound.dump(versions=True)
    control.done("router", "set", "gateway", *OUTSIDE)
    assert control.northbound.dump(versions=True) == before


def test_a_copy_of_a_cloud(control: Control) -> None:
    """Its id taken away, as the how-to says, it is given another one, and its routers other MAC addresses."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("router", "set", "gateway", *OUTSIDE)
    before = cloud_id(control), port(control)["mac"]
    nbctl = ["ovn-nbctl", "--no-leader-only", f"--db={control.northbound.remote}"]
    run(*nbctl, "remove", "DNS", str(uuids.REGISTRY), "records", "cloud")
    wait_for(lambda: cloud_id(control) not in ("", before[0]) and port(control)["mac"] != before[1])


@pytest.mark.parametrize("mac", ["", "52:54:00:00:00:01"])
def test_a_row_of_an_earlier_version_beside_an_id(control: Control, mac: str) -> None:
    """An older control service writes the router's row without the address: it is put right again."""
    control.done("subnet", "create", "blue", "10.1.0.0/24")
    control.done("router", "set", "gateway", *OUTSIDE)
    before = port(control)["mac"]
    nbctl = ["ovn-nbctl", "--no-leader-only", f"--db={control.northbound.remote}"]
    router = str(uuids.router("gateway"))
    change = ["set", "Logical_Router", router, f'external_ids:ovnhook\\:mac="{mac}"']
    run(*nbctl, *(change if mac else ["remove", "Logical_Router", router, "external_ids", '"ovnhook:mac"']))

    def said() -> str:
        ids = dict(control.northbound.dump()["Logical_Router"][router]["external_ids"][1])
        return str(ids.get("ovnhook:mac", ""))

    wait_for(lambda: said() == before)
    assert port(control)["mac"] == before
