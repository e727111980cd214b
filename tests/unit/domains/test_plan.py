"""The plan, against a store of rows in memory that carries out changes as the database does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import NotFound
from ovnhook.domains import choice, migration, plan
from ovnhook.domains.choice import Placement
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.kind import Change, Need, Put, puts
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.kind import CLAIM, PORT
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import names
from ovnhook.resources.subnet.kind import NAMES, SUBNET
from ovnhook.resources.subnet.values import Names, Subnet

SUBNETS = {
    name: Subnet(name, IPNetwork(f"10.{n}.0.0/24"), IPAddress(f"10.{n}.0.1"), dns_domain=f"{name}.example" if n else "")
    for n, name in enumerate(("default", "blue", "green"))
}
WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
MAIL = UUID("7d1c2a35-86b4-4f10-b1a4-5f8a3c1be5d2")
MACS = tuple(f"52:54:00:00:00:{n:02x}" for n in range(1, 5))


@dataclass
class Store:
    """Rows by their keys. A change that the database would refuse, or a wrong name, fails an assertion here."""

    leases: dict[tuple[str, IPAddress], Lease] = field(default_factory=dict)
    ports: dict[UUID, Port] = field(default_factory=dict)
    lease_indexes: dict[UUID, LeaseIndex] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)

    def commit(self, changes: Iterable[Change]) -> None:
        """Carry out changes in their order."""
        for change in changes:
            self._carry_out(change)
        ids = [port.id for port in self.ports.values()]
        assert len(ids) == len(set(ids)), "two ports have one name"
        assert self.claims == {
            (port.subnet, port.mac): Claim(port.subnet, port.mac, port.domain) for port in self.ports.values()
        }
        assert self.names == {
            name: names.records(leases, SUBNETS[name].dns_domain)
            for name in SUBNETS
            if (leases := [lease for lease in self.leases.values() if lease.subnet == name])
        }

    def observe(self, domain: UUID) -> Observed:
        """All there is, as seen by one domain."""
        return Observed(
            lease_index=self.lease_indexes.get(domain),
            ports={port.mac: port for port in self.ports.values() if port.domain == domain},
            subnets=SUBNETS,
            leases=dict(self.leases),
            claims=dict(self.claims),
        )

    def of(self, domain: UUID) -> tuple[list[Lease], list[Port], LeaseIndex | None]:
        """Everything that is one domain's."""
        return (
            [lease for lease in self.leases.values() if lease.domain == domain],
            [port for port in self.ports.values() if port.domain == domain],
            self.lease_indexes.get(domain),
        )

    def _carry_out(self, change: Change) -> None:
        match change:
            case Need(kind, Subnet() as subnet) if kind is SUBNET:
                assert SUBNETS[subnet.name] == subnet
            case Need(kind, Lease() as lease) if kind is LEASE:
                assert self.leases[_at(lease)].is_held_by(lease.domain, lease.mac)
            case Put(kind, None, Lease() as lease) if kind is LEASE:
                assert _at(lease) not in self.leases, "the address is taken"
                self.leases[_at(lease)] = lease
            case Put(kind, Lease() as old, Lease() as new) if kind is LEASE:
                assert self.leases[_at(old)] == old
                assert _at(old) == _at(new)
                self.leases[_at(new)] = new
            case Put(kind, Lease() as lease, None) if kind is LEASE:
                assert self.leases.pop(_at(lease)) == lease
            case Put(kind, old, Claim() as new) if kind is CLAIM:
                assert self.claims.get((new.subnet, new.mac)) == old
                assert old in (None, new), "the MAC address is another domain's"
                self.claims[new.subnet, new.mac] = new
            case Put(kind, None, Port() as port) if kind is PORT:
                assert port.uuid not in self.ports, "the port exists"
                self.ports[port.uuid] = port
            case Put(kind, Port() as old, Port() as new) if kind is PORT:
                assert self.ports[old.uuid] == old
                assert old.uuid == new.uuid
                self.ports[new.uuid] = new
                if old.subnet != new.subnet:
                    del self.claims[old.subnet, old.mac]
            case Put(kind, Port() as port, None) if kind is PORT:
                gone = self.ports.pop(port.uuid)
                assert (gone.host, gone.moving_to) == (port.host, ""), "the port is another host's"
                del self.claims[port.subnet, port.mac]
            case Put(kind, Names(subnet, old), Names(_, new)) if kind is NAMES:
                there = self.names.pop(subnet, {})
                assert old.items() <= there.items()
                left = {name: value for name, value in there.items() if name not in old}
                assert not left.keys() & new.keys(), "the name is another domain's"
                if left or new:
                    self.names[subnet] = {**left, **new}
            case Put(kind, old, LeaseIndex() as new) if kind is LEASE_INDEX:
                assert self.lease_indexes.get(new.domain) == old
                self.lease_indexes[new.domain] = new
            case Put(kind, LeaseIndex() as lease_index, None) if kind is LEASE_INDEX:
                assert self.lease_indexes.pop(lease_index.domain) == lease_index
            case _:
                raise AssertionError(f"not expected here: {change}")


def _at(lease: Lease) -> tuple[str, IPAddress]:
    return lease.subnet, lease.address


Places = Sequence[tuple[str, str, int]]
"""For each interface its MAC, its subnet, and the last number of its address."""


def _domain(
    places: Places, *, run: int = 1, uuid: UUID = WEB, name: str = "web1", others: Sequence[str] = ()
) -> Domain:
    interfaces = tuple(Interface(mac, InterfaceType.BRIDGE, InterfaceRequest(hostname=name)) for mac, _, _ in places)
    return Domain(uuid, name, run, interfaces, (*(mac for mac, _, _ in places), *others))


def _attach(store: Store, domain: Domain, places: Places, host: str = "hv1") -> tuple[Change, ...]:
    placements = [
        Placement(interface, SUBNETS[subnet], (SUBNETS[subnet].cidr[number],))
        for interface, (_, subnet, number) in zip(domain.interfaces, places, strict=True)
    ]
    changes = plan.attach(domain, host, placements, store.observe(domain.uuid))
    store.commit(changes)
    return changes


@st.composite
def placements(draw: st.DrawFn, most: int = len(MACS)) -> Places:
    """Some of the MACs, each on a subnet of its own choice, with an address that no other one has."""
    macs = draw(st.permutations(MACS))[: draw(st.integers(1, most))]
    numbers = draw(st.lists(st.integers(2, 12), min_size=len(macs), max_size=len(macs), unique=True))
    return [(mac, draw(st.sampled_from(sorted(SUBNETS))), n) for mac, n in zip(macs, numbers, strict=True)]


hosts = st.sampled_from(["hv1", "hv2"])
OTHER: Places = [("52:54:00:00:00:99", "blue", 200)]


def _with_another_domain() -> Store:
    store = Store()
    _attach(store, _domain(OTHER, uuid=MAIL, name="mail"), OTHER)
    return store


@given(placements(), placements(), hosts)
def test_attach_is_done_when_it_was_done(first: Places, second: Places, host: str) -> None:
    """After any attach, also one that moves a domain from elsewhere, the same attach changes nothing."""
    store = _with_another_domain()
    _attach(store, _domain(first), first)
    domain = _domain(second, run=2)
    _attach(store, domain, second, host)
    assert _attach(store, domain, second, host) == ()


@given(placements(), placements(), hosts)
def test_attach_makes_what_is_wanted_and_leaves_nothing_of_before(first: Places, second: Places, host: str) -> None:
    """Each interface has just its address, on just its subnet; what the domain had before is given back."""
    store = _with_another_domain()
    _attach(store, _domain(first), first)
    _attach(store, _domain(second, run=2), second, host)
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
    store = _with_another_domain()
    before = store.of(MAIL)
    for domain, places in ((_domain(first), first), (_domain(second, run=2), second)):
        _attach(store, domain, places, host)
        assert store.of(MAIL) == before
    store.commit(plan.roll_back(_domain(second, run=2), host, store.observe(WEB)))
    store.commit(plan.forget(store.observe(WEB), host))
    assert store.of(MAIL) == before


@given(placements())
def test_a_lease_outlives_its_port(places: Places) -> None:
    """Detached and attached again, a domain has the leases that it had, and its ports are as they were."""
    store = Store()
    _attach(store, _domain(places), places)
    leases, ports, lease_index = store.of(WEB)
    store.commit(plan.detach(store.observe(WEB).ports.values(), "hv1"))
    assert store.of(WEB) == (leases, [], lease_index)
    _attach(store, _domain(places, run=2), places)
    again, ports_again, lease_index_again = store.of(WEB)
    assert (again, lease_index_again) == (leases, lease_index)
    assert sorted(ports_again, key=lambda port: port.mac) == sorted(ports, key=lambda port: port.mac)


@given(placements())
def test_forget_leaves_nothing(places: Places) -> None:
    """After it the domain holds nothing, and nothing is left to do."""
    store = Store()
    _attach(store, _domain(places), places)
    store.commit(plan.forget(store.observe(WEB), "hv1"))
    assert store == Store()
    assert plan.forget(store.observe(WEB), "hv1") == ()


@given(placements())
def test_another_host_can_do_nothing(places: Places) -> None:
    """A host that a domain has left takes nothing away that is the new host's."""
    store = Store()
    _attach(store, _domain(places), places, "hv1")
    _attach(store, _domain(places, run=7), places, "hv2")
    observed = store.observe(WEB)
    assert plan.detach(observed.ports.values(), "hv1") == ()
    assert plan.forget(observed, "hv1") == ()
    assert plan.roll_back(_domain(places), "hv1", observed) == ()


@given(placements())
def test_a_migration(places: Places) -> None:
    """The same ports and leases throughout, bound to the one host, to both, to the other; each step may come twice."""
    store = Store()
    _attach(store, _domain(places), places, "hv1")
    leases = store.of(WEB)[0]
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    assert migration.announce(store.observe(WEB), "hv2") == ()
    assert _where(store) == {("hv1", "hv2")}
    assert _attach(store, _domain(places, run=9), places, "hv2") == ()
    assert _where(store) == {("hv1", "hv2")}
    store.commit(migration.arrive(store.observe(WEB), "hv2"))
    assert migration.arrive(store.observe(WEB), "hv2") == ()
    assert plan.leave(store.observe(WEB), "hv1") == ()
    assert _where(store) == {("hv2", "")}
    assert plan.forget(store.observe(WEB), "hv1") == ()
    assert store.of(WEB)[0] == [replace(lease, host="hv2") for lease in leases]


@given(placements(), st.permutations(["hv1", "hv2"]))
def test_a_migration_that_a_host_leaves(places: Places, hosts: list[str]) -> None:
    """Whichever host says first that the domain does not run there, the ports are the other one's; then they go."""
    store = Store()
    _attach(store, _domain(places), places, "hv1")
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    first, second = hosts
    store.commit(plan.leave(store.observe(WEB), first))
    assert _where(store) == {(second, "")}
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
        _attach(store, _domain(places), places, "hv1")
        store.commit(migration.announce(store.observe(WEB), "hv2"))
        leases = store.of(WEB)[0]
        store.commit(plan.forget(store.observe(WEB), host))
        assert store.of(WEB)[0] == [replace(lease, host=other) for lease in leases]
        assert _where(store) == {(other, "")}
        store.commit(plan.forget(store.observe(WEB), other))
        assert store == Store()


@given(placements())
def test_an_offline_migration(places: Places) -> None:
    """A domain that does not run has leases only: they go along."""
    store = Store()
    _attach(store, _domain(places), places, "hv1")
    store.commit(plan.leave(store.observe(WEB), "hv1"))
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    store.commit(plan.forget(store.observe(WEB), "hv1"))
    leases, _, lease_index = store.of(WEB)
    assert len(leases) == len(places)
    assert lease_index is not None
    assert (lease_index.host, lease_index.moving_to) == ("hv2", "")


@given(placements())
def test_a_migration_whose_destination_fails_to_start(places: Places) -> None:
    """What is undone there is the destination's part in it."""
    store = Store()
    _attach(store, _domain(places), places, "hv1")
    before = store.of(WEB)
    store.commit(migration.announce(store.observe(WEB), "hv2"))
    store.commit(plan.roll_back(_domain(places, run=9), "hv2", store.observe(WEB)))
    assert store.of(WEB) == before


def _where(store: Store) -> set[tuple[str, str]]:
    """The hosts of the domain's ports, and those that it is moving to."""
    return {(port.host, port.moving_to) for port in store.of(WEB)[1]}


@given(placements())
def test_a_failed_first_start_leaves_nothing(places: Places) -> None:
    """What the run took it gives back."""
    store = Store()
    _attach(store, _domain(places), places)
    store.commit(plan.roll_back(_domain(places), "hv1", store.observe(WEB)))
    assert store == Store()


@given(placements())
def test_a_failed_later_start_keeps_the_leases(places: Places) -> None:
    """What an earlier run took stays the domain's."""
    store = Store()
    _attach(store, _domain(places), places)
    leases, _, lease_index = store.of(WEB)
    store.commit(plan.detach(store.observe(WEB).ports.values(), "hv1"))
    later = _domain(places, run=2)
    _attach(store, later, places)
    store.commit(plan.roll_back(later, "hv1", store.observe(WEB)))
    assert store.of(WEB) == (leases, [], lease_index)


def test_a_failed_start_gives_back_what_is_new_in_it() -> None:
    """Of a domain with one old interface and one new one, the new one's lease goes, the old one's stays."""
    old: Places = [(MACS[0], "blue", 5)]
    both: Places = [*old, (MACS[1], "green", 6)]
    store = Store()
    _attach(store, _domain(old), old)
    _attach(store, _domain(both, run=2), both)
    store.commit(plan.roll_back(_domain(both, run=2), "hv1", store.observe(WEB)))
    leases, ports, lease_index = store.of(WEB)
    assert [(lease.mac, str(lease.address)) for lease in leases] == [(MACS[0], "10.1.0.5")]
    assert ports == []
    assert lease_index is not None
    assert lease_index.leases == ((MACS[0], "blue", IPAddress("10.1.0.5")),)


def test_an_interface_that_is_not_ours_now_keeps_its_lease() -> None:
    """In prepare a network's interface is not resolved yet: its address must be there when it is, in start."""
    both: Places = [(MACS[0], "blue", 5), (MACS[1], "green", 6)]
    store = Store()
    _attach(store, _domain(both), both)
    before = store.of(WEB)[0]
    assert _attach(store, _domain(both[:1], run=2, others=[MACS[1]]), both[:1]) == ()
    assert store.of(WEB)[0] == before


def test_an_interface_that_is_gone_gives_its_lease_back() -> None:
    """Its MAC is not in the domain's XML any more."""
    both: Places = [(MACS[0], "blue", 5), (MACS[1], "green", 6)]
    store = Store()
    _attach(store, _domain(both), both)
    _attach(store, _domain(both[:1], run=2), both[:1])
    assert [lease.mac for lease in store.of(WEB)[0]] == [MACS[0]]


def test_a_lease_that_became_anothers_is_not_dropped() -> None:
    """A holding that names an address which is somebody else's by now does not take it from them."""
    store = _with_another_domain()
    stale = LeaseIndex(WEB, "web1", "hv1", ((MACS[0], "blue", IPAddress("10.1.0.200")),))
    store.lease_indexes[WEB] = stale
    before = store.of(MAIL)
    store.commit(plan.forget(store.observe(WEB), "hv1"))
    assert store.of(MAIL) == before
    assert store.of(WEB) == ([], [], None)


def test_a_rename_is_written_down_and_moves_nothing() -> None:
    """A renamed domain is the same one: same addresses, same ports, another name in each row."""
    places: Places = [(MACS[0], "blue", 5)]
    store = Store()
    _attach(store, _domain(places), places)
    changes = _attach(store, _domain(places, name="web2"), places)
    assert {change.kind for change in changes if isinstance(change, Need)} == {SUBNET}
    assert {change.kind for change in changes if isinstance(change, Put)} == {LEASE, NAMES, PORT, LEASE_INDEX}
    assert all(change.old and change.new for change in changes if isinstance(change, Put))
    leases, ports, lease_index = store.of(WEB)
    assert lease_index is not None
    assert {leases[0].domain_name, ports[0].domain_name, lease_index.domain_name, leases[0].hostname} == {"web2"}


def test_a_change_of_the_interface_id_renames_the_port() -> None:
    """The port follows the id that libvirt puts on the tap."""
    places: Places = [(MACS[0], "blue", 5)]
    store = Store()
    domain = _domain(places)
    _attach(store, domain, places)
    changed = replace(domain, interfaces=(replace(domain.interfaces[0], interface_id="1f" * 16),))
    (*needs, change) = _attach(store, changed, places)
    assert [(type(need), need.kind) for need in needs] == [(Need, SUBNET), (Need, LEASE)]
    (put,) = puts(PORT, [change])
    assert put.old
    assert put.new
    assert (put.old.id, put.new.id) == (str(domain.port_uuid(MACS[0])), "1f" * 16)


@given(placements())
def test_the_subnet_is_checked_first(places: Places) -> None:
    """Every subnet that is used is checked once, before anything is written."""
    changes = _attach(Store(), _domain(places), places)
    needs = [change.value.name for change in changes if isinstance(change, Need) and change.kind is SUBNET]
    assert sorted(needs) == sorted({subnet for _, subnet, _ in places})
    assert all(change.kind is SUBNET for change in changes[: len(needs)])


@given(placements())
def test_what_happens_to_an_interface_can_be_read_in_the_log(places: Places) -> None:
    """Each port and each lease is told with domain, interface, subnet and address."""
    store = Store()
    said = [str(change) for change in _attach(store, _domain(places), places)]
    observed = store.observe(WEB)
    for mac, subnet, number in places:
        address = str(SUBNETS[subnet].cidr[number])
        told = [line for line in said if line.startswith("domain web1: ") and mac in line and f"{address} " in line]
        assert len(told) == 2, said  # the lease and the port
        assert all(f"subnet {subnet}" in line for line in told)
    for change in plan.forget(observed, "hv1"):
        silent = change.kind in (NAMES, LEASE_INDEX)  # they go with what is told
        assert silent or str(change).startswith("domain web1: ")


NETWORK = Interface(MACS[0], InterfaceType.NETWORK, network="blue")


@pytest.mark.parametrize(
    ("interface", "default", "subnet"),
    [
        (Interface(MACS[0], InterfaceType.BRIDGE), "default", "default"),
        (Interface(MACS[0], InterfaceType.BRIDGE, InterfaceRequest(subnet="green")), "default", "green"),
        (Interface(MACS[0], InterfaceType.ETHERNET), "default", "default"),
        (NETWORK, "default", "blue"),
        (NETWORK, "", "blue"),
        (replace(NETWORK, network="libvirts-own"), "default", "default"),
        (replace(NETWORK, portgroup="green"), "default", "green"),
        (replace(NETWORK, portgroup="green", request=InterfaceRequest(subnet="default")), "", "default"),
    ],
    ids=["default", "metadata", "ethernet", "network", "no-default", "other-network", "portgroup", "metadata-first"],
)
def test_where_an_interface_goes(interface: Interface, default: str, subnet: str) -> None:
    """Metadata, then portgroup, then a subnet named like the network, then the default one."""
    assert choice.place(interface, default, SUBNETS).name == subnet


@pytest.mark.parametrize(
    ("interface", "default", "error", "said"),
    [
        (Interface(MACS[0], InterfaceType.BRIDGE), "", NotFound, "no default subnet"),
        (Interface(MACS[0], InterfaceType.BRIDGE, InterfaceRequest(subnet="red")), "default", NotFound, "'red'"),
        (replace(NETWORK, portgroup="red"), "default", NotFound, "portgroup 'red' of network 'blue'"),
        (replace(NETWORK, network="red"), "", NotFound, "no default subnet"),
    ],
    ids=["no-default", "metadata", "portgroup", "network"],
)
def test_an_interface_that_can_go_nowhere(
    interface: Interface, default: str, error: type[Exception], said: str
) -> None:
    """It is told which name leads to no subnet, and never put on another one."""
    with pytest.raises(error, match=said):
        choice.place(interface, default, SUBNETS)
