"""The rows of a router and of what joins subnets to it (ovn-nb(5)), as a function of what it is. Pure.

Every row is known by a UUID that is derived from what it is, so a change of a router is the difference of two
dictionaries. The names of these rows have colons, which names of subnets and routers can't have; no switch port may be
called like a router port, for in the southbound database they are in one table.
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
from ovnhook.resources.operations import OwnedRow, difference
from ovnhook.resources.router.rows import router_ids, router_peer, router_port
from ovnhook.resources.router.values import External, Network, Router
from ovnhook.resources.subnet.values import Subnet, server_mac

_ISOLATION = 1000  # the policies' priority, and the next one: a person's own may be above or below
_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_ROUTES = {4: "default-route", 6: "default-route6"}
_SNATS = {4: "snat", 6: "snat6"}
_ADVERTISED = {"max_interval": "10", "min_interval": "3"}
"""Seconds between a router's advertisements (ovn-nb(5), ipv6_ra_configs): the longest and the shortest pause."""

_PROBES = {"bfd-min-rx": "200", "bfd-min-tx": "200", "bfd-mult": "3"}
"""How gateways watch each other, in ms (ovn-nb(5), NB_Global options): one is known to be dead after three in a row."""


def network_rows(network: Network | None, without: Container[str] = ()) -> dict[UUID, OwnedRow]:
    """All rows of a router, by UUID, but for the gateway hosts of its leg outside, which change by themselves.

    Args:
        network: the router with its subnets.
        without: subnets, by name, whose rows are not wanted.
    """
    if network is None:
        return {}
    router = network.router
    found = {router.uuid: OwnedRow(tables.ROUTER, {"name": router.name, "external_ids": as_map(router_ids(router))})}
    for subnet in network.subnets:
        if subnet.name not in without:
            found |= _joined(router, subnet)
            if subnet.isolated:
                found |= _isolated(router, subnet)
    if router.external:
        found |= _outside(network, router.external)
        for subnet in (one for one in network.subnets if one.name not in without):
            found |= _snat(router, router.external, subnet)
    return found


def network_operations(old: Network | None, new: Network | None) -> list[Operation]:
    """What makes the rows of one network those of another."""
    same: set[str] = set()
    if old and new and old.router == new.router:
        there = {subnet.name: subnet for subnet in old.subnets}
        same = {subnet.name for subnet in new.subnets if there.get(subnet.name) == subnet}
    return difference(network_rows(old, same), network_rows(new, same)) + _names(old, new)


def gateway_operations(router: str, old: tuple[str, ...], new: tuple[str, ...]) -> list[Operation]:
    """What puts a router's leg outside on other hosts, or on the same ones in another order."""
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
    # The row is not ours, and an insert into a map leaves the keys that are there: what a person has set stays.
    found.append(
        {"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["options", "insert", as_map(_PROBES)]]}
    )
    return found


def gateway_uuid(router: str, chassis: str) -> UUID:
    """The HA_Chassis row of a host for a router."""
    return uuids.part("gateway", router, chassis)


def priorities(chassis: Sequence[str]) -> dict[int, str]:
    """Each host's priority, the first one's being the highest."""
    return {len(chassis) - place: name for place, name in enumerate(chassis)}


def _names(old: Network | None, new: Network | None) -> list[Operation]:
    """What lets the guests of a router's subnets ask for each other's names; isolated ones ask for their own only.

    Each switch refers to the names of its own subnet by itself (ovn-nb(5), Logical_Switch, dns_records).
    """
    before, after = (
        {one.name: one.uuid for one in network.subnets if not one.isolated} if network else {} for network in (old, new)
    )
    found = []
    for some, others, what in ((before, after, "delete"), (after, before, "insert")):
        alone = some.keys() - others.keys()
        for name, switch in sorted(some.items()):
            if names := (some.keys() if name in alone else alone) - {name}:
                members = as_set(ref(uuids.dns_records(other)) for other in sorted(names))
                found.append(mutate(tables.SWITCH, key(switch), [["dns_records", what, members]]))
    return found


def _joined(router: Router, subnet: Subnet) -> dict[UUID, OwnedRow]:
    """The two ends of the wire between a router and a subnet: ovn-architecture(7), "Logical Routers"."""
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
    """The router advertisements of a subnet (RFC 4861, section 6.2.1): managed addresses, the MTU, and how often.

    A guest solicits for some seconds only, and its flows may come later than that: on a host that boots many guests
    at once. OVN's own interval, up to ten minutes, would leave it without IPv6 until then.
    """
    return {"address_mode": "dhcpv6_stateful", "mtu": str(subnet.mtu), "send_periodic": "true", **_ADVERTISED}


def _isolated(router: Router, subnet: Subnet) -> dict[UUID, OwnedRow]:
    """What keeps a subnet and the router's others apart, wherever a packet says that it comes from or goes to.

    What comes or goes by the subnet's port is dropped, unless the other port is the external gateway's, or the same one
    (the router's answers). A guest can't choose the ports; and as ports can only be tested for equality (ovn-sb(5),
    Logical_Flow, match) the others would have to be listed: this way no row says anything of another subnet.
    """
    own, outside = f'"{router_port(router.name, subnet.name)}"', f'"{_leg(router)}"'
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


def _leg(router: Router) -> str:
    """The name of a router's external gateway port."""
    return f"external:{router.name}"


def _outside(network: Network, external: External) -> dict[UUID, OwnedRow]:
    """The leg: a switch with the physical network on it, the router's port there, and the default route."""
    router = network.router
    switch = uuids.part("external", router.name)
    group = uuids.part("gateways", router.name)
    ids = as_map(owned.kind("external", router=router.name))
    copy = as_map(router_ids(router) | owned.kind("external", router=router.name))  # ovnhook.databases.integrity
    name = _leg(router)
    localnet = {
        "name": f"localnet:{router.name}",
        "type": "localnet",
        "addresses": "unknown",
        "options": as_map({"network_name": external.physical_network}),
        "tag": as_set([external.vlan] if external.vlan else []),
        "external_ids": ids,
    }
    # The active gateway announces the addresses of the router and of its NAT rows: ovn-nb(5), options:nat-addresses. It
    # does so once for each name of the port, so that another MAC address needs another name to be announced.
    peer = _peer(f"outside:{router.name}:{external.mac}", name, router)
    peer["options"] = as_map({"router-port": name, "nat-addresses": "router"})
    port = {
        "name": name,
        "mac": external.mac,
        "networks": as_set(map(str, external.next_hops)),
        # What is larger is answered with ICMP "fragmentation needed": ovn-nb(5), options:gateway_mtu.
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
            for hop in external.next_hops.values()
        },
    }


def _snat(router: Router, external: External, subnet: Subnet) -> dict[UUID, OwnedRow]:
    """What shows a subnet's guests outside with the router's address."""
    found = {}
    for address in external.next_hops:
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
    """A switch's end of a wire to a router port."""
    return {
        "name": name,
        "type": "router",
        "addresses": "router",
        "options": as_map({"router-port": router_port}),
        "external_ids": as_map(owned.kind("router-peer", router=router.name)),
    }
