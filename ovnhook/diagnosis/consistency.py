"""Consistency among the northbound rows of all domains, checked incrementally. Pure.

The rows of a domain are written in one transaction, so only manual changes, restored backups and earlier versions make
them inconsistent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import Any, TypeVar, assert_never
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.diagnosis.inconsistencies import Inconsistency, Key
from ovnhook.diagnosis.memberships import Memberships
from ovnhook.diagnosis.portlimits import LimitedPorts
from ovnhook.diagnosis.virtualrows import VirtualRows, places
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation, includes, key, require
from ovnhook.resources import ip, tables
from ovnhook.resources.kind import Change, Kind, Need, Put
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.operations import exists
from ovnhook.resources.port.kind import CLAIM, PORT
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.security_group.values import GroupMembers
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.values import DnsRecords, Subnet

_GRACE_PERIOD = 30.0  # seconds in which the agent of a domain that has lost its ports and its lease index repairs both

_GUARD = Kind[Operation](name="guard", type=dict, operations=lambda _old, _new: [], guard=lambda one: [one])
"""A condition on a row, as an operation: not a resource."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Consistency:
    """Values of all domains' rows, and the inconsistencies among them. A change costs the checks that depend on it.

    Args:
        unreadable: UUIDs of the broken rows, which the caller updates. They may have what other rows lack.

    Attributes:
        found: the inconsistencies, each as of its last check.
    """

    def __init__(self, unreadable: Collection[str] = ()) -> None:
        self.found: dict[Key, Inconsistency] = {}
        self._unreadable = unreadable
        self._due: dict[Key, None] = {}
        self._subnets: dict[str, Subnet] = {}
        self._records: dict[str, dict[str, str]] = {}
        self._leases: dict[str, dict[str, Lease]] = {}  # by subnet and address
        self._named: dict[tuple[str, str], tuple[Lease, ...]] = {}  # by subnet and host name
        self._leased: dict[UUID, tuple[Lease, ...]] = {}  # by domain
        self._indexes: dict[UUID, LeaseIndex] = {}
        self._ports: dict[UUID, tuple[Port, ...]] = {}  # by domain
        self._sharing: dict[tuple[str, str], tuple[Port, ...]] = {}  # by subnet and MAC
        self._places: dict[UUID, tuple[str, str]] = {}  # subnet and MAC, by port
        self._claims: dict[tuple[str, str], Claim] = {}
        self._memberships = Memberships()
        self._limited = LimitedPorts()
        self._virtual = VirtualRows(unreadable)

    def apply(self, old: Any, new: Any) -> None:
        """Replace the value of a row; None stands for no row, or a broken one.

        Of DNS records, if there are both, those that have changed are enough.
        """
        match old, new:
            case DnsRecords(subnet=subnet), DnsRecords():
                for name in old.records:
                    del self._records[subnet][name]
                self._records[subnet].update(new.records)
            case (GroupMembers() | None, GroupMembers() | None) if old or new:
                self._apply_members(old, new)
            case _:
                self._remove(old)
                self._add(new)
                self._virtual.apply(old, new)
                self._due.update(dict.fromkeys(Key("limits", "", row) for row in self._limited.apply(old, new)))
        self._due.update(dict.fromkeys(self._dependent(old, new)))

    def _apply_members(self, old: GroupMembers | None, new: GroupMembers | None) -> None:
        changed = self._memberships.apply(old, new)
        if old and new:
            places: Iterable[tuple[str, str]] = filter(None, map(self._places.get, changed))
        else:
            places = self._sharing  # any port may lack a group, also by its subnet
        self._due.update({Key("groups", *place): None for place in places})

    def check_all(self) -> None:
        """Make all checks due."""
        for subnet in {*self._leases, *self._records}:
            self._due.update(dict.fromkeys(self._records_of(subnet)))
            self._due.update(dict.fromkeys(Key("lease", subnet, address) for address in self._leases.get(subnet, ())))
        self._due.update(dict.fromkeys(Key("limits", "", row) for row in self._limited.rows()))
        for place in self._sharing:
            self._due.update({Key("mac", *place): None, Key("groups", *place): None})
        self._due.update(dict.fromkeys(Key("virtual", *place) for place in self._virtual.all_places))

    def recheck(self, most: int) -> bool:
        """Run at most that many of the due checks; return True if there are more."""
        for one in [one for one, _ in zip(self._due, range(most), strict=False)]:
            del self._due[one]
            self._update(one)
        return bool(self._due)

    def repairs(self, some: Iterable[Key]) -> tuple[list[Key], tuple[Change, ...]]:
        """Inconsistencies that still exist, of some, and the changes that repair them.

        The changes conflict if rows that they depend on have changed.
        """
        still = [one for one in list(some) if self._update(one)]
        found: list[Change] = []
        records: defaultdict[str, list[str]] = defaultdict(list)
        for of, subnet, name in still:
            match of:
                case "record":
                    records[subnet].append(name)
                case "mac":
                    port = _owner(self._sharing[subnet, name])
                    claim = Claim(subnet, name, port.domain)
                    found += [Need(PORT, port), Put(CLAIM, self._claims.get((subnet, name)), claim)]
                case "groups":
                    found += self._regroup(subnet, name)
                case "limits":
                    if not self._limited.has_port(name):
                        found.append(_absent(tables.PORT, UUID(name)))
                    found += self._limited.repair(name, self._subnets)
                case "lease":
                    found += self._release(self._leases[subnet][name])
                case "virtual":
                    found += self._virtual.repairs((subnet, name))
                case _:
                    assert_never(of)
        for subnet, names in records.items():
            found += self._rename(self._subnets[subnet], names)
        return still, tuple(found)

    def _regroup(self, subnet: str, mac: str) -> Iterator[Change]:
        for port in self._sharing[subnet, mac]:
            yield from self._memberships.repair(port, self._subnets.get(subnet))

    def _release(self, lease: Lease) -> Iterator[Change]:
        index = self._indexes.get(lease.domain)
        yield Need(LEASE_INDEX, index) if index else _absent(tables.DNS, uuids.domain(lease.domain))
        yield _absent(tables.PORT, uuids.port(lease.domain, lease.mac))
        yield Put(LEASE, lease, None)

    def _rename(self, subnet: Subnet, names: Iterable[str]) -> Iterator[Change]:
        """Correct DNS records, unless they or a lease of an address in them have changed."""
        has, old, new = self._records[subnet.name], dict[str, str](), dict[str, str]()
        for name in names:
            old |= {name: has[name]} if name in has else {}
            wanted = self._wanted(subnet, name)
            new |= {name: wanted} if wanted else {}
        records = [*old.items(), *new.items()]
        every = {where for name, value in records for where in dns.addresses_of(name, value)}
        yield Need(SUBNET, subnet)
        yield Need(_GUARD, exists(tables.DNS, uuids.dns_records(subnet.name), includes("records", old)))
        for where in sorted(filter(ip.is_ip, every)):
            lease = self._leases.get(subnet.name, {}).get(where)
            yield _same(lease) if lease else _absent(tables.DNS, uuids.lease(subnet.name, where))
        yield Put(DNS_RECORDS, DnsRecords(subnet.name, old), DnsRecords(subnet.name, new))

    def _update(self, one: Key) -> bool:
        """Check a key; return True if there is an inconsistency."""
        found = self._check(one)
        if found:
            self.found[one] = found
        else:
            self.found.pop(one, None)
        return found is not None

    def _check(self, one: Key) -> Inconsistency | None:
        match one.of:
            case "record":
                return self._check_record(one.subnet, one.name)
            case "mac":
                return self._check_mac(one.subnet, one.name)
            case "groups":
                return self._check_groups(one.subnet, one.name)
            case "limits":
                is_known = not any(map(self._is_unreadable, self._limited.needed_rows(one.name)))
                return self._limited.check(one.name, self._subnets) if is_known else None
            case "lease":
                return self._check_lease(one.subnet, one.name)
            case "virtual":
                return self._check_virtual(one.subnet, one.name)
            case _:
                assert_never(one.of)

    def _check_record(self, subnet: str, name: str) -> Inconsistency | None:
        """A DNS record that is missing or wrong, or that no lease has."""
        if subnet not in self._subnets or subnet not in self._records:
            return None  # the rows of the subnet are repaired first
        has = self._records[subnet].get(name)
        leases = self._leases_of(self._subnets[subnet], name)
        wanted = self._wanted(self._subnets[subnet], name)
        addresses = dns.addresses_of(name, has) if has else ()
        unknown = {where for where in addresses if self._is_unreadable(uuids.lease(subnet, where))}
        if not wanted:
            if has is None or unknown:
                return None
            return Inconsistency(
                "", "", f"DNS record {name} of subnet {subnet} is {has}, but no lease has it", "remove the DNS record"
            )
        if has and {*wanted.split()} <= {*has.split()} <= {*wanted.split()} | unknown:
            return None
        what = f"DNS record {name} of subnet {subnet} is " + (f"{has}, not {wanted}" if has else "missing")
        owner = min(leases, key=lambda lease: lease.address)
        return Inconsistency(owner.domain_name, owner.mac, what, "correct the DNS record")

    def _check_mac(self, subnet: str, mac: str) -> Inconsistency | None:
        """A port whose MAC address is not reserved. Two ports with one MAC address are another problem."""
        ports, claim = self._sharing.get((subnet, mac), ()), self._claims.get((subnet, mac))
        owners = {port.domain for port in ports}
        if not ports or self._is_unreadable(uuids.claim(subnet, mac)):
            return None
        if claim and (claim.domain in owners or self._is_unreadable(uuids.port(claim.domain, mac))):
            return None
        what = f"its MAC address is not reserved in subnet {subnet}"
        return Inconsistency(_owner(ports).domain_name, mac, what, "reserve it")

    def _check_groups(self, subnet: str, mac: str) -> Inconsistency | None:
        """A port that is not in its security groups, or in others."""
        for port in sorted(self._sharing.get((subnet, mac), ()), key=lambda port: port.domain):
            if what := self._memberships.check(port, self._subnets.get(subnet)):
                return Inconsistency(port.domain_name, mac, what, "correct the members of security groups")
        return None

    def _check_lease(self, subnet: str, address: str) -> Inconsistency | None:
        """A lease that the domain's row does not list, of a domain without ports: its agent knows what it needs."""
        lease = self._leases.get(subnet, {}).get(address)
        if lease is None or lease.domain in self._ports:
            return None
        index = self._indexes.get(lease.domain)
        if index and (lease.mac, subnet, lease.address) in index.leases:
            return None
        may_be_used = uuids.domain(lease.domain), uuids.port(lease.domain, lease.mac)
        if any(map(self._is_unreadable, may_be_used)):
            return None
        what = f"{address} of subnet {subnet} is leased, but the domain's row does not list it"
        return Inconsistency(lease.domain_name, lease.mac, what, f"release the lease of {address}", _GRACE_PERIOD)

    def _check_virtual(self, subnet: str, address: str) -> Inconsistency | None:
        """A virtual address, or its port, that is not as leases and ports name it."""
        domain, what = self._virtual.difference((subnet, address)) if subnet in self._subnets else ("", "")
        return Inconsistency(domain, "", what, "correct the virtual address") if what else None

    def _is_unreadable(self, row: UUID) -> bool:
        return bool(self._unreadable) and str(row) in self._unreadable

    def _wanted(self, subnet: Subnet, name: str) -> str:
        """Value that a DNS record has to have, or "" if it must not exist."""
        return dns.records(self._leases_of(subnet, name), subnet.dns_domain).get(name, "")

    def _leases_of(self, subnet: Subnet, name: str) -> tuple[Lease, ...]:
        """Leases of the host name, or of the address, that a DNS record is about."""
        if name.endswith(".arpa"):
            there = self._leases.get(subnet.name, {})
            return tuple(there[where] for where in dns.addresses_of(name, "") if where in there)
        host = name.removesuffix(f".{subnet.dns_domain}") if subnet.dns_domain else name
        return self._named.get((subnet.name, host), ())

    def _records_of(self, subnet: str) -> Iterator[Key]:
        """The DNS records that a subnet has or should have, and those that were found wrong."""
        yield from [one for one in self.found if (one.of, one.subnet) == ("record", subnet)]
        yield from (Key("record", subnet, name) for name in self._records.get(subnet, ()))
        for lease in self._leases.get(subnet, {}).values():
            yield from self._records_of_lease(lease)

    def _records_of_lease(self, lease: Lease) -> Iterator[Key]:
        subnet = self._subnets.get(lease.subnet)
        names = dns.records([lease], subnet.dns_domain if subnet else "")
        return (Key("record", lease.subnet, name) for name in names)

    def _dependent(self, old: Any, new: Any) -> Iterator[Key]:
        """Checks that depend on the old or the new value of a row."""
        for value in (old, new):
            yield from (Key("virtual", *place) for place in places(value))
            match value:
                case Lease(subnet=subnet, address=address):
                    yield Key("lease", subnet, str(address))
                    yield from self._records_of_lease(value)
                case LeaseIndex(leases=leases):
                    yield from (Key("lease", subnet, str(address)) for _, subnet, address in leases)
                case Port(subnet=subnet, mac=mac):
                    yield Key("mac", subnet, mac)
                    yield Key("groups", subnet, mac)
                    held = self._leased.get(value.domain, ())
                    yield from (Key("lease", one.subnet, str(one.address)) for one in held)
                case Claim(subnet=subnet, mac=mac):
                    yield Key("mac", subnet, mac)
        if isinstance(old or new, Subnet) and (not (old and new) or old.security_groups != new.security_groups):
            yield from (Key("groups", *place) for place in self._sharing if place[0] == (old or new).name)
        match old or new:
            case Subnet(name=name) if old is None or new is None or old.dns_domain != new.dns_domain:
                yield from self._records_of(name)
                yield from (Key("virtual", *place) for place in self._virtual.all_places if place[0] == name)
            case DnsRecords(subnet=subnet) if old is None or new is None:
                yield from self._records_of(subnet)
            case DnsRecords(subnet=subnet):
                changed = old.records.items() ^ new.records.items()
                yield from {Key("record", subnet, name) for name, _ in changed}

    def _remove(self, value: Any) -> None:
        match value:
            case Lease(subnet=subnet):
                del self._leases[subnet][str(value.address)]
                if not self._leases[subnet]:
                    del self._leases[subnet]
                _drop(self._named, (subnet, value.hostname), value)
                _drop(self._leased, value.domain, value)
            case LeaseIndex(domain=domain):
                del self._indexes[domain]
            case Port(subnet=subnet, mac=mac):
                _drop(self._sharing, (subnet, mac), value)
                del self._places[value.uuid]
                _drop(self._ports, value.domain, value)
            case Claim(subnet=subnet, mac=mac):
                del self._claims[subnet, mac]
            case DnsRecords(subnet=subnet):
                del self._records[subnet]
            case Subnet(name=name):
                del self._subnets[name]

    def _add(self, value: Any) -> None:
        match value:
            case Lease(subnet=subnet):
                self._leases.setdefault(subnet, {})[str(value.address)] = value
                _put(self._named, (subnet, value.hostname), value)
                _put(self._leased, value.domain, value)
            case LeaseIndex(domain=domain):
                self._indexes[domain] = value
            case Port(subnet=subnet, mac=mac):
                _put(self._sharing, (subnet, mac), value)
                self._places[value.uuid] = subnet, mac
                _put(self._ports, value.domain, value)
            case Claim(subnet=subnet, mac=mac):
                self._claims[subnet, mac] = value
            case DnsRecords(subnet=subnet, records=records):
                self._records[subnet] = dict(records)
            case Subnet(name=name):
                self._subnets[name] = value


def _put(index: dict[K, tuple[T, ...]], at: K, value: T) -> None:
    index[at] = (*index.get(at, ()), value)


def _drop(index: dict[K, tuple[T, ...]], at: K, value: T) -> None:
    left = tuple(one for one in index[at] if one is not value)
    if left:
        index[at] = left
    else:
        del index[at]


def _owner(ports: Iterable[Port]) -> Port:
    """The port that gets the reservation of a MAC address."""
    return min(ports, key=lambda port: port.domain)


def _absent(table: str, row: UUID) -> Need[Operation]:
    return Need(_GUARD, require(table, [key(row)], [], ["_uuid"]))


def _same(lease: Lease) -> Need[Operation]:
    """The lease belongs to the same interface, and has the same host name."""
    ids = owned.kind("lease", domain=str(lease.domain), mac=lease.mac)
    named = includes("records", {lease.hostname: str(lease.address)})
    return Need(_GUARD, exists(tables.DNS, lease.uuid, includes("external_ids", ids), named))
