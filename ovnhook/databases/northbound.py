"""The OVN northbound database as a store of subnets, ports and leases: read some, commit changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.logonce import LogOnce
from ovnhook.databases import queries
from ovnhook.databases.queries import Query
from ovnhook.databases.stored import DomainRows, lost_ports
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import (
    Row,
    as_map,
    as_set,
    includes,
    key,
    map_of,
    ref,
    select,
    set_of,
)
from ovnhook.resources import tables
from ovnhook.resources.kind import Change
from ovnhook.resources.kinds import SHARED, cascades
from ovnhook.resources.lease.rows import (
    read_lease,
    read_lease_index,
)
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.rows import PORT_COLUMNS, read_claim, read_port
from ovnhook.resources.port.values import Port
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry
from ovnhook.resources.router.kind import GATEWAYS
from ovnhook.resources.router.rows import router_peer
from ovnhook.resources.state import Cloud, Observed, cloud_of

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Northbound:
    """Reads and writes the rows that are ours. Safe to share between threads.

    Every method raises Unavailable when no server answers before the deadline.
    """

    def __init__(self, remotes: str) -> None:
        self.database = Database(remotes, "OVN_Northbound")
        self.clustered = len(remotes.split(",")) > 1
        self._broken = LogOnce(_log, "passed over")

    def observe(self, domain: UUID, macs: Iterable[str], subnets: Iterable[str], deadline: Deadline) -> Observed:
        """Read what there is of a domain: the registry, what it holds, its ports, and some subnets by name."""
        wanted = (
            queries.registry(),
            queries.lease_index(domain),
            queries.ports(domain, macs),
            queries.subnets(subnets),
        )
        return self.query(Observed(), wanted, deadline)

    def query(self, observed: Observed, wanted: Iterable[Query], deadline: Deadline) -> Observed:
        """Add what some queries find to what was observed before: in one transaction, or none if they ask nothing."""
        asking = [query for query in wanted if query.operations]
        operations = [operation for query in asking for operation in query.operations]
        found = iter(self.database.transact(operations, deadline) if operations else ())
        for query in asking:
            observed = query.add(observed, [next(found) for _ in query.operations])
        return observed

    def observe_with_leases(self, domain: UUID, macs: Iterable[str], deadline: Deadline) -> Observed:
        """Read what there is of a domain, also of interfaces that it does not have any more but holds addresses for."""
        known = set(macs)
        observed = self.observe(domain, known, (), deadline)
        if observed.lease_index is None:
            return observed
        held = observed.lease_index.leases
        every = known | {mac for mac, _, _ in held}
        observed = self.observe(domain, every, {name for _, name, _ in held}, deadline)
        return self.query(observed, [queries.leases((name, where) for _, name, where in held)], deadline)

    def leases_at(
        self, places: Iterable[tuple[str, IPAddress]], deadline: Deadline, *, skip_broken: bool = False
    ) -> dict[tuple[str, IPAddress], Lease]:
        """The leases of some addresses, those that exist.

        Args:
            places: subnet and address of each.
            deadline: when to give up.
            skip_broken: whether rows that are broken are passed over, for they are not what is asked about.
        """
        wanted = [select(tables.DNS, key(uuids.lease(name, str(address)))) for name, address in places]
        results = self.database.transact(wanted, deadline) if wanted else []
        found = [row for result in results for row in result]
        leases = self._read(read_lease, found) if skip_broken else map(read_lease, found)
        return {(lease.subnet, lease.address): lease for lease in leases}

    def lease_uuids_at(self, places: Iterable[tuple[str, IPAddress]], deadline: Deadline) -> set[UUID]:
        """The lease rows' UUIDs of some addresses, those that exist: less to read than `leases_at`."""
        wanted = [
            select(tables.DNS, key(uuids.lease(name, str(address))), columns=["_uuid"]) for name, address in places
        ]
        results = self.database.transact(wanted, deadline) if wanted else []
        return {UUID(row["_uuid"][1]) for result in results for row in result}

    def lease_uuids(self, subnet: str, deadline: Deadline) -> set[UUID]:
        """The lease rows' UUIDs of a whole subnet. The server looks at every row: not for the usual way."""
        match = includes("external_ids", owned.kind("lease", subnet=subnet))
        (found,) = self.database.transact([select(tables.DNS, match, columns=["_uuid"])], deadline)
        return {UUID(row["_uuid"][1]) for row in found}

    def cloud(self, deadline: Deadline) -> Cloud:
        """All resources that domains share, and the registry that they were read with."""
        registry, *found = self.database.transact(
            [
                select(tables.DNS, key(uuids.REGISTRY)),
                *(
                    select(
                        kind.table,
                        includes("external_ids", owned.kind(kind.name)),
                        columns=kind.selected,
                    )
                    for kind in SHARED
                ),
            ],
            deadline,
        )
        resources = [
            one
            for kind, rows in zip(SHARED, found, strict=True)
            for one in sorted(self._read(kind.read, rows), key=kind.order)
        ]
        return cloud_of(read_registry(registry[0]) if registry else None, resources)

    def gateways(self, deadline: Deadline) -> dict[str, tuple[str, ...]]:
        """The hosts that each router's external gateway port may be on, by router, the preferred one first."""
        match = includes("external_ids", owned.kind(GATEWAYS.name))
        (hosts,) = self.database.transact([select(tables.GATEWAY, match)], deadline)
        found: dict[str, tuple[str, ...]] = {}
        for one in sorted(self._read(GATEWAYS.read, hosts), key=lambda one: -one.priority):
            found[one.router] = (*found.get(one.router, ()), *one.hosts)
        return found

    def leases(self, deadline: Deadline, **ids: str) -> list[Lease]:
        """Every lease whose external_ids hold these (``subnet=``, ``hostname=``), by subnet and address."""
        match = includes("external_ids", owned.kind("lease", **ids))
        (found,) = self.database.transact([select(tables.DNS, match)], deadline)
        return sorted(self._read(read_lease, found), key=lambda lease: (lease.subnet, lease.address))

    def lease_counts(self, deadline: Deadline, **ids: str) -> Counter[tuple[str, int]]:
        """How many leases there are, by subnet and IP version, of those whose external_ids hold these."""
        match = includes("external_ids", owned.kind("lease", **ids))
        columns = ["records"] if "subnet" in ids else ["records", "external_ids"]
        (found,) = self.database.transact([select(tables.DNS, match, columns=columns)], deadline)
        return Counter(
            (ids.get("subnet") or owned.own(row).get("subnet", ""), 6 if ":" in address else 4)
            for row in found
            for address in map_of(row["records"]).values()
        )

    def ports(self, deadline: Deadline, **ids: str) -> list[Port]:
        """Every port whose external_ids hold these (``subnet=``, ``domain=``, ``host=``), by domain and MAC."""
        match = includes("external_ids", owned.kind("port", **ids))
        (found,) = self.database.transact([select(tables.PORT, match, columns=PORT_COLUMNS)], deadline)
        return sorted(self._read(read_port, found), key=lambda port: (port.domain_name, port.mac))

    def domain_rows(self, deadline: Deadline) -> DomainRows:
        """All that domains have, in one transaction."""
        ports, leases, lease_indexes, claims = self.database.transact(
            [
                select(tables.PORT, includes("external_ids", owned.kind("port")), columns=PORT_COLUMNS),
                *(
                    select(tables.DNS, includes("external_ids", owned.kind(kind)))
                    for kind in ("lease", "domain", "mac")
                ),
            ],
            deadline,
        )
        broken: list[BrokenRow] = []
        read = partial(self._read, broken=broken)
        found, leased = tuple(read(read_port, ports)), tuple(read(read_lease, leases))
        unreadable = {UUID(row["_uuid"][1]) for row in ports} - {port.uuid for port in found}
        lost = lost_ports(found, unreadable, read(read_lease_index, lease_indexes), read(read_claim, claims))
        return DomainRows(found, leased, tuple(lost), tuple(broken))

    def foreign_macs(self, macs: Collection[str], deadline: Deadline) -> list[tuple[str, str, str]]:
        """Ports on subnets' switches that are not ours and have one of these MACs: subnet, MAC and name of each.

        The server looks at every port: not for the usual way.
        """
        others = select(
            tables.PORT,
            ["external_ids", "excludes", as_map(owned.kind("port"))],
            ["type", "!=", "router"],
            columns=["_uuid", "name", "addresses", "dynamic_addresses"],
        )
        (foreign,) = self.database.transact([others], deadline)
        having = [
            (UUID(row["_uuid"][1]), word, row["name"])
            for row in foreign
            for addresses in (*set_of(row["addresses"]), *set_of(row["dynamic_addresses"]))
            if (word := addresses.partition(" ")[0].lower()) in macs
        ]
        wanted = [
            select(
                tables.SWITCH,
                ["ports", "includes", as_set([ref(uuid)])],
                includes("external_ids", owned.kind("subnet")),
                columns=["external_ids"],
            )
            for uuid, _, _ in having
        ]
        results = self.database.transact(wanted, deadline) if wanted else []
        return [
            (owned.own(switch).get("subnet", ""), mac, name)
            for (_, mac, name), switches in zip(having, results, strict=True)
            for switch in switches
        ]

    def port_counts(self, deadline: Deadline, by: str = "host") -> Counter[str]:
        """How many ports there are on each host, or (``subnet``) on each subnet."""
        match = includes("external_ids", owned.kind("port"))
        (found,) = self.database.transact([select(tables.PORT, match, columns=["external_ids"])], deadline)
        return Counter(owned.own(row).get(by, "") for row in found)

    def nb_cfg(self, deadline: Deadline) -> int:
        """The number that `count_up` counts."""
        (found,) = self.database.transact([select("NB_Global", columns=["nb_cfg"])], deadline)
        return max((row["nb_cfg"] for row in found), default=0)

    def lease_indexes(self, deadline: Deadline, **ids: str) -> list[LeaseIndex]:
        """What domains hold, of those whose external_ids hold these (``host=``)."""
        match = includes("external_ids", owned.kind("domain", **ids))
        (found,) = self.database.transact([select(tables.DNS, match)], deadline)
        return list(self._read(read_lease_index, found))

    def _read(
        self, read: Callable[..., T], found: Iterable[Row], *more: object, broken: list[BrokenRow] | None = None
    ) -> Iterator[T]:
        """What rows of a whole table are; those that are broken are passed over, and logged once.

        Args:
            read: says what a row is.
            found: the rows.
            more: what `read` is told beside the row.
            broken: where it is added why rows can't be read.
        """
        for row in found:
            try:
                yield read(row, *more)
            except BrokenRow as error:
                self._broken.failed(error, about=str(error))
                if broken is not None:
                    broken.append(error)

    def port_named(self, name: str, deadline: Deadline) -> tuple[bool, Port | None]:
        """Whether there is a port of that name (an iface-id), and the port where it is one of ours."""
        (found,) = self.database.transact([select(tables.PORT, ["name", "==", name])], deadline)
        ours = [row for row in found if owned.own(row)]
        return bool(found), read_port(ours[0]) if ours else None

    def port_names(self, subnet: str, deadline: Deadline) -> list[str]:
        """The names of all ports on a subnet's logical switch, ours or not, but for that of its router."""
        uuid = key(uuids.switch(subnet))
        (found,) = self.database.transact([select(tables.SWITCH, uuid, columns=["ports"])], deadline)
        ports = [UUID(port[1]) for row in found for port in set_of(row["ports"])]
        wanted = [select(tables.PORT, key(port), columns=["name"]) for port in ports]
        results = self.database.transact(wanted, deadline)
        names = (row["name"] for result in results for row in result)
        return sorted(name for name in names if not name.startswith(router_peer("", subnet)))

    def dns_records(self, subnet: str, deadline: Deadline) -> dict[str, str]:
        """All the names of a subnet, as its guests get them."""
        (found,) = self.database.transact([select(tables.DNS, key(uuids.dns_records(subnet)))], deadline)
        return {name: value for row in found for name, value in map_of(row["records"]).items()}

    def is_foreign_switch(self, name: str, deadline: Deadline) -> bool:
        """Whether a logical switch has that name that is not ours; the schema lets two have it."""
        return self._is_foreign(tables.SWITCH, name, deadline)

    def is_foreign_router(self, name: str, deadline: Deadline) -> bool:
        """Whether a logical router has that name that is not ours."""
        return self._is_foreign(tables.ROUTER, name, deadline)

    def _is_foreign(self, table: str, name: str, deadline: Deadline) -> bool:
        (found,) = self.database.transact([select(table, ["name", "==", name], columns=["external_ids"])], deadline)
        return any(not owned.own(row) for row in found)

    def count_up(self, deadline: Deadline) -> int:
        """Count NB_Global.nb_cfg up, as ``ovn-nbctl sync`` does; what it is then.

        northd, and then each host, tells the number when it has carried out all that was written before.
        """
        up = {"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]}
        _, found = self.database.transact([up, select("NB_Global", columns=["nb_cfg"])], deadline)
        return max((row["nb_cfg"] for row in found), default=0)

    def commit(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Carry out changes as one transaction; none when there are none.

        Raises:
            Conflict: what was read has changed meanwhile. Nothing was written: observe again.
            ConstraintViolation: a port's name belongs to another port. Nothing was written.
        """
        if not changes:
            return
        following = list(cascades(changes))
        deleted = [(kind, one.deleted) for kind, one in following if one.deleted]
        # Looked at in the same transaction, for what goes along with a change is not among the changes.
        there = [select(kind.table, key(uuid)) for kind, uuid in deleted]
        wanted = [*changes, *(one for _, one in following)]
        done = self.database.transact(
            [*there, *(operation for one in wanted for operation in one.operations)], deadline
        )
        for (kind, _), rows in zip(deleted, done, strict=False):
            for one in self._read(kind.read, rows):
                subnet, address = kind.lease(one) or ("", "")
                _log.warning("%s is deleted with its lease, %s of subnet %s", kind.display_name(one), address, subnet)
