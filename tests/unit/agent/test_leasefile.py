"""libvirt's file of leases: what is in it, and when it is written."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from uuid import UUID

import pytest
from netaddr import IPAddress

from lab.waiting import HANG
from ovnhook.agent import leasefile
from ovnhook.agent.leasefile import LeaseFile, content
from ovnhook.base.config import Config
from ovnhook.base.errors import Unavailable
from ovnhook.domains.inventory import Inventory
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
MAC = "52:54:00:00:00:01"
ADDRESSES = (IPAddress("10.1.0.5"), IPAddress("fd00::5"))
PORT = Port("if-1", "blue", MAC, ADDRESSES, WEB, "web1", "hv1")
LEASES = [Lease("blue", address, WEB, "web1", MAC, "www", "hv1", "") for address in ADDRESSES]
OFF = Lease("blue", IPAddress("10.1.0.6"), WEB, "web1", "52:54:00:00:00:02", "www", "hv1", "")
"""Of an interface that is not plugged in."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the file, on a host with libvirt."""
    monkeypatch.setattr(leasefile, "FOLDER", tmp_path / "libvirt" / "dnsmasq")
    (tmp_path / "libvirt").mkdir()
    return tmp_path / "libvirt" / "dnsmasq" / "br-int.status"


def unavailable() -> Inventory:
    """No view of the host."""
    raise Unavailable("the control service does not answer")


def test_addresses_of_the_ports_of_a_host() -> None:
    found = json.loads(content(Inventory.of("hv1", [PORT, *LEASES, OFF])))
    assert [(one["ip-address"], one["mac-address"], one["hostname"]) for one in found] == [
        ("10.1.0.5", MAC, "www"),
        ("fd00::5", MAC, "www"),
    ]
    assert all(one["expiry-time"] > 0 for one in found)  # virsh shows 0 as 1970
    (first, _) = json.loads(content(Inventory.of("hv1", [PORT])))
    assert "hostname" not in first
    assert json.loads(content(Inventory())) == []


def test_the_file_follows_the_ports(path: Path) -> None:
    inventory = Inventory.of("hv1", [PORT, *LEASES])
    file = LeaseFile(Config(), lambda: inventory, lambda: None)
    file.update()
    assert path.read_text() == content(inventory)
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755
    before = path.stat()
    file.update()
    assert path.stat().st_ino == before.st_ino  # not written again
    path.unlink()  # as libvirt does
    file.update()
    assert path.read_text() == content(inventory)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    LeaseFile(Config(), unavailable, lambda: None).update()
    assert path.read_text() == content(inventory)  # as it was known last
    LeaseFile(Config(libvirt_leases=False), unavailable, lambda: None).update()
    assert not path.exists()


def test_a_host_without_libvirt_gets_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasefile, "FOLDER", tmp_path / "libvirt" / "dnsmasq")
    LeaseFile(Config(), Inventory, lambda: None).update()
    assert list(tmp_path.iterdir()) == []


def test_changes_are_collected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many guests may start at once; the end of the agent does not wait for more."""
    monkeypatch.setattr(leasefile, "_BATCH", HANG)
    written = threading.Semaphore(0)

    def inventory() -> Inventory:
        written.release()
        return Inventory()

    file = LeaseFile(Config(), inventory, lambda: None)
    thread = threading.Thread(target=file.run)
    thread.start()
    assert written.acquire(timeout=HANG)
    file.wake()
    file.stop()
    thread.join(HANG)
    assert not thread.is_alive()
    assert not written.acquire(blocking=False)
