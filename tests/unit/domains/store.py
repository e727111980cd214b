"""A store of rows in memory that carries out changes as the database does, and domains that attach to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from ovnhook.domains import plan
from ovnhook.domains.choice import Placement
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.kind import CLAIM, PORT
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.values import DnsRecords, Subnet

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
            name: dns.records(leases, SUBNETS[name].dns_domain)
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
                assert self.leases[place_of(lease)].belongs_to(lease.domain, lease.mac)
            case Put(kind, None, Lease() as lease) if kind is LEASE:
                assert place_of(lease) not in self.leases, "the address is taken"
                self.leases[place_of(lease)] = lease
            case Put(kind, Lease() as old, Lease() as new) if kind is LEASE:
                assert self.leases[place_of(old)] == old
                assert place_of(old) == place_of(new)
                self.leases[place_of(new)] = new
            case Put(kind, Lease() as lease, None) if kind is LEASE:
                assert self.leases.pop(place_of(lease)) == lease
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
            case Put(kind, DnsRecords(subnet, old), DnsRecords(_, new)) if kind is DNS_RECORDS:
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


def place_of(lease: Lease) -> tuple[str, IPAddress]:
    return lease.subnet, lease.address


Places = Sequence[tuple[str, str, int]]
"""For each interface its MAC, its subnet, and the last number of its address."""


def make_domain(
    places: Places, *, run: int = 1, uuid: UUID = WEB, name: str = "web1", others: Sequence[str] = ()
) -> Domain:
    interfaces = tuple(Interface(mac, InterfaceType.BRIDGE, InterfaceRequest(hostname=name)) for mac, _, _ in places)
    return Domain(uuid, name, run, interfaces, (*(mac for mac, _, _ in places), *others))


def attach(store: Store, domain: Domain, places: Places, host: str = "hv1") -> tuple[Change, ...]:
    placements = [
        Placement(interface, SUBNETS[subnet], (SUBNETS[subnet].cidr[number],), interface.request.hostname)
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


def with_another_domain() -> Store:
    store = Store()
    attach(store, make_domain(OTHER, uuid=MAIL, name="mail"), OTHER)
    return store


def where(store: Store) -> set[tuple[str, str]]:
    """The hosts of the domain's ports, and those that it is moving to."""
    return {(port.host, port.moving_to) for port in store.of(WEB)[1]}
