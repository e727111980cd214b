"""Rows of a router and of its connections (ovn-nb(5)), as a function of its settings and subnets. Pure.

UUIDs of rows are derived, so a change of a router is the difference of two dictionaries. Names of these rows have
colons, unlike names of subnets and routers. Switch ports and router ports have different names, since they share the
table Port_Binding of the southbound database.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from uuid import UUID

from ovnhook.base import uuids
from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import (
    Operation,
    Row,
    as_map,
    as_set,
    insert,
    key,
    mutate,
    ref,
    update,
)
from ovnhook.resources import tables
from ovnhook.resources.limits import MATCHES, bandwidth
from ovnhook.resources.operations import OwnedRow, difference
from ovnhook.resources.router.rows import localnet_port, router_ids, router_peer, router_port
from ovnhook.resources.router.values import External, Network, Router
from ovnhook.resources.subnet.values import EVERYWHERE, Subnet, server_mac

_LIMIT = 1000  # priority of the QoS rows
_ISOLATION = 1000  # priority of the drop policies; allow policies have the next one
_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_ROUTES = {4: "default-route", 6: "default-route6"}
_SNATS = {4: "snat", 6: "snat6"}
_ADVERTISED = {"max_interval": "10", "min_interval": "3"}
"""Interval of router advertisements in seconds (ovn-nb(5), ipv6_ra_configs)."""

_PROBES = {"bfd-min-rx": "200", "bfd-min-tx": "200", "bfd-mult": "3"}
"""BFD between gateways, in ms (ovn-nb(5), NB_Global options): a gateway is down after three lost packets."""


def network_rows(network: Network | None, without: Container[str] = ()) -> dict[UUID, OwnedRow]:
    """All rows of a router, by UUID, except its gateways (GATEWAYS), which the control service schedules.

    Args:
        network: the router with its subnets.
        without: names of subnets whose rows are omitted.
    """
    if network is None:
        return {}
    router = network.router
    found = {router.uuid: OwnedRow(tables.ROUTER, {"name": router.name, "external_ids": as_map(router_ids(router))})}
    for subnet in network.subnets:
        if subnet.name not in without:
            found |= _connected(router, subnet)
            if subnet.isolated:
                found |= _isolated(router, subnet)
    if router.external:
        found |= _external_gateway(network, router.external)
        for subnet in (one for one in network.subnets if one.name not in without):
            found |= _snat(router, router.external, subnet)
    return found


def network_operations(old: Network | None, new: Network | None) -> list[Operation]:
    """Operations that turn the rows of one network into those of another."""
    same: set[str] = set()
    if old and new and old.router == new.router:
        there = {subnet.name: (subnet, subnet.reachable) for subnet in old.subnets}
        same = {subnet.name for subnet in new.subnets if there.get(subnet.name) == (subnet, subnet.reachable)}
    return difference(network_rows(old, same), network_rows(new, same)) + _dns_records(old, new)


def gateway_operations(router: str, old: tuple[str, ...], new: tuple[str, ...]) -> list[Operation]:
    """Operations that change a router's gateways, or their order."""
    group = uuids.part("gateways", router)
    found: list[Operation] = []
    for priority, chassis in priorities(new).items():
        uuid = gateway_uuid(router, chassis)
        if chassis in old:
            found.append(update(tables.GATEWAY, key(uuid), {"priority": priority}))
            continue
        ids = as_map(owned.kind("gateway", router=router))
        found.append(insert(tables.GATEWAY, uuid, {"chassis_name": chassis, "priority": priority, "external_ids": ids}))
        found.append(mutate(tables.GATEWAY_GROUP, key(group), [["ha_chassis", "insert", as_set([ref(uuid)])]]))
    gone = as_set(ref(gateway_uuid(router, chassis)) for chassis in old if chassis not in new)
    found.append(mutate(tables.GATEWAY_GROUP, key(group), [["ha_chassis", "delete", gone]]))
    # The row is not ovnhook's: an insert into a map does not overwrite present keys.
    found.append(
        {"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["options", "insert", as_map(_PROBES)]]}
    )
    return found


def gateway_uuid(router: str, chassis: str) -> UUID:
    """UUID of the HA_Chassis row of a router's gateway."""
    return uuids.part("gateway", router, chassis)


def priorities(chassis: Sequence[str]) -> dict[int, str]:
    """Hosts by priority; the first one has the highest."""
    return {len(chassis) - place: name for place, name in enumerate(chassis)}


def _dns_records(old: Network | None, new: Network | None) -> list[Operation]:
    """Operations that let guests without a resolver resolve names of the router's other subnets, except isolated ones.

    References of switches to their own subnets' DNS rows are not included (ovn-nb(5), Logical_Switch, dns_records).
    """
    before, after = map(_known, (old, new))
    found = []
    for name in sorted({*before, *after}):
        had, has = (known.get(name, frozenset()) for known in (before, after))
        for names, what in ((had - has, "delete"), (has - had, "insert")):
            if names:
                members = as_set(ref(uuids.dns_records(other)) for other in sorted(names))
                found.append(mutate(tables.SWITCH, key(uuids.switch(name)), [["dns_records", what, members]]))
    return found


def _known(network: Network | None) -> dict[str, frozenset[str]]:
    """Other subnets whose names OVN resolves in a subnet, for each subnet where it does."""
    subnets = [one for one in network.subnets if not one.isolated] if network else []
    names = frozenset(one.name for one in subnets)
    return {one.name: names - {one.name} for one in subnets if one.has_records}


def _connected(router: Router, subnet: Subnet) -> dict[UUID, OwnedRow]:
    """The router port and the switch port that connect a subnet: ovn-architecture(7), "Logical Routers"."""
    inside = {
        "name": router_port(router.name, subnet.name),
        "mac": server_mac(subnet.name),
        "networks": as_set(f"{gateway}/{cidr.prefixlen}" for cidr, gateway in subnet.gateways.items()),
        "ipv6_ra_configs": as_map(_advertisement(subnet) if subnet.network(6) else {}),
        "external_ids": as_map(owned.kind("router-port", router=router.name, subnet=subnet.name)),
    }
    return {
        uuids.part("router-port", router.name, subnet.name): OwnedRow(
            tables.ROUTER_PORT, inside, (tables.ROUTER, router.uuid, "ports")
        ),
        uuids.part("router-peer", router.name, subnet.name): OwnedRow(
            tables.PORT,
            _peer(router_peer(router.name, subnet.name), router_port(router.name, subnet.name), router),
            (tables.SWITCH, subnet.uuid, "ports"),
        ),
    }


def _advertisement(subnet: Subnet) -> dict[str, str]:
    """Router advertisements of a subnet (RFC 4861, section 6.2.1): managed addresses, MTU, interval and DNS.

    A guest sends solicitations for a few seconds only; on a host that boots many guests its flows may be installed
    later. With OVN's default interval of up to ten minutes it would have no IPv6 until then. DHCPv6 also has the DNS
    servers, but OVN's DHCPv6 leases do not end, so that running guests hear of the resolver by advertisements only.

    OVN's advertisements always announce a default route. Without an external gateway it has a low preference
    (RFC 4191), so that guests prefer that of another interface, except for the router's other subnets.

    Search domains are here only (RFC 8106, section 5.2), since OVN's DHCPv6 option of them is malformed: it has a
    domain as a single label.
    """
    known = {"address_mode": "dhcpv6_stateful", "mtu": str(subnet.mtu), "send_periodic": "true", **_ADVERTISED}
    servers = () if subnet.records_until is None else subnet.servers(6)
    if servers:
        known["rdnss"] = str(servers[0])  # OVN advertises one server
    if (reachable := subnet.routed(6)) != (EVERYWHERE[6],):
        known["router_preference"] = "LOW"
        if reachable:
            known["route_info"] = ",".join(f"MEDIUM-{one}" for one in reachable)
    if searched := ", ".join(subnet.dhcp.search) or subnet.dns_domain:
        known["dnssl"] = searched
    return known


def _isolated(router: Router, subnet: Subnet) -> dict[UUID, OwnedRow]:
    """Policies that isolate a subnet from the router's others, whatever addresses packets have.

    Packets to and from the subnet's router port are dropped, unless the other port is the external gateway port or the
    same one (replies of the router). Matching ports, guests can't evade it with a false source address. Ports can only
    be compared for equality (ovn-sb(5), Logical_Flow, match), so a list of allowed ports needs no other subnet's.
    """
    own, outside = f'"{router_port(router.name, subnet.name)}"', f'"{_external_port(router)}"'
    pairs = ((own, outside), (outside, own), (own, own))
    allowed = " || ".join(f"(inport == {one} && outport == {other})" for one, other in pairs)
    found = {}
    for which, priority, match, action in (
        ("isolation-allow", _ISOLATION + 1, allowed, "allow"),
        ("isolation-drop", _ISOLATION, f"inport == {own} || outport == {own}", "drop"),
    ):
        row = {
            "priority": priority,
            "match": match,
            "action": action,
            "external_ids": as_map(owned.kind("isolated", router=router.name, subnet=subnet.name)),
        }
        uuid = uuids.part(which, router.name, subnet.name)
        found[uuid] = OwnedRow(tables.POLICY, row, (tables.ROUTER, router.uuid, "policies"))
    return found


def _external_port(router: Router) -> str:
    """Name of a router's external gateway port."""
    return f"external:{router.name}"


def _external_gateway(network: Network, external: External) -> dict[UUID, OwnedRow]:
    """The external gateway: a switch with a localnet port, the router's port on it, and the default routes."""
    router = network.router
    switch = uuids.part("external", router.name)
    group = uuids.part("gateways", router.name)
    ids = as_map(owned.kind("external", router=router.name))
    copy = as_map(router_ids(router) | owned.kind("external", router=router.name))  # ovnhook.databases.integrity
    name = _external_port(router)
    localnet = {
        "name": localnet_port(router.name, external.physical_network),
        "type": "localnet",
        "addresses": "unknown",
        "options": as_map({"network_name": external.physical_network}),
        "tag": as_set([external.vlan] if external.vlan else []),
        "external_ids": ids,
    }
    # The active gateway sends gratuitous ARPs for the addresses of the router and its NAT rows (ovn-nb(5),
    # options:nat-addresses), once for each port name: a new MAC address needs a new name to be announced.
    peer = _peer(f"outside:{router.name}:{external.mac}", name, router)
    peer["options"] = as_map({"router-port": name, "nat-addresses": "router"})
    port = {
        "name": name,
        "mac": external.mac,
        "networks": as_set(map(str, external.addresses)),
        # For larger packets the router sends ICMP "fragmentation needed": ovn-nb(5), options:gateway_mtu.
        "options": as_map({"gateway_mtu": str(network.mtu)}),
        "ha_chassis_group": ref(group),
        "external_ids": ids,
    }
    return {
        switch: OwnedRow(tables.SWITCH, {"name": name, "external_ids": ids}),
        uuids.part("localnet", router.name): OwnedRow(tables.PORT, localnet, (tables.SWITCH, switch, "ports")),
        uuids.part("external-peer", router.name): OwnedRow(tables.PORT, peer, (tables.SWITCH, switch, "ports")),
        group: OwnedRow(tables.GATEWAY_GROUP, {"name": f"ovnhook:{router.name}", "external_ids": copy}),
        uuids.part("external-port", router.name): OwnedRow(
            tables.ROUTER_PORT, port, (tables.ROUTER, router.uuid, "ports")
        ),
        **{
            uuids.part(_ROUTES[hop.version], router.name): OwnedRow(
                tables.ROUTE,
                {"ip_prefix": _EVERYWHERE[hop.version], "nexthop": str(hop), "output_port": name, "external_ids": ids},
                (tables.ROUTER, router.uuid, "static_routes"),
            )
            for hop in external.next_hops
        },
        **_limits(router, external, peer["name"]),
    }


def _limits(router: Router, external: External, peer: str) -> dict[UUID, OwnedRow]:
    """Rate limits of external traffic: meters on the external switch, which the active gateway alone has traffic of."""
    return {
        uuids.part("external-limit", way, router.name): OwnedRow(
            tables.QOS,
            {
                "direction": direction,
                "priority": _LIMIT,
                "match": f'{field} == "{peer}"',
                "bandwidth": as_map(bandwidth(rate)),
                "external_ids": as_map(owned.kind("external-limit", router=router.name)),
            },
            (tables.SWITCH, uuids.part("external", router.name), "qos_rules"),
        )
        for way, rate in external.limits.by_direction.items()
        if rate
        for direction, field in (MATCHES[way],)
    }


def _snat(router: Router, external: External, subnet: Subnet) -> dict[UUID, OwnedRow]:
    """SNAT of a subnet to the router's external addresses."""
    found = {}
    for address in external.addresses:
        network = subnet.network(address.version)
        if network and external.has_snat(address.version):
            row = {
                "type": "snat",
                "external_ip": str(address.ip),
                "logical_ip": str(network),
                "external_ids": as_map(owned.kind("snat", router=router.name, subnet=subnet.name)),
            }
            uuid = uuids.part(_SNATS[address.version], router.name, subnet.name)
            found[uuid] = OwnedRow(tables.NAT, row, (tables.ROUTER, router.uuid, "nat"))
    return found


def _peer(name: str, router_port: str, router: Router) -> Row:
    """The switch port that connects to a router port."""
    return {
        "name": name,
        "type": "router",
        "addresses": "router",
        "options": as_map({"router-port": router_port}),
        "external_ids": as_map(owned.kind("router-peer", router=router.name)),
    }
