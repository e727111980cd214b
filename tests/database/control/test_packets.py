"""Control hosts tell each other what they do with packets, and keep out by that who only has an address."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.base.deadline import Deadline
from ovnhook.control import trust
from ovnhook.control.trust import Trust
from ovnhook.databases.trust import TrustRow as Row
from ovnhook.ovsdb.connection import Database
from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.pki.members import CLOSING
from ovnhook.setup import authority
from ovnhook.setup.step import apply_steps
from tests.database.control_service import Control

ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")


@dataclass
class FencedHost:
    """A control host: its files, and what its kernel has."""

    address: str
    files: AuthorityFiles
    loaded: Path
    row: Row

    def start(self) -> Trust:
        """Its control service begins, perhaps anew."""
        made = Trust(self.row, self.files.folder, self.loaded, lambda *_: True)
        made.begin()
        return made

    def load(self) -> None:
        """What ovnhook-fence.service does."""
        self.loaded.mkdir(exist_ok=True)
        shutil.copyfile(self.files.ipsec, self.loaded / "loaded.ipsec")
        shutil.copyfile(self.files.fence, self.loaded / "loaded.nft")

    @property
    def secures(self) -> set[str]:
        """To whom it sends nothing that is not authenticated."""
        return set(re.findall(r"policy add src \S+ dst (\S+) proto tcp sport 6644 ", self.files.ipsec.read_text()))

    @property
    def trusts(self) -> set[str]:
        """By whose address alone it lets in."""
        found = re.findall(r"ip saddr { (.*) } tcp dport .* accept", self.files.fence.read_text())
        return {one for line in found for one in line.split(", ")}


@pytest.fixture
def hosts(control: Control, directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[FencedHost]:
    """Three with one authority, who meet at one database."""
    monkeypatch.setattr(trust, "_DATABASES", ())
    made: list[FencedHost] = []
    for number, address in enumerate(ADDRESSES, 1):
        files = AuthorityFiles(directory / f"c{number}")
        if made:
            files.folder.mkdir()
            for one in (made[0].files.own.key, made[0].files.own.certificate):
                shutil.copy(one, files.folder)
        apply_steps(authority.steps(files, f"c{number}", address), print)
        row = Row(Database(control.northbound.remote, "OVN_Northbound"))
        made.append(FencedHost(address, files, directory / f"c{number}.loaded", row))
    return made


def look(*services: Trust, times: int = 1) -> None:
    """Let control services look, one after the other."""
    for _ in range(times):
        for one in services:
            one.probe()
            one.update(Deadline.after(HANG))


def load(hosts: Sequence[FencedHost], services: Sequence[Trust], times: int) -> None:
    """Let hosts load what they are to, and all control services look, in turn."""
    for _ in range(times):
        for host in hosts:
            host.load()
        look(*services)


def test_one_after_the_other(hosts: list[FencedHost]) -> None:
    """Nobody has to authenticate before all is there that it takes; then nobody's address is enough any more."""
    services = [host.start() for host in hosts]
    look(*services)
    assert [host.secures for host in hosts] == [set()] * 3
    assert [host.trusts for host in hosts] == [{*ADDRESSES} - {host.address} for host in hosts]
    assert hosts[0].files.ipsec.stat().st_mode & 0o777 == keyfiles.SECRET

    hosts[0].load()  # the others are of an earlier version, or their kernel can't
    look(*services, times=2)
    assert [host.secures for host in hosts] == [set()] * 3  # nobody has seen that authenticated packets pass
    assert [host.trusts for host in hosts] == [{*ADDRESSES} - {host.address} for host in hosts]

    load(hosts[:2], services, 5)
    assert hosts[0].secures == {ADDRESSES[1]}
    assert [host.trusts for host in hosts] == [{ADDRESSES[2]}, {ADDRESSES[2]}, {ADDRESSES[0], ADDRESSES[1]}]

    load(hosts, services, 5)
    assert [host.secures for host in hosts] == [{*ADDRESSES} - {host.address} for host in hosts]
    assert [host.trusts for host in hosts] == [set()] * 3


def test_nobody_takes_it_back(hosts: list[FencedHost]) -> None:
    """Neither who deletes what was said, nor who brings back what the row had before, nor a host that starts anew."""
    services = [host.start() for host in hosts]
    look(*services)
    before = hosts[0].row.read(Deadline.after(HANG))
    load(hosts, services, 6)
    told = hosts[0].row.read(Deadline.after(HANG))
    hosts[0].row.change(before, Deadline.after(HANG), drop=told.keys() - before.keys())
    look(services[1])
    assert [host.trusts for host in hosts] == [set()] * 3
    assert hosts[0].row.read(Deadline.after(HANG)).keys() == told.keys()
    shutil.rmtree(hosts[1].loaded)  # it was off
    services[1] = hosts[1].start()
    look(services[1])
    assert hosts[1].trusts == set()
    assert hosts[1].secures == {ADDRESSES[0], ADDRESSES[2]}


def test_one_that_is_removed_and_comes_back_with_another_key(hosts: list[FencedHost]) -> None:
    """Its address is rejected meanwhile, and then accepted without authentication until the host announces it."""
    services = [host.start() for host in hosts]
    look(*services)
    load(hosts, services, 6)
    mark = x509.key_id(hosts[2].files.databases.certificate.read_bytes())
    services[0].change({}, Deadline.after(HANG), revoked=[mark])
    look(services[1])
    assert [ADDRESSES[2] in host.files.ipsec.read_text() for host in hosts[:2]] == [False, False]
    assert [host.trusts for host in hosts[:2]] == [set(), set()]
    left = hosts[0].row.read(Deadline.after(HANG))
    assert [key for key in left if key.endswith(mark) and not key.startswith("gone ")] == []

    shutil.rmtree(hosts[2].files.folder)
    hosts[2].files.folder.mkdir()
    for one in (hosts[0].files.own.key, hosts[0].files.own.certificate):
        shutil.copy(one, hosts[2].files.folder)
    apply_steps(authority.steps(hosts[2].files, "c3", ADDRESSES[2]), print)
    shutil.rmtree(hosts[2].loaded)
    services[2] = hosts[2].start()
    look(*services)
    assert [host.trusts for host in hosts] == [{ADDRESSES[2]}, {ADDRESSES[2]}, {ADDRESSES[0], ADDRESSES[1]}]
    load(hosts, services, 6)
    assert [host.trusts for host in hosts] == [set()] * 3


def test_all_of_them_close_the_northbound_database(hosts: list[FencedHost]) -> None:
    """When one of them has found that all nodes use the API, and also the one that was off then."""
    services = [host.start() for host in hosts[:2]]
    look(*services, times=2)
    services[0].change(CLOSING, Deadline.after(HANG))
    look(*services)
    services.append(hosts[2].start())
    for host in hosts:
        assert not host.files.serves_nodes
        assert "tcp dport 6641 drop" in host.files.fence.read_text()
