"""Comparison of ovnhook's current rows with the desired ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.databases.defects import Defect, Integrity
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.withdrawn import withdrawn
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import (
    Operation,
    Row,
    as_map,
    as_set,
    delete,
    includes,
    insert,
    is_map,
    key,
    map_of,
    mutate,
    ref,
    require,
    set_of,
    update,
)
from ovnhook.resources import tables
from ovnhook.resources.kind import Kind, Put
from ovnhook.resources.kinds import SHARED
from ovnhook.resources.operations import OwnedRow, exists, refer, rewrite
from ovnhook.resources.port.rows import port_columns
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import increment_serial, read_registry, registry_columns
from ovnhook.resources.router.kind import NETWORK, ROUTER
from ovnhook.resources.router.topology import gateway_uuid, priorities
from ovnhook.resources.router.values import Router
from ovnhook.resources.security_group.kind import ARRIVALS, RESOLVER_PORTS, SECURITY_GROUP, arrivals, resolver_ports
from ovnhook.resources.state import Cloud, Registry, cloud_of
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet

T = TypeVar("T")

_DERIVED = (
    "names",
    "dhcp",
    "resolver",
    "router-port",
    "router-peer",
    "external",
    "external-limit",
    "isolated",
    "isolation",
    "snat",
    "gateway",
    "security-rule",
    "security-resolvers",
    "security-arrivals",
)
"""Kinds of rows that are derived from subnets, routers and security groups. Earlier versions wrote ``isolation``."""

_PARENTS = (
    (tables.SWITCH, "ports", tables.PORT),
    (tables.SWITCH, "qos_rules", tables.QOS),
    (tables.ROUTER, "ports", tables.ROUTER_PORT),
    (tables.ROUTER, "nat", tables.NAT),
    (tables.ROUTER, "policies", tables.POLICY),
    (tables.ROUTER, "static_routes", tables.ROUTE),
    (tables.GATEWAY_GROUP, "ha_chassis", tables.GATEWAY),
    (tables.PORT_GROUP, "acls", tables.ACL),
)
"""References: table and column, and the table that they refer to."""


class Comparison:
    """One comparison of current and desired rows.

    Args:
        database: for reads that only repairs need.
        rows: current rows, by table and UUID.
        previous: result of the previous check.
        deadline: of further reads.
    """

    def __init__(
        self, database: Northbound, rows: Mapping[str, Mapping[UUID, Row]], previous: Integrity, deadline: Deadline
    ) -> None:
        self._database = database
        self._rows = rows
        self._previous = previous
        self._deadline = deadline
        self._broken: list[OvnhookError] = []
        self._references: dict[tuple[str, UUID, str], frozenset[str]] = {}
        self._defining: set[UUID] = set()  # rows from which subnets and routers were read

    def result(self) -> Integrity:
        """The result of the check."""
        registry, lost = self._registry()
        subnets = self._subnets()
        routers = self._routers(subnets)
        cloud = cloud_of(registry, (*routers, *(subnets[name] for name in sorted(subnets))))
        runs: dict[UUID, str] = {}
        for kind in SHARED:
            if kind not in (ROUTER, SUBNET):
                values, defects = self._without_copy(kind, cloud, runs)
                cloud = replace(cloud, resources=(*cloud.resources, *values))
                lost += defects
        broken = tuple(Defect(error.message, error.hint) for error in self._broken)
        if self._broken:
            # The desired state is not completely known, so no row may be considered wrong or orphaned.
            return Integrity(cloud, broken, runs=runs)
        kinds: tuple[Kind[Any], ...] = (SUBNET, NETWORK, SECURITY_GROUP)
        nodes = {uuid: row for kind in kinds for one in cloud.of(kind.type) for uuid, row in kind.rows(one).items()}
        if resolvers := resolver_ports(cloud):
            nodes |= RESOLVER_PORTS.rows(resolvers)
        if arriving := arrivals(cloud):
            nodes |= ARRIVALS.rows(arriving)
        defects = [*lost]
        for uuid, node in nodes.items():
            defects += self._compare(uuid, node)
        defects += self._compare_dns_records(cloud)
        defects += self._compare_priorities(nodes)
        defects += self._orphaned(nodes)
        return Integrity(cloud, tuple(defects), tuple(self._guard()), runs)

    def _registry(self) -> tuple[Registry | None, list[Defect]]:
        row = self._rows[tables.DNS].get(uuids.REGISTRY)
        try:
            if row is not None:
                return read_registry(row), []
        except BrokenRow:
            pass
        if row is None and self._previous.cloud.registry is None:
            return None, []
        restored = increment_serial(self._previous.cloud).new or Registry()
        what = "the registry, which names the default subnet, is missing"
        if row is None:
            operations = [insert(tables.DNS, uuids.REGISTRY, registry_columns(restored))]
        else:
            what = "the registry, which names the default subnet, was changed"
            operations = rewrite(tables.DNS, uuids.REGISTRY, {}, registry_columns(restored))
        return restored, [Defect(what, operations=tuple(operations))]

    def _subnets(self) -> dict[str, Subnet]:
        found, broken = self._defined(SUBNET, self._of(tables.DNS, "names"), "cidr", uuids.dns_records)
        self._broken += broken.values()
        return found

    def _routers(self, subnets: Mapping[str, Subnet]) -> list[Router]:
        groups = self._of(tables.GATEWAY_GROUP, "external")
        found, broken = self._defined(ROUTER, groups, "physical-network", partial(uuids.part, "gateways"))
        for name in {subnet.router for subnet in subnets.values()} - {"", *found}:
            if str(uuids.router(name)) not in broken:
                found[name] = Router(name)
        self._broken += broken.values()
        return [found[name] for name in sorted(found)]

    def _without_copy(self, kind: Kind[Any], cloud: Cloud, runs: dict[UUID, str]) -> tuple[list[Any], list[Defect]]:
        """The values of a kind without copies in other rows, and the defects of their rows.

        A deleted row is restored from the previous check, unless it was deleted with its lease.

        Args:
            kind: the kind.
            cloud: resources of the kinds before it.
            runs: to which the run of each value's lease is added.
        """
        found: dict[UUID, Any] = {}
        broken: dict[UUID, BrokenRow] = {}
        for row in self._of(kind.table, kind.name):
            uuid = UUID(row["_uuid"][1])
            try:
                found[uuid] = kind.read(row)
            except BrokenRow as error:
                broken[uuid] = error
        before = self._previous.cloud
        is_same = bool(cloud.registry and before.registry and cloud.registry.serial == before.registry.serial)
        lost = [
            one
            for one in before.of(kind.type)
            if is_same and not (one.uuid in found and kind.equivalent(found[one.uuid], one))
        ]
        after = replace(cloud, resources=(*cloud.resources, *found.values(), *lost))
        places = {place for one in (*found.values(), *lost) if (place := kind.lease(one))}
        acquired = self._database.runs_at(places, self._deadline)

        def run(one: Any) -> str | None:
            place = kind.lease(one)
            return acquired.get(place) if place else None

        defects = []
        for one in lost:
            if run(one) != self._previous.runs.get(one.uuid) or [*kind.needs([one], after)]:
                continue  # deleted with its lease
            found[one.uuid] = one
            broken.pop(one.uuid, None)
            if kind.lease(one) is None:
                continue  # its rows are compared with those of subnets and routers
            if one.uuid not in self._rows[kind.table]:
                operations = Put(kind, None, one).operations
                defects.append(Defect(f"{kind.display_name(one)} is missing", operations=tuple(operations)))
            else:
                operations = rewrite(kind.table, one.uuid, {}, kind.rows(one)[one.uuid].row)
                defects.append(Defect(f"{kind.display_name(one)} was changed", operations=tuple(operations)))
        self._broken += broken.values()
        runs.update({one.uuid: known for one in found.values() if (known := run(one)) is not None})
        return sorted(found.values(), key=kind.order), defects

    def _defined(
        self, kind: Kind[T], copies: Iterable[Row], setting: str, uuid_of_copy: Callable[[str], UUID]
    ) -> tuple[dict[str, T], dict[str, BrokenRow]]:
        """Values of a kind by name, from their rows or from copies of these; and unreadable rows by UUID.

        Args:
            kind: a kind that is known by name: its key in external_ids is the name of the kind.
            copies: rows that have copies.
            setting: key of external_ids that tells a copy from such a row without one.
            uuid_of_copy: UUID of the row with the copy, by name; in another row it was changed by hand.
        """
        found: dict[str, Any] = {}
        broken: dict[str, BrokenRow] = {}
        for row in self._of(kind.table, kind.name):
            try:
                value: Any = kind.read(row)
                found[value.name] = value
                self._defining.add(value.uuid)
            except BrokenRow as error:
                broken[row["_uuid"][1]] = error
        for row in copies:
            ids = owned.own(row)
            if ids.get(kind.name, "") in found or setting not in ids:
                continue
            try:
                copy: Any = kind.read({"external_ids": row["external_ids"]})
            except BrokenRow:
                continue
            if uuid_of_copy(copy.name) == UUID(row["_uuid"][1]):
                found[copy.name] = copy
                broken.pop(str(copy.uuid), None)
        return found, broken

    def _of(self, table: str, *kinds: str) -> Iterator[Row]:
        """The rows of some kinds in a table."""
        return (row for row in self._rows[table].values() if owned.own(row).get("kind") in kinds)

    def _compare(self, uuid: UUID, node: OwnedRow) -> Iterator[Defect]:
        row = self._rows[node.table].get(uuid)
        name = _describe(node)
        if row is None:
            operations = [insert(node.table, uuid, self._complete(uuid, node))]
            if node.parent:
                operations.append(refer(node.parent, "insert", uuid))
            if node.table == tables.DHCP_OPTIONS:
                operations += self._dhcp_references(uuid, node)
            yield Defect(f"{name} is missing", operations=tuple(operations))
            return
        changed = {column: value for column, value in node.row.items() if not _matches(row[column], value)}
        if uuid in self._defining:
            changed.pop("external_ids", None)  # its settings are the desired ones, even without keys for defaults
        if changed:
            operations = rewrite(node.table, uuid, {}, changed)
            yield Defect(f"{name} was changed: {', '.join(sorted(changed))}", operations=tuple(operations))
        yield from withdrawn(uuid, node, row, name, self._previous)
        if node.parent:
            table, owner, column = node.parent
            parent = self._rows[table].get(owner, {})
            if column in parent and str(uuid) not in self._referred(table, owner, column):
                yield Defect(f"{name} is not in {table}", operations=(refer(node.parent, "insert", uuid),))

    def _referred(self, table: str, owner: UUID, column: str) -> frozenset[str]:
        """The UUIDs that a column of a row refers to."""
        place = (table, owner, column)
        if place not in self._references:
            self._references[place] = frozenset(one[1] for one in set_of(self._rows[table][owner][column]))
        return self._references[place]

    def _complete(self, uuid: UUID, node: OwnedRow) -> Row:
        """A missing row, with DNS records that are restored from leases."""
        ids = owned.own(node.row)
        if node.table != tables.DNS:
            return node.row
        leases = self._database.leases(self._deadline, subnet=ids["subnet"])
        by_domain = {lease.domain: [one for one in leases if one.domain == lease.domain] for lease in leases}
        records: dict[str, str] = {}
        for some in by_domain.values():
            records |= dns.records(some, ids.get("dns-domain", ""))
        return {**node.row, "records": as_map(records)}

    def _dhcp_references(self, uuid: UUID, node: OwnedRow) -> Iterator[Operation]:
        """Operations that restore references of ports to DHCP options, which were deleted with the options."""
        for port in self._database.ports(self._deadline, subnet=owned.own(node.row)["subnet"]):
            columns = port_columns(port)
            for column in ("dhcpv4_options", "dhcpv6_options"):
                if ref(uuid) in set_of(columns[column]):
                    yield update(tables.PORT, key(port.uuid), {column: columns[column]})

    def _compare_dns_records(self, cloud: Cloud) -> Iterator[Defect]:
        """Switches that do not refer to the DNS rows of the subnets on their router, or that still do."""
        own = {subnet.name: str(uuids.dns_records(subnet.name)) for subnet in cloud.of(Subnet)}
        shared: dict[str, set[str]] = {}
        for subnet in cloud.of(Subnet):
            if subnet.router and not subnet.isolated:
                shared.setdefault(subnet.router, set()).add(own[subnet.name])
        ours = {row["_uuid"][1] for row in self._of(tables.DNS, "names")}
        for subnet in cloud.of(Subnet):
            others = set() if subnet.isolated else shared.get(subnet.router, set())
            desired = {own[subnet.name], *others} if subnet.has_records else set()
            row = self._rows[tables.SWITCH].get(subnet.uuid)
            present = {one[1] for one in set_of(row["dns_records"])} if row else set()
            missing, more = desired - present, (present & ours) - desired
            mutations = [
                ["dns_records", how, as_set(["uuid", one] for one in sorted(some))]
                for how, some in (("delete", more), ("insert", missing))
                if some
            ]
            if mutations:
                what = f"{tables.SWITCH} of subnet {subnet.name} was changed: dns_records"
                yield Defect(what, operations=(mutate(tables.SWITCH, key(subnet.uuid), mutations),))

    def _compare_priorities(self, nodes: Mapping[UUID, OwnedRow]) -> Iterator[Defect]:
        """Gateways of a router with the same priority: OVN needs different ones (ovn-nb(5), HA_Chassis)."""
        orders: dict[str, list[tuple[UUID, Row]]] = {}
        for uuid, row in self._rows[tables.GATEWAY].items():
            if owned.own(row).get("kind") == "gateway" and self._is_gateway(uuid, row, nodes):
                orders.setdefault(owned.own(row)["router"], []).append((uuid, row))
        for router, hosts in sorted(orders.items()):
            if len({row["priority"] for _, row in hosts}) == len(hosts):
                continue
            hosts.sort(key=lambda host: (-int(host[1]["priority"]), host[1]["chassis_name"]))
            operations: list[Operation] = []
            chassis = [row["chassis_name"] for _, row in hosts]
            desired = {name: priority for priority, name in priorities(chassis).items()}
            for uuid, row in hosts:
                # A concurrent move of the gateway sets other priorities.
                operations.append(exists(tables.GATEWAY, uuid, ["priority", "==", row["priority"]]))
                operations.append(update(tables.GATEWAY, key(uuid), {"priority": desired[row["chassis_name"]]}))
            what = f"gateways of router {router} have the same priority: {', '.join(sorted(chassis))}"
            yield Defect(what, operations=tuple(operations))

    def _orphaned(self, nodes: Mapping[UUID, OwnedRow]) -> Iterator[Defect]:
        """Rows of subnets and routers that do not exist, or no longer need them."""
        for table, found in self._rows.items():
            for uuid, row in found.items():
                ids = owned.own(row)
                if ids.get("kind") not in _DERIVED or uuid in nodes:
                    continue
                if ids["kind"] == "gateway" and self._is_gateway(uuid, row, nodes):
                    continue
                yield Defect(
                    f"{_describe(OwnedRow(table, row))} is orphaned",
                    operations=(*_dereference(table, uuid), delete(table, key(uuid))),
                )

    def _is_gateway(self, uuid: UUID, row: Row, nodes: Mapping[UUID, OwnedRow]) -> bool:
        router = owned.own(row).get("router", "")
        return uuids.part("gateways", router) in nodes and uuid == gateway_uuid(router, row["chassis_name"])

    def _guard(self) -> Iterator[Operation]:
        row = self._rows[tables.DNS].get(uuids.REGISTRY)
        if row is None:
            yield require(tables.DNS, [key(uuids.REGISTRY)], [], ["_uuid"])
        else:
            ids = {name: value for name, value in map_of(row["external_ids"]).items() if name.startswith("ovnhook:")}
            yield exists(tables.DNS, uuids.REGISTRY, includes("external_ids", ids))


def _matches(present: Any, desired: Any) -> bool:
    """Compare a column. A map may have foreign keys."""
    if is_map(desired):
        return map_of(desired).items() <= map_of(present).items()
    return sorted(map(str, set_of(present))) == sorted(map(str, set_of(desired)))


def _dereference(table: str, uuid: UUID) -> Iterable[Operation]:
    """Operations that delete all references to a row."""
    members = as_set([ref(uuid)])
    for parent, column, child in _PARENTS:
        if child == table:
            yield mutate(parent, [column, "includes", members], [[column, "delete", members]])


def _describe(node: OwnedRow) -> str:
    """Table and name of a row, with its subnet and router."""
    ids = owned.own(node.row)
    named = f" {node.row['name']}" if node.row.get("name") else ""
    of = [f"{what.replace('-', ' ')} {ids[what]}" for what in ("subnet", "router", "security-group") if ids.get(what)]
    return f"{node.table}{named} of {' on '.join(of[:2])}"
