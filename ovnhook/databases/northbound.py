"""The OVN northbound database: queries and commits."""

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
from ovnhook.resources.subnet.values import resolver_port
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS
from ovnhook.resources.virtual_address.rows import read_virtual_address
from ovnhook.resources.virtual_address.values import VirtualAddress

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Northbound:
    """Client for ovnhook's rows. Thread-safe.

    Every method raises Unavailable if no server answers before the deadline.
    """

    def __init__(self, remotes: str) -> None:
        self.database = Database(remotes, "OVN_Northbound")
        self.clustered = len(remotes.split(",")) > 1
        self._broken = LogOnce(_log, "ignored")

    def observe(self, domain: UUID, macs: Iterable[str], subnets: Iterable[str], deadline: Deadline) -> Observed:
        """Read the registry, a domain's lease index and ports, and some subnets, in one transaction."""
        some = (
            queries.registry(),
            queries.lease_index(domain),
            queries.ports(domain, macs),
            queries.subnets(subnets),
        )
        return self.query(Observed(), some, deadline)

    def query(self, observed: Observed, some: Iterable[Query], deadline: Deadline) -> Observed:
        """Add results of queries to an earlier observation: one transaction, or none if there is nothing to read."""
        not_empty = [query for query in some if query.operations]
        operations = [operation for query in not_empty for operation in query.operations]
        found = iter(self.database.transact(operations, deadline) if operations else ())
        for query in not_empty:
            observed = query.add(observed, [next(found) for _ in query.operations])
        return observed

    def observe_with_leases(self, domain: UUID, macs: Iterable[str], deadline: Deadline) -> Observed:
        """Read all state of a domain, with the leases and subnets in its index, also those of removed interfaces."""
        known = set(macs)
        observed = self.observe(domain, known, (), deadline)
        if observed.lease_index is None:
            return observed
        held = observed.lease_index.leases
        every = known | {mac for mac, _, _ in held}
        observed = self.observe(domain, every, {name for _, name, _ in held}, deadline)
        virtual = queries.virtual_addresses(observed.named_virtual_addresses)
        observed = self.query(observed, [queries.leases((name, where) for _, name, where in held), *virtual], deadline)
        return self.with_virtual_addresses(observed, deadline)

    def with_virtual_addresses(self, observed: Observed, deadline: Deadline) -> Observed:
        """Add the virtual addresses that leases name and that were not read yet: those of domains that do not run."""
        missing = observed.named_virtual_addresses - observed.virtual_addresses.keys()
        return self.query(observed, queries.virtual_addresses(missing), deadline)

    def leases_at(
        self, places: Iterable[tuple[str, IPAddress]], deadline: Deadline, *, skip_broken: bool = False
    ) -> dict[tuple[str, IPAddress], Lease]:
        """The existing leases of some addresses. A virtual address is not leased.

        Args:
            places: subnet and address of each.
            deadline: of the read.
            skip_broken: ignore broken rows.
        """
        selects = [select(tables.DNS, key(uuids.lease(name, str(address)))) for name, address in places]
        results = self.database.transact(selects, deadline) if selects else []
        found = [row for result in results for row in result if owned.own(row).get("kind") != VIRTUAL_ADDRESS.name]
        leases = self._read(read_lease, found) if skip_broken else map(read_lease, found)
        return {(lease.subnet, lease.address): lease for lease in leases}

    def lease_uuids_at(self, places: Iterable[tuple[str, IPAddress]], deadline: Deadline) -> set[UUID]:
        """Row UUIDs of the existing leases of some addresses, and of virtual addresses."""
        selects = [
            select(tables.DNS, key(uuids.lease(name, str(address))), columns=["_uuid"]) for name, address in places
        ]
        results = self.database.transact(selects, deadline) if selects else []
        return {UUID(row["_uuid"][1]) for result in results for row in result}

    def lease_uuids(self, deadline: Deadline, **ids: str) -> set[UUID]:
        """Row UUIDs of all leases and virtual addresses with these external_ids (``subnet=``).

        Slow: the server scans the table.
        """
        matches = [includes("external_ids", owned.kind(kind, **ids)) for kind in ("lease", VIRTUAL_ADDRESS.name)]
        found = self.database.transact([select(tables.DNS, one, columns=["_uuid"]) for one in matches], deadline)
        return {UUID(row["_uuid"][1]) for rows in found for row in rows}

    def runs_at(self, places: Iterable[tuple[str, IPAddress]], deadline: Deadline) -> dict[tuple[str, IPAddress], str]:
        """The runs that acquired the existing leases of some addresses, or reserved the virtual addresses."""
        queried = list(places)
        selects = [
            select(tables.DNS, key(uuids.lease(name, str(address))), columns=["external_ids"])
            for name, address in queried
        ]
        results = self.database.transact(selects, deadline) if selects else []
        return {
            place: owned.own(row).get("run", "") for place, rows in zip(queried, results, strict=True) for row in rows
        }

    def virtual_addresses(self, deadline: Deadline, **ids: str) -> list[VirtualAddress]:
        """All virtual addresses with these external_ids (``subnet=``), sorted by subnet and address."""
        match = includes("external_ids", owned.kind(VIRTUAL_ADDRESS.name, **ids))
        (found,) = self.database.transact([select(tables.DNS, match)], deadline)
        return sorted(self._read(read_virtual_address, found), key=lambda one: (one.subnet, one.address))

    def cloud(self, deadline: Deadline) -> Cloud:
        """All shared resources and the registry, in one transaction."""
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
        """The gateways of each router, in descending priority."""
        match = includes("external_ids", owned.kind(GATEWAYS.name))
        (hosts,) = self.database.transact([select(tables.GATEWAY, match)], deadline)
        found: dict[str, tuple[str, ...]] = {}
        for one in sorted(self._read(GATEWAYS.read, hosts), key=lambda one: -one.priority):
            found[one.router] = (*found.get(one.router, ()), *one.hosts)
        return found

    def leases(self, deadline: Deadline, **ids: str) -> list[Lease]:
        """All leases with these external_ids (``subnet=``, ``hostname=``), sorted by subnet and address."""
        match = includes("external_ids", owned.kind("lease", **ids))
        (found,) = self.database.transact([select(tables.DNS, match)], deadline)
        return sorted(self._read(read_lease, found), key=lambda lease: (lease.subnet, lease.address))

    def lease_counts(self, deadline: Deadline, **ids: str) -> Counter[tuple[str, int]]:
        """Number of leases by subnet and IP version, of those with these external_ids."""
        match = includes("external_ids", owned.kind("lease", **ids))
        columns = ["records"] if "subnet" in ids else ["records", "external_ids"]
        (found,) = self.database.transact([select(tables.DNS, match, columns=columns)], deadline)
        return Counter(
            (ids.get("subnet") or owned.own(row).get("subnet", ""), 6 if ":" in address else 4)
            for row in found
            for address in map_of(row["records"]).values()
        )

    def ports(self, deadline: Deadline, **ids: str) -> list[Port]:
        """All ports with these external_ids (``subnet=``, ``domain=``, ``host=``), sorted by domain and MAC."""
        match = includes("external_ids", owned.kind("port", **ids))
        (found,) = self.database.transact([select(tables.PORT, match, columns=PORT_COLUMNS)], deadline)
        return sorted(self._read(read_port, found), key=lambda port: (port.domain_name, port.mac))

    def domain_rows(self, deadline: Deadline) -> DomainRows:
        """All rows of all domains, in one transaction."""
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
        """Foreign ports with one of these MACs on subnets' switches: subnet, MAC and name. Slow: scans the table."""
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
        selects = [
            select(
                tables.SWITCH,
                ["ports", "includes", as_set([ref(uuid)])],
                includes("external_ids", owned.kind("subnet")),
                columns=["external_ids"],
            )
            for uuid, _, _ in having
        ]
        results = self.database.transact(selects, deadline) if selects else []
        return [
            (owned.own(switch).get("subnet", ""), mac, name)
            for (_, mac, name), switches in zip(having, results, strict=True)
            for switch in switches
        ]

    def port_counts(self, deadline: Deadline, by: str = "host") -> Counter[str]:
        """Number of ports by host, or by subnet (``subnet``)."""
        match = includes("external_ids", owned.kind("port"))
        (found,) = self.database.transact([select(tables.PORT, match, columns=["external_ids"])], deadline)
        return Counter(owned.own(row).get(by, "") for row in found)

    def nb_cfg(self, deadline: Deadline) -> int:
        """NB_Global.nb_cfg, which `increment_nb_cfg` increments."""
        (found,) = self.database.transact([select("NB_Global", columns=["nb_cfg"])], deadline)
        return max((row["nb_cfg"] for row in found), default=0)

    def lease_indexes(self, deadline: Deadline, **ids: str) -> list[LeaseIndex]:
        """All lease indexes with these external_ids (``host=``)."""
        match = includes("external_ids", owned.kind("domain", **ids))
        (found,) = self.database.transact([select(tables.DNS, match)], deadline)
        return list(self._read(read_lease_index, found))

    def _read(
        self, read: Callable[..., T], found: Iterable[Row], *more: object, broken: list[BrokenRow] | None = None
    ) -> Iterator[T]:
        """Read rows of a table. Broken ones are ignored, and logged once.

        Args:
            read: reader of one row.
            found: the rows.
            more: further arguments of `read`.
            broken: list to which errors are added.
        """
        for row in found:
            try:
                yield read(row, *more)
            except BrokenRow as error:
                self._broken.failed(error, about=str(error))
                if broken is not None:
                    broken.append(error)

    def port_named(self, name: str, deadline: Deadline) -> tuple[bool, Port | None]:
        """Find a port by name (iface-id): whether it exists, and its value unless it is a foreign port."""
        (found,) = self.database.transact([select(tables.PORT, ["name", "==", name])], deadline)
        ours = [row for row in found if owned.own(row)]
        return bool(found), read_port(ours[0]) if ours else None

    def port_names(self, subnet: str, deadline: Deadline) -> list[str]:
        """Names of all ports on a subnet's switch, including foreign ones, except the router's and the resolver's."""
        uuid = key(uuids.switch(subnet))
        (found,) = self.database.transact([select(tables.SWITCH, uuid, columns=["ports"])], deadline)
        ports = [UUID(port[1]) for row in found for port in set_of(row["ports"])]
        results = self.database.transact([select(tables.PORT, key(port), columns=["name"]) for port in ports], deadline)
        names = (row["name"] for result in results for row in result)
        own = resolver_port(subnet)
        return sorted(name for name in names if name != own and not name.startswith(router_peer("", subnet)))

    def dns_records(self, subnet: str, deadline: Deadline) -> dict[str, str]:
        """All DNS records of a subnet."""
        (found,) = self.database.transact([select(tables.DNS, key(uuids.dns_records(subnet)))], deadline)
        return {name: value for row in found for name, value in map_of(row["records"]).items()}

    def is_foreign_switch(self, name: str, deadline: Deadline) -> bool:
        """Check for a foreign logical switch of that name, which the schema does not make unique."""
        return self._is_foreign(tables.SWITCH, name, deadline)

    def is_foreign_port_group(self, name: str, deadline: Deadline) -> bool:
        """Check for a foreign port group of that name."""
        return self._is_foreign(tables.PORT_GROUP, name, deadline)

    def members(self, group: UUID, deadline: Deadline) -> tuple[list[Port], bool]:
        """The ports of a security group, sorted by domain and MAC, and whether it has foreign ones, too."""
        (found,) = self.database.transact([select(tables.PORT_GROUP, key(group), columns=["ports"])], deadline)
        ports = [UUID(port[1]) for row in found for port in set_of(row["ports"])]
        selects = [select(tables.PORT, key(port), columns=PORT_COLUMNS) for port in ports]
        results = self.database.transact(selects, deadline) if selects else []
        rows = [row for result in results for row in result]
        ours = [row for row in rows if owned.own(row)]
        read = sorted(self._read(read_port, ours), key=lambda port: (port.domain_name, port.mac))
        return read, len(ours) < len(rows)

    def is_foreign_router(self, name: str, deadline: Deadline) -> bool:
        """Check for a foreign logical router of that name."""
        return self._is_foreign(tables.ROUTER, name, deadline)

    def _is_foreign(self, table: str, name: str, deadline: Deadline) -> bool:
        (found,) = self.database.transact([select(table, ["name", "==", name], columns=["external_ids"])], deadline)
        return any(not owned.own(row) for row in found)

    def northd_version(self, deadline: Deadline) -> str:
        """Version of the running ovn-northd, or "" if none has ever run."""
        (found,) = self.database.transact([select("NB_Global", columns=["options"])], deadline)
        return next((map_of(row["options"]).get("northd_internal_version", "") for row in found), "")

    def increment_nb_cfg(self, deadline: Deadline) -> int:
        """Increment NB_Global.nb_cfg, as ``ovn-nbctl sync`` does, and return it.

        northd, and then each chassis, reports the number once it has applied all earlier changes.
        """
        increment = {"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]}
        _, found = self.database.transact([increment, select("NB_Global", columns=["nb_cfg"])], deadline)
        return max((row["nb_cfg"] for row in found), default=0)

    def commit(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Commit changes with their cascades in one transaction; without changes, do nothing.

        Plan from what was read, and read again after a conflict (ovnhook.engine.commit)::

            observed = northbound.observe(domain.uuid, domain.macs, (), deadline)
            northbound.commit(plan.attach(domain, host, placements, observed), deadline)

        Raises:
            Conflict: a row has changed since it was read. Nothing was written.
            ConstraintViolation: another port has a port's name. Nothing was written.
        """
        if not changes:
            return
        cascading = list(cascades(changes))
        deleted = [(kind, one.deleted) for kind, one in cascading if one.deleted]
        # For the log: a row that a cascade deletes is not among the changes, so it is selected first.
        before = [select(kind.table, key(uuid)) for kind, uuid in deleted]
        parts = [*changes, *(one for _, one in cascading)]
        results = self.database.transact(
            [*before, *(operation for one in parts for operation in one.operations)], deadline
        )
        for (kind, _), rows in zip(deleted, results, strict=False):
            for one in self._read(kind.read, rows):
                subnet, address = kind.lease(one) or ("", "")
                _log.warning("%s is deleted with its lease, %s of subnet %s", kind.display_name(one), address, subnet)
