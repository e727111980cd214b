"""What concerns each host: which names it knows, and that changes add up to the whole."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.control import hostindex
from ovnhook.control.hostindex import EVERYWHERE, HostIndex
from ovnhook.control.rowvalues import ValueChange
from ovnhook.resources.hostvalues import HostSubnet
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port
from ovnhook.resources.subnet.values import Subnet

HOSTS = ("hv1", "hv2", "hv3")


def subnet(number: int, router: str = "gateway", *, isolated: bool = False) -> Subnet:
    """A subnet."""
    network = IPNetwork(f"10.{number}.0.0/16")
    return Subnet(f"net{number}", network, IPAddress(network.first + 1), router, isolated=isolated)


def port(domain: int, number: int, host: str, moving_to: str = "") -> Port:
    """A port of a domain in a subnet."""
    return Port(f"port{domain}", f"net{number}", f"{domain}", (), UUID(int=domain), "web", host, moving_to=moving_to)


def lease(domain: int, number: int, hostname: str, host: str = "hv1") -> Lease:
    """A lease of a domain in a subnet."""
    address = IPAddress(f"10.{number}.{domain // 250}.{domain % 250 + 2}")
    return Lease(f"net{number}", address, UUID(int=domain), "web", f"{domain}", hostname, host, "")


class FollowedRows:
    """Rows, the index of them, and what each host has received.

    Args:
        values: of the first rows.
    """

    def __init__(self, *values: Any) -> None:
        self.index = HostIndex("1")
        self.values = {str(one.uuid): one for one in values}
        self.index.load([ValueChange(uuid, None, one) for uuid, one in self.values.items()])
        self.known: dict[str, dict[str, api.HostObject]] = {host: {} for host in HOSTS}
        self.revisions = dict.fromkeys(HOSTS, "")
        for host in HOSTS:
            self.resume(host)

    def resume(self, host: str) -> None:
        """Open the stream of a host again."""
        self._receive(host, self.index.updates(host, self.revisions[host]), is_exact=False)

    def change(self, *new: Any, gone: Sequence[Any] = (), watching: Sequence[str] = HOSTS) -> dict[str, list[str]]:
        """Change rows in a transaction, and return what hosts receive that follow it."""
        before = self.values.copy()
        self.values |= {str(one.uuid): one for one in new}
        for one in gone:
            del self.values[str(one.uuid)]
        uuids = [str(one.uuid) for one in (*new, *gone)]
        hosts, names = self.index.apply([ValueChange(id, before.get(id), self.values.get(id)) for id in uuids])
        assert not hosts & names
        concerned = [host for host in watching if host in hosts | names or EVERYWHERE in hosts]
        return {host: self._receive(host, self.index.updates(host, self.revisions[host])) for host in concerned}

    def names(self, host: str) -> list[str]:
        """Host names that a host knows."""
        return sorted(one.name.hostname for one in self.known[host].values() if one.WhichOneof("object") == "name")

    def expected_names(self, host: str) -> list[str]:
        """Host names that it has to know."""
        scopes = {one.name: HostSubnet.of(one).scope for one in self.of(Subnet)}
        ports = [one for one in self.of(Port) if host in (one.host, one.moving_to)]
        used = {scopes[one.subnet] for one in ports if one.subnet in scopes}
        return sorted(one.hostname for one in self.of(Lease) if scopes.get(one.subnet) in used)

    def of(self, kind: type) -> list[Any]:
        """All values of a type."""
        return [one for one in self.values.values() if isinstance(one, kind)]

    def check(self) -> None:
        """Assert that each host knows what it has to know, and what a new stream begins with."""
        for host in HOSTS:
            assert self.names(host) == self.expected_names(host)
            objects = [one for update in self.index.updates(host, "") for one in update.objects]
            assert {one.id: one for one in objects} == self.known[host]
            assert len(objects) == len(self.known[host])

    def _receive(self, host: str, updates: Iterable[api.HostUpdate], *, is_exact: bool = True) -> list[str]:
        """Receive updates; return the names of changed objects. Exact ones withdraw only what is known."""
        known, found = self.known[host], []
        for update in updates:
            if update.full:
                known.clear()
            for one in update.objects:
                kind = one.WhichOneof("object")
                if kind:
                    assert not is_exact or known.get(one.id) != one
                    known[one.id] = one
                    found.append(f"{kind} {one.name.hostname}" if kind == "name" else kind)
                elif is_exact and one.id in known:
                    was = known.pop(one.id)
                    found.append(f"no {was.name.hostname or was.WhichOneof('object')}")
                else:
                    known.pop(one.id, None)
            self.revisions[host] = update.revision
        return sorted(found)


@pytest.fixture
def rows() -> FollowedRows:
    """Two subnets on a router, one isolated and one without a router, each with a name; hv1 has the leases."""
    some = (subnet(1), subnet(2), subnet(3, isolated=True), subnet(4, ""))
    return FollowedRows(*some, *(lease(number, number, f"web{number}") for number in range(1, 5)))


def test_names_of_a_scope(rows: FollowedRows) -> None:
    """A host gets them with its first port there, and knows none after its last one."""
    assert rows.names("hv1") == []
    assert rows.change(port(1, 1, "hv1")) == {"hv1": ["name web1", "name web2", "port"]}
    assert rows.change(port(9, 2, "hv1")) == {"hv1": ["port"]}
    assert rows.change(port(3, 3, "hv2"), port(4, 4, "hv2")) == {"hv2": ["name web3", "name web4", "port", "port"]}
    assert rows.change(gone=[port(1, 1, "hv1")]) == {"hv1": ["no port"]}
    assert rows.change(gone=[port(9, 2, "hv1")]) == {"hv1": ["no port", "no web1", "no web2"]}
    rows.check()


def test_who_is_told(rows: FollowedRows) -> None:
    """Of names that come, change and go, the hosts with ports in the scope; others receive nothing."""
    rows.change(port(1, 1, "hv1"), port(2, 2, "hv2"), port(4, 4, "hv3"))
    assert rows.change(lease(7, 1, "mail")) == {"hv1": ["lease", "name mail"], "hv2": ["name mail"]}
    assert rows.change(lease(7, 1, "post")) == {"hv1": ["lease", "name post"], "hv2": ["name post"]}
    assert rows.change(lease(7, 1, "post", "hv3")) == {"hv1": ["no lease"], "hv3": ["lease"]}  # the same name
    assert rows.change(replace(lease(7, 1, "post", "hv3"), run="hv3/2")) == {}
    assert rows.change(gone=[lease(7, 1, "post", "hv3")]) == {
        "hv1": ["no post"],
        "hv2": ["no post"],
        "hv3": ["no lease"],
    }
    other = lease(8, 2, "post")  # another address
    assert rows.change(lease(7, 1, "old"), other)["hv2"] == ["name old", "name post"]
    assert rows.change(other, gone=[lease(7, 1, "old")])["hv2"] == ["no old"]
    rows.check()


def test_names_that_are_collected(rows: FollowedRows) -> None:
    """One update has the last state of each; a transaction that concerns the host brings those before it, too."""
    rows.change(port(1, 1, "hv1"), port(2, 2, "hv2"))
    for hostname in ("a", "b"):
        rows.change(lease(7, 1, hostname, "hv3"), lease(8, 1, "gone", "hv3"), watching=("hv1", "hv3"))
    rows.change(lease(9, 1, "c", "hv3"), gone=[lease(8, 1, "gone", "hv3")], watching=("hv1", "hv3"))
    (update,) = rows.index.updates("hv2", rows.revisions["hv2"])
    assert sorted(one.name.hostname for one in update.objects) == ["", "b", "c"]
    rows.change(port(5, 2, "hv2"))
    assert rows.names("hv2") == ["b", "c", "web1", "web2"]
    rows.check()


def test_a_migration(rows: FollowedRows) -> None:
    """The destination knows the names before the guest is there, and the source until it has left."""
    rows.change(port(1, 1, "hv1"))
    assert rows.change(port(1, 1, "hv1", "hv2")) == {"hv1": ["port"], "hv2": ["name web1", "name web2", "port"]}
    assert rows.change(port(1, 1, "hv2")) == {"hv1": ["no port", "no web1", "no web2"], "hv2": ["port"]}
    rows.check()


def test_a_subnet_that_changes(rows: FollowedRows) -> None:
    """A router that is set, one that is removed, isolation: names come and go, those that stay are not sent again."""
    rows.change(port(1, 1, "hv1"), port(4, 4, "hv2"))
    assert rows.change(subnet(4))["hv1"] == ["name web4", "subnet"]
    assert rows.names("hv2") == ["web1", "web2", "web4"]
    assert rows.change(subnet(1, "other"))["hv1"] == ["no web2", "no web4", "subnet"]
    assert rows.names("hv2") == ["web2", "web4"]
    assert rows.change(subnet(3), subnet(4, isolated=True))["hv2"] == ["no web2", "subnet", "subnet"]
    assert rows.change(subnet(1, "renamed"))["hv1"] == ["subnet"]
    assert rows.change(gone=[subnet(1, "renamed")])["hv1"] == ["no subnet", "no web1"]
    rows.check()


def test_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent in parts, to the host that gets to know them; no other one has to read everything for that."""
    monkeypatch.setattr(hostindex, "_PART", 100)
    monkeypatch.setattr(hostindex, "_RECENT", 300)
    rows = FollowedRows(subnet(1), *(lease(number, 1, f"web{number}", "") for number in range(1000)))
    rows.change(port(1, 1, "hv1"), watching=())
    rows.change(port(2, 1, "hv2"), watching=())
    joined = [*rows.index.updates("hv2", rows.revisions["hv2"])]
    assert [len(update.objects) for update in joined] == [100] * 10 + [2]
    assert [update.full for update in joined] == [True] + [False] * 10
    assert [bool(update.revision) for update in joined] == [False] * 10 + [True]
    (other,) = rows.index.updates("hv3", rows.revisions["hv3"])
    assert (other.full, len(other.objects)) == (False, 0)
    (none,) = rows.index.updates("hv2", joined[-1].revision)
    assert (none.full, len(none.objects)) == (False, 0)


@pytest.mark.parametrize("seed", range(30))
def test_random_changes(seed: int) -> None:
    """What hosts receive adds up, also with streams that are resumed."""
    choose = random.Random(seed)
    rows = FollowedRows()
    away: set[str] = set()
    for _ in range(150):
        new: dict[str, Any] = {}
        for _ in range(choose.randint(1, 4)):
            number, domain, host = choose.randint(1, 4), choose.randint(1, 6), choose.choice(HOSTS)
            one = choose.choice(
                (
                    subnet(number, choose.choice(("", "gateway", "other")), isolated=choose.random() < 0.3),
                    port(domain, number, host, choose.choice(("", "", *HOSTS))),
                    lease(domain, number, choose.choice(("web", "mail")), host),
                )
            )
            new[str(one.uuid)] = one
        gone = [uuid for uuid in new if uuid in rows.values and choose.random() < 0.4]
        there = [host for host in HOSTS if host not in away]
        rows.change(
            *(one for uuid, one in new.items() if uuid not in gone),
            gone=[rows.values[uuid] for uuid in gone],
            watching=there,
        )
        for host in HOSTS:
            if host in away and choose.random() < 0.5:
                away.remove(host)
                rows.resume(host)
            elif choose.random() < 0.1:
                away.add(host)
        if not away:
            rows.check()
