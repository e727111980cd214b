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
from ovnhook.databases.operations import exists, operations_of
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
from ovnhook.resources.changes import AddFloating
from ovnhook.resources.floating_ip.rows import floating_row, read_floating
from ovnhook.resources.floating_ip.values import Floating
from ovnhook.resources.port.rows import port_columns
from ovnhook.resources.reading import BrokenRow
from ovnhook.resources.registry import read_registry, registry_columns
from ovnhook.resources.router import topology
from ovnhook.resources.router.rows import read_router
from ovnhook.resources.router.topology import RowNode
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet import names
from ovnhook.resources.subnet.rows import read_subnet
from ovnhook.resources.subnet.values import Subnet

_DERIVED = ("names", "dhcp", "router-port", "router-peer", "external", "isolated", "snat", "gateway")
_PARENTS = (
    (tables.SWITCH, "ports", tables.PORT),
    (topology.ROUTER, "ports", topology.ROUTER_PORT),
    (topology.ROUTER, "nat", topology.NAT),
    (topology.ROUTER, "policies", topology.POLICY),
    (topology.ROUTER, "static_routes", topology.ROUTE),
    (topology.GROUP, "ha_chassis", topology.GATEWAY),
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
        default = registry.default_subnet if registry else ""
        subnets = self._subnets(default)
        routers = self._routers(subnets)
        cloud = Cloud(registry, tuple(subnets[name] for name in sorted(subnets)), tuple(routers))
        floating, runs, unfloated = self._floating(cloud)
        cloud = replace(cloud, floating=floating)
        broken = tuple(Defect(error.message, error.hint) for error in self._broken)
        if self._broken:
            # What is to be is not known as a whole: nothing may be taken for left over, or for wrong.
            return Integrity(cloud, broken, runs=runs)
        on: dict[str, list[Subnet]] = {}
        for subnet in cloud.subnets:
            on.setdefault(subnet.router, []).append(subnet)
        networks = [Network(router, tuple(on.get(router.name, ()))) for router in routers]
        nodes = {uuid: node for network in networks for uuid, node in topology.nodes(network).items()}
        nodes |= {uuid: node for subnet in cloud.subnets for uuid, node in topology.subnet_nodes(subnet).items()}
        defects = [*lost]
        for uuid, node in nodes.items():
            defects += self._compare(uuid, node)
        defects += self._compare_names(cloud)
        defects += self._compare_priorities(nodes)
        defects += self._left_over(nodes)
        return Integrity(cloud, (*defects, *unfloated), tuple(self._guard()), runs)

    def _registry(self) -> tuple[Any, list[Defect]]:
        row = self._there[tables.DNS].get(uuids.REGISTRY)
        try:
            if row is not None:
                return read_registry(row), []
        except BrokenRow:
            pass
        if row is None and self._known.cloud.registry is None:
            return None, []
        restored = self._known.cloud.count().new
        what = "the registry, which names the default subnet, is missing"
        if row is None:
            operations = [insert(tables.DNS, uuids.REGISTRY, registry_columns(restored))]
        else:
            what = "the registry, which names the default subnet, was changed"
            operations = topology.put(tables.DNS, uuids.REGISTRY, {}, registry_columns(restored))
        return restored, [Defect(what, operations=tuple(operations))]

    def _subnets(self, default: str) -> dict[str, Subnet]:
        found: dict[str, Subnet] = {}
        broken: dict[str, BrokenRow] = {}
        for row in self._of(tables.SWITCH, "subnet"):
            try:
                subnet = read_subnet(row, default)
                found[subnet.name] = subnet
                self._defining.add(subnet.uuid)
            except BrokenRow as error:
                broken[row["_uuid"][1]] = error
        for row in self._of(tables.DNS, "names"):
            name = owned.own(row).get("subnet", "")
            if name in found or "cidr" not in owned.own(row):
                continue
            try:
                copy = read_subnet({"external_ids": row["external_ids"]}, default)
            except BrokenRow:
                continue
            if uuids.names(copy.name) == UUID(row["_uuid"][1]):
                found[copy.name] = copy
                broken.pop(str(copy.uuid), None)
        self._broken += broken.values()
        return found

    def _routers(self, subnets: Mapping[str, Subnet]) -> list[Router]:
        found: dict[str, Router] = {}
        broken: dict[str, BrokenRow] = {}
        for row in self._of(topology.ROUTER, "router"):
            try:
                router = read_router(row)
                found[router.name] = router
                self._defining.add(router.uuid)
            except BrokenRow as error:
                broken[row["_uuid"][1]] = error
        for row in self._of(topology.GROUP, "external"):
            if owned.own(row).get("router", "") in found or "physical-network" not in owned.own(row):
                continue
            try:
                copy = read_router({"external_ids": row["external_ids"]})
            except BrokenRow:
                continue
            found[copy.name] = copy
            broken.pop(str(copy.uuid), None)
        for name in {subnet.router for subnet in subnets.values()} - {"", *found}:
            if str(uuids.router(name)) not in broken:
                found[name] = Router(name)
        self._broken += broken.values()
        return [found[name] for name in sorted(found)]

    def _floating(self, cloud: Cloud) -> tuple[tuple[Floating, ...], dict[UUID, str], list[Defect]]:
        """Floating addresses, also those that are lost as far as they are known, and the runs of their leases."""
        found: dict[UUID, Floating] = {}
        broken: dict[UUID, BrokenRow] = {}
        for row in self._of(topology.NAT, "floating"):
            uuid = UUID(row["_uuid"][1])
            try:
                found[uuid] = read_floating(row)
            except BrokenRow as error:
                broken[uuid] = error
        before = self._known.cloud
        is_same = bool(cloud.registry and before.registry and cloud.registry.serial == before.registry.serial)
        lost = [one for one in before.floating if is_same and not _is_alike(found.get(one.uuid), one)]
        places = {(one.subnet, one.inside) for one in (*found.values(), *lost)}
        leases = self._database.leases_at(places, self._deadline, pass_over=True) if places else {}
        routers = {router.name for router in cloud.routers}
        defects = []
        for one in lost:
            lease = leases.get((one.subnet, one.inside))
            if not lease or lease.run != self._known.runs.get(one.uuid) or one.router not in routers:
                continue  # it has gone with its lease
            words = f"floating IP {one.address} of domain {one.domain_name}"
            if one.uuid not in self._there[topology.NAT]:
                operations = operations_of(AddFloating(one))
                defects.append(Defect(f"{words} is missing", operations=tuple(operations)))
            else:
                operations = topology.put(topology.NAT, one.uuid, {}, floating_row(one))
                defects.append(Defect(f"{words} was changed", operations=tuple(operations)))
            found[one.uuid] = one
            broken.pop(one.uuid, None)
        self._broken += broken.values()
        runs = {
            one.uuid: lease.run for one in found.values() if (lease := leases.get((one.subnet, one.inside))) is not None
        }
        return tuple(sorted(found.values(), key=lambda one: (one.router, one.address))), runs, defects

    def _of(self, table: str, *kinds: str) -> Iterator[Row]:
        """The rows of a table that are of some kinds of ours."""
        return (row for row in self._there[table].values() if owned.own(row).get("kind") in kinds)

    def _compare(self, uuid: UUID, node: RowNode) -> Iterator[Defect]:
        row = self._there[node.table].get(uuid)
        words = _words(node)
        if row is None:
            operations = [insert(node.table, uuid, self._complete(uuid, node))]
            if node.parent:
                table, owner, column = node.parent
                operations.append(mutate(table, key(owner), [[column, "insert", tables.members(uuid)]]))
            if node.table == tables.DHCP_OPTIONS:
                operations += self._given(uuid, node)
            yield Defect(f"{words} is missing", operations=tuple(operations))
            return
        changed = {name: value for name, value in node.row.items() if not _says(row[name], value)}
        if uuid in self._defining:
            changed.pop("external_ids", None)  # what it says is what is to be, also where it leaves out a default
        if changed:
            operations = topology.put(node.table, uuid, {}, changed)
            yield Defect(f"{words} was changed: {', '.join(sorted(changed))}", operations=tuple(operations))
        if node.parent:
            table, owner, column = node.parent
            parent = self._there[table].get(owner, {})
            if column in parent and str(uuid) not in self._referred(table, owner, column):
                moved = mutate(table, key(owner), [[column, "insert", tables.members(uuid)]])
                yield Defect(f"{words} is not in {table}", operations=(moved,))

    def _referred(self, table: str, owner: UUID, column: str) -> frozenset[str]:
        """The UUIDs that a column of a row refers to."""
        place = (table, owner, column)
        if place not in self._references:
            self._references[place] = frozenset(one[1] for one in set_of(self._there[table][owner][column]))
        return self._references[place]

    def _complete(self, uuid: UUID, node: RowNode) -> Row:
        """A row that is missing, with what only it knew as far as that is known elsewhere."""
        ids = owned.own(node.row)
        if node.table != tables.DNS:
            return node.row
        leases = self._database.leases(self._deadline, subnet=ids["subnet"])
        by_domain = {lease.domain: [one for one in leases if one.domain == lease.domain] for lease in leases}
        records: dict[str, str] = {}
        for some in by_domain.values():
            records |= names.records(some, ids.get("dns-domain", ""))
        return {**node.row, "records": as_map(records)}

    def _given(self, uuid: UUID, node: RowNode) -> Iterator[Operation]:
        """What gives the guests' ports their DHCP options back: a reference goes with what it refers to."""
        for port in self._database.ports(self._deadline, subnet=owned.own(node.row)["subnet"]):
            columns = port_columns(port)
            for column in ("dhcpv4_options", "dhcpv6_options"):
                if ref(uuid) in set_of(columns[column]):
                    yield update(tables.PORT, key(port.uuid), {column: columns[column]})

    def _compare_names(self, cloud: Cloud) -> Iterator[Defect]:
        """Switches that do not refer to the names that their guests may ask for, or to others of ours."""
        own = {subnet.name: str(uuids.names(subnet.name)) for subnet in cloud.subnets}
        shared: dict[str, set[str]] = {}
        for subnet in cloud.subnets:
            if subnet.router and not subnet.isolated:
                shared.setdefault(subnet.router, set()).add(own[subnet.name])
        ours = {row["_uuid"][1] for row in self._of(tables.DNS, "names")}
        for subnet in cloud.subnets:
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

    def _compare_priorities(self, nodes: Mapping[UUID, RowNode]) -> Iterator[Defect]:
        """Gateways of one router that have the same priority: OVN needs an order (ovn-nb(5), HA_Chassis)."""
        orders: dict[str, list[tuple[UUID, Row]]] = {}
        for uuid, row in self._there[topology.GATEWAY].items():
            if owned.own(row).get("kind") == "gateway" and self._is_gateway(uuid, row, nodes):
                orders.setdefault(owned.own(row)["router"], []).append((uuid, row))
        for router, hosts in sorted(orders.items()):
            if len({row["priority"] for _, row in hosts}) == len(hosts):
                continue
            hosts.sort(key=lambda host: (-int(host[1]["priority"]), host[1]["chassis_name"]))
            operations: list[Operation] = []
            chassis = [row["chassis_name"] for _, row in hosts]
            wanted = {name: priority for priority, name in topology.priorities(chassis).items()}
            for uuid, row in hosts:
                # A move of the gateway meanwhile sets them itself.
                operations.append(exists(topology.GATEWAY, uuid, ["priority", "==", row["priority"]]))
                operations.append(update(topology.GATEWAY, key(uuid), {"priority": wanted[row["chassis_name"]]}))
            what = f"gateways of router {router} have the same priority: {', '.join(sorted(chassis))}"
            yield Defect(what, operations=tuple(operations))

    def _left_over(self, nodes: Mapping[UUID, RowNode]) -> Iterator[Defect]:
        """Rows of what is no more."""
        for table, found in self._there.items():
            for uuid, row in found.items():
                ids = owned.own(row)
                if ids.get("kind") not in _DERIVED or uuid in nodes:
                    continue
                if ids["kind"] == "gateway" and self._is_gateway(uuid, row, nodes):
                    continue
                yield Defect(
                    f"{_words(RowNode(table, row))} is left over",
                    operations=(*_apart(table, uuid), delete(table, key(uuid))),
                )

    def _is_gateway(self, uuid: UUID, row: Row, nodes: Mapping[UUID, RowNode]) -> bool:
        router = owned.own(row).get("router", "")
        return uuids.part("gateways", router) in nodes and uuid == topology.gateway(router, row["chassis_name"])

    def _guard(self) -> Iterator[Operation]:
        row = self._there[tables.DNS].get(uuids.REGISTRY)
        if row is None:
            yield require(tables.DNS, [key(uuids.REGISTRY)], [], ["_uuid"])
        else:
            ids = {name: value for name, value in map_of(row["external_ids"]).items() if name.startswith("ovnhook:")}
            yield exists(tables.DNS, uuids.REGISTRY, includes("external_ids", ids))


def _is_alike(present: Floating | None, known: Floating) -> bool:
    """Whether a floating address is as it was known, but for the name of its domain, which may change."""
    return present is not None and replace(present, domain_name=known.domain_name) == known


def _says(present: Any, wanted: Any) -> bool:
    """Whether a column says what it is to say; of a map, whether it does beside what others have put there."""
    if is_map(wanted):
        return map_of(wanted).items() <= map_of(present).items()
    return sorted(map(str, set_of(present))) == sorted(map(str, set_of(wanted)))


def _apart(table: str, uuid: UUID) -> Iterable[Operation]:
    """What takes a row away from whatever refers to it."""
    members = tables.members(uuid)
    for parent, column, child in _PARENTS:
        if child == table:
            yield mutate(parent, [column, "includes", members], [[column, "delete", members]])


def _words(node: RowNode) -> str:
    """Which row, for people: the table is OVN's, the rest tells of what it is."""
    ids = owned.own(node.row)
    named = f" {node.row['name']}" if node.row.get("name") else ""
    if ids.get("kind") == "names":
        named = " of the names"
    of = [f"{what} {ids[what]}" for what in ("subnet", "router") if ids.get(what)]
    return f"{node.table}{named} of {' on '.join(of[:2])}"
