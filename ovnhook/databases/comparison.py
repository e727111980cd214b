"""Our own rows compared with what they are to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.databases.defects import Defect, Integrity
from ovnhook.databases.northbound import Northbound
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
from ovnhook.resources.state import Cloud, Registry, cloud_of
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet

_DERIVED = ("names", "dhcp", "router-port", "router-peer", "external", "isolated", "isolation", "snat", "gateway")
"""Kinds of rows that follow from subnets and routers; ``isolation`` is one that earlier versions wrote."""

_PARENTS = (
    (tables.SWITCH, "ports", tables.PORT),
    (tables.ROUTER, "ports", tables.ROUTER_PORT),
    (tables.ROUTER, "nat", tables.NAT),
    (tables.ROUTER, "policies", tables.POLICY),
    (tables.ROUTER, "static_routes", tables.ROUTE),
    (tables.GATEWAY_GROUP, "ha_chassis", tables.GATEWAY),
)
"""Tables and columns that refer to rows, and the tables of those."""


class Comparison:
    """One comparison of what there is with what is to be.

    Args:
        database: for what only a repair needs to know.
        there: rows by table and UUID.
        known: an earlier reading.
        deadline: when to give up.
    """

    def __init__(
        self, database: Northbound, there: Mapping[str, Mapping[UUID, Row]], known: Integrity, deadline: Deadline
    ) -> None:
        self._database = database
        self._there = there
        self._known = known
        self._deadline = deadline
        self._broken: list[OvnhookError] = []
        self._references: dict[tuple[str, UUID, str], frozenset[str]] = {}
        self._defining: set[UUID] = set()  # rows that say what subnets and routers are

    def result(self) -> Integrity:
        """What is found."""
        registry, lost = self._registry()
        subnets = self._subnets()
        routers = self._routers(subnets)
        cloud = cloud_of(registry, (*routers, *(subnets[name] for name in sorted(subnets))))
        runs: dict[UUID, str] = {}
        for kind in SHARED:
            if kind not in (ROUTER, SUBNET):
                values, defects = self._single(kind, cloud, runs)
                cloud = replace(cloud, resources=(*cloud.resources, *values))
                lost += defects
        broken = tuple(Defect(error.message, error.hint) for error in self._broken)
        if self._broken:
            # What is to be is not known as a whole: nothing may be taken for left over, or for wrong.
            return Integrity(cloud, broken, runs=runs)
        kinds: tuple[Kind[Any], ...] = (SUBNET, NETWORK)
        nodes = {uuid: row for kind in kinds for one in cloud.of(kind.type) for uuid, row in kind.rows(one).items()}
        defects = [*lost]
        for uuid, node in nodes.items():
            defects += self._compare(uuid, node)
        defects += self._compare_names(cloud)
        defects += self._compare_priorities(nodes)
        defects += self._left_over(nodes)
        return Integrity(cloud, tuple(defects), tuple(self._guard()), runs)

    def _registry(self) -> tuple[Registry | None, list[Defect]]:
        row = self._there[tables.DNS].get(uuids.REGISTRY)
        try:
            if row is not None:
                return read_registry(row), []
        except BrokenRow:
            pass
        if row is None and self._known.cloud.registry is None:
            return None, []
        restored = increment_serial(self._known.cloud).new or Registry()
        what = "the registry, which names the default subnet, is missing"
        if row is None:
            operations = [insert(tables.DNS, uuids.REGISTRY, registry_columns(restored))]
        else:
            what = "the registry, which names the default subnet, was changed"
            operations = rewrite(tables.DNS, uuids.REGISTRY, {}, registry_columns(restored))
        return restored, [Defect(what, operations=tuple(operations))]

    def _subnets(self) -> dict[str, Subnet]:
        found: dict[str, Subnet] = {}
        broken: dict[str, BrokenRow] = {}
        for row in self._of(tables.SWITCH, "subnet"):
            try:
                subnet = SUBNET.read(row)
                found[subnet.name] = subnet
                self._defining.add(subnet.uuid)
            except BrokenRow as error:
                broken[row["_uuid"][1]] = error
        for row in self._of(tables.DNS, "names"):
            name = owned.own(row).get("subnet", "")
            if name in found or "cidr" not in owned.own(row):
                continue
            try:
                copy = SUBNET.read({"external_ids": row["external_ids"]})
            except BrokenRow:
                continue
            if uuids.dns_records(copy.name) == UUID(row["_uuid"][1]):
                found[copy.name] = copy
                broken.pop(str(copy.uuid), None)
        self._broken += broken.values()
        return found

    def _routers(self, subnets: Mapping[str, Subnet]) -> list[Router]:
        found: dict[str, Router] = {}
        broken: dict[str, BrokenRow] = {}
        for row in self._of(tables.ROUTER, "router"):
            try:
                router = ROUTER.read(row)
                found[router.name] = router
                self._defining.add(router.uuid)
            except BrokenRow as error:
                broken[row["_uuid"][1]] = error
        for row in self._of(tables.GATEWAY_GROUP, "external"):
            if owned.own(row).get("router", "") in found or "physical-network" not in owned.own(row):
                continue
            try:
                copy = ROUTER.read({"external_ids": row["external_ids"]})
            except BrokenRow:
                continue
            found[copy.name] = copy
            broken.pop(str(copy.uuid), None)
        for name in {subnet.router for subnet in subnets.values()} - {"", *found}:
            if str(uuids.router(name)) not in broken:
                found[name] = Router(name)
        self._broken += broken.values()
        return [found[name] for name in sorted(found)]

    def _single(self, kind: Kind[Any], cloud: Cloud, runs: dict[UUID, str]) -> tuple[list[Any], list[Defect]]:
        """The values of a kind of which no other row says anything, and the defects of their rows.

        One that is lost is known by an earlier reading, unless it has gone with its lease since.

        Args:
            kind: one whose values only their own rows tell.
            cloud: the kinds before it.
            runs: the run of the lease of each value is added.
        """
        found: dict[UUID, Any] = {}
        broken: dict[UUID, BrokenRow] = {}
        for row in self._of(kind.table, kind.name):
            uuid = UUID(row["_uuid"][1])
            try:
                found[uuid] = kind.read(row)
            except BrokenRow as error:
                broken[uuid] = error
        before = self._known.cloud
        is_same = bool(cloud.registry and before.registry and cloud.registry.serial == before.registry.serial)
        lost = [
            one
            for one in before.of(kind.type)
            if is_same and not (one.uuid in found and kind.equivalent(found[one.uuid], one))
        ]
        places = {place for one in (*found.values(), *lost) if (place := kind.lease(one))}
        leases = self._database.leases_at(places, self._deadline, skip_broken=True) if places else {}

        def run(one: Any) -> str | None:
            place = kind.lease(one)
            return leases[place].run if place in leases else None

        defects = []
        for one in lost:
            if run(one) != self._known.runs.get(one.uuid) or [*kind.needs([one], cloud)]:
                continue  # it has gone with its lease
            if one.uuid not in self._there[kind.table]:
                operations = Put(kind, None, one).operations
                defects.append(Defect(f"{kind.display_name(one)} is missing", operations=tuple(operations)))
            else:
                operations = rewrite(kind.table, one.uuid, {}, kind.rows(one)[one.uuid].row)
                defects.append(Defect(f"{kind.display_name(one)} was changed", operations=tuple(operations)))
            found[one.uuid] = one
            broken.pop(one.uuid, None)
        self._broken += broken.values()
        runs.update({one.uuid: known for one in found.values() if (known := run(one)) is not None})
        return sorted(found.values(), key=kind.order), defects

    def _of(self, table: str, *kinds: str) -> Iterator[Row]:
        """The rows of a table that are of some kinds of ours."""
        return (row for row in self._there[table].values() if owned.own(row).get("kind") in kinds)

    def _compare(self, uuid: UUID, node: OwnedRow) -> Iterator[Defect]:
        row = self._there[node.table].get(uuid)
        words = _words(node)
        if row is None:
            operations = [insert(node.table, uuid, self._complete(uuid, node))]
            if node.parent:
                operations.append(refer(node.parent, "insert", uuid))
            if node.table == tables.DHCP_OPTIONS:
                operations += self._given(uuid, node)
            yield Defect(f"{words} is missing", operations=tuple(operations))
            return
        changed = {name: value for name, value in node.row.items() if not _says(row[name], value)}
        if uuid in self._defining:
            changed.pop("external_ids", None)  # what it says is what is to be, also where it leaves out a default
        if changed:
            operations = rewrite(node.table, uuid, {}, changed)
            yield Defect(f"{words} was changed: {', '.join(sorted(changed))}", operations=tuple(operations))
        if node.parent:
            table, owner, column = node.parent
            parent = self._there[table].get(owner, {})
            if column in parent and str(uuid) not in self._referred(table, owner, column):
                yield Defect(f"{words} is not in {table}", operations=(refer(node.parent, "insert", uuid),))

    def _referred(self, table: str, owner: UUID, column: str) -> frozenset[str]:
        """The UUIDs that a column of a row refers to."""
        place = (table, owner, column)
        if place not in self._references:
            self._references[place] = frozenset(one[1] for one in set_of(self._there[table][owner][column]))
        return self._references[place]

    def _complete(self, uuid: UUID, node: OwnedRow) -> Row:
        """A row that is missing, with what only it knew as far as that is known elsewhere."""
        ids = owned.own(node.row)
        if node.table != tables.DNS:
            return node.row
        leases = self._database.leases(self._deadline, subnet=ids["subnet"])
        by_domain = {lease.domain: [one for one in leases if one.domain == lease.domain] for lease in leases}
        records: dict[str, str] = {}
        for some in by_domain.values():
            records |= dns.records(some, ids.get("dns-domain", ""))
        return {**node.row, "records": as_map(records)}

    def _given(self, uuid: UUID, node: OwnedRow) -> Iterator[Operation]:
        """What gives the guests' ports their DHCP options back: a reference goes with what it refers to."""
        for port in self._database.ports(self._deadline, subnet=owned.own(node.row)["subnet"]):
            columns = port_columns(port)
            for column in ("dhcpv4_options", "dhcpv6_options"):
                if ref(uuid) in set_of(columns[column]):
                    yield update(tables.PORT, key(port.uuid), {column: columns[column]})

    def _compare_names(self, cloud: Cloud) -> Iterator[Defect]:
        """Switches that do not refer to the names that their guests may ask for, or to others of ours."""
        own = {subnet.name: str(uuids.dns_records(subnet.name)) for subnet in cloud.of(Subnet)}
        shared: dict[str, set[str]] = {}
        for subnet in cloud.of(Subnet):
            if subnet.router and not subnet.isolated:
                shared.setdefault(subnet.router, set()).add(own[subnet.name])
        ours = {row["_uuid"][1] for row in self._of(tables.DNS, "names")}
        for subnet in cloud.of(Subnet):
            wanted = {own[subnet.name]} | (set() if subnet.isolated else shared.get(subnet.router, set()))
            row = self._there[tables.SWITCH].get(subnet.uuid)
            present = {one[1] for one in set_of(row["dns_records"])} if row else set()
            missing, more = wanted - present, (present & ours) - wanted
            mutations = [
                ["dns_records", how, as_set(["uuid", one] for one in sorted(some))]
                for how, some in (("delete", more), ("insert", missing))
                if some
            ]
            if mutations:
                what = f"the switch of subnet {subnet.name} refers to other names than it is to: dns_records"
                yield Defect(what, operations=(mutate(tables.SWITCH, key(subnet.uuid), mutations),))

    def _compare_priorities(self, nodes: Mapping[UUID, OwnedRow]) -> Iterator[Defect]:
        """Gateways of one router that have the same priority: OVN needs an order (ovn-nb(5), HA_Chassis)."""
        orders: dict[str, list[tuple[UUID, Row]]] = {}
        for uuid, row in self._there[tables.GATEWAY].items():
            if owned.own(row).get("kind") == "gateway" and self._is_gateway(uuid, row, nodes):
                orders.setdefault(owned.own(row)["router"], []).append((uuid, row))
        for router, hosts in sorted(orders.items()):
            if len({row["priority"] for _, row in hosts}) == len(hosts):
                continue
            hosts.sort(key=lambda host: (-int(host[1]["priority"]), host[1]["chassis_name"]))
            operations: list[Operation] = []
            chassis = [row["chassis_name"] for _, row in hosts]
            wanted = {name: priority for priority, name in priorities(chassis).items()}
            for uuid, row in hosts:
                # A move of the gateway meanwhile sets them itself.
                operations.append(exists(tables.GATEWAY, uuid, ["priority", "==", row["priority"]]))
                operations.append(update(tables.GATEWAY, key(uuid), {"priority": wanted[row["chassis_name"]]}))
            what = f"gateways of router {router} have the same priority: {', '.join(sorted(chassis))}"
            yield Defect(what, operations=tuple(operations))

    def _left_over(self, nodes: Mapping[UUID, OwnedRow]) -> Iterator[Defect]:
        """Rows of what is no more."""
        for table, found in self._there.items():
            for uuid, row in found.items():
                ids = owned.own(row)
                if ids.get("kind") not in _DERIVED or uuid in nodes:
                    continue
                if ids["kind"] == "gateway" and self._is_gateway(uuid, row, nodes):
                    continue
                yield Defect(
                    f"{_words(OwnedRow(table, row))} is left over",
                    operations=(*_apart(table, uuid), delete(table, key(uuid))),
                )

    def _is_gateway(self, uuid: UUID, row: Row, nodes: Mapping[UUID, OwnedRow]) -> bool:
        router = owned.own(row).get("router", "")
        return uuids.part("gateways", router) in nodes and uuid == gateway_uuid(router, row["chassis_name"])

    def _guard(self) -> Iterator[Operation]:
        row = self._there[tables.DNS].get(uuids.REGISTRY)
        if row is None:
            yield require(tables.DNS, [key(uuids.REGISTRY)], [], ["_uuid"])
        else:
            ids = {name: value for name, value in map_of(row["external_ids"]).items() if name.startswith("ovnhook:")}
            yield exists(tables.DNS, uuids.REGISTRY, includes("external_ids", ids))


def _says(present: Any, wanted: Any) -> bool:
    """Whether a column says what it is to say; of a map, whether it does beside what others have put there."""
    if is_map(wanted):
        return map_of(wanted).items() <= map_of(present).items()
    return sorted(map(str, set_of(present))) == sorted(map(str, set_of(wanted)))


def _apart(table: str, uuid: UUID) -> Iterable[Operation]:
    """What takes a row away from whatever refers to it."""
    members = as_set([ref(uuid)])
    for parent, column, child in _PARENTS:
        if child == table:
            yield mutate(parent, [column, "includes", members], [[column, "delete", members]])


def _words(node: OwnedRow) -> str:
    """Which row, for people: the table is OVN's, the rest tells of what it is."""
    ids = owned.own(node.row)
    named = f" {node.row['name']}" if node.row.get("name") else ""
    if ids.get("kind") == "names":
        named = " of the names"
    of = [f"{what} {ids[what]}" for what in ("subnet", "router") if ids.get(what)]
    return f"{node.table}{named} of {' on '.join(of[:2])}"
