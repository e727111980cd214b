"""Rows of the northbound database, from one sample value of each resource kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Operation
from ovnhook.resources import tables
from ovnhook.resources.floating_ip.kind import FLOATING_IP
from ovnhook.resources.floating_ip.values import FloatingIp
from ovnhook.resources.ip import Range
from ovnhook.resources.kind import Put
from ovnhook.resources.kinds import KINDS
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.limits import Limits
from ovnhook.resources.port.kind import CLAIM, PORT
from ovnhook.resources.port.limits import PORT_LIMIT, PortLimit
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.registry import FORMAT, REGISTRY
from ovnhook.resources.router.kind import GATEWAYS, NETWORK, ROUTER
from ovnhook.resources.router.values import External, GatewayHosts, InterfaceAddress, Network, Router
from ovnhook.resources.security_group.kind import ARRIVALS, RESOLVER_PORTS, SECURITY_GROUP
from ovnhook.resources.security_group.values import (
    Arrivals,
    GroupRule,
    ResolverPorts,
    RuleTraffic,
    RuleVerdict,
    SecurityGroup,
)
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet.dhcp import DhcpSettings, Route
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.values import DnsRecords, Subnet
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS, VIRTUAL_PORT
from ovnhook.resources.virtual_address.values import Holder, VirtualAddress, VirtualPort
from reference.part import table

_DOMAIN = UUID(int=1)
_ADDRESS = IPAddress("10.1.0.20")
_VIRTUAL = IPAddress("10.1.0.100")
_SUBNET = Subnet(
    "SUBNET",
    cidr=IPNetwork("10.1.0.0/24"),
    gateway=IPAddress("10.1.0.1"),
    router="ROUTER",
    ranges=(Range(IPAddress("10.1.0.10"), IPAddress("10.1.0.99")),),
    dns=(IPAddress("10.1.0.53"),),
    dns_domain="lab.example",
    isolated=True,
    cidr6=IPNetwork("fd00:1::/64"),
    gateway6=IPAddress("fd00:1::1"),
    resolvers=(IPAddress("10.1.0.2"), IPAddress("fd00:1::2")),
    records_until=0,
    dhcp=DhcpSettings(
        extra_dhcp_options=(("ntp_server", "10.1.0.123"),),
        search=("lab.example", "example.org"),
        routes=(Route(IPNetwork("10.9.0.0/24"), IPAddress("10.1.0.9")),),
        lease_time=7200,
        boot_server=IPAddress("10.1.0.5"),
        boot_file="pxelinux.0",
        ipxe="http://10.1.0.5/boot.ipxe",
    ),
    limits=Limits("100M", "50M"),
)
_EXTERNAL = External(
    physical_network="external",
    address=InterfaceAddress(IPAddress("203.0.113.10"), 24),
    next_hop=IPAddress("203.0.113.1"),
    address6=InterfaceAddress(IPAddress("2001:db8::10"), 64),
    next_hop6=IPAddress("2001:db8::1"),
    snat6=True,
    limits=Limits("1G", "1G"),
    mac="MAC",
)
_ROUTER = Router("ROUTER", _EXTERNAL)

SAMPLES: dict[Any, Any] = {
    REGISTRY: Registry(1, "SUBNET", UUID(int=2), FORMAT),
    ROUTER: _ROUTER,
    SECURITY_GROUP: SecurityGroup(
        "GROUP", (GroupRule(1, RuleVerdict.ALLOW, RuleTraffic(protocol="tcp", ports=((80, 80),))),), last_rule=1
    ),
    SUBNET: _SUBNET,
    NETWORK: Network(_ROUTER, (_SUBNET,)),
    GATEWAYS: GatewayHosts("ROUTER", ("gw1",)),
    LEASE_INDEX: LeaseIndex(
        _DOMAIN, "web1", "hv1", (("MAC", "SUBNET", _ADDRESS),), requested_by="hv2", requested_until=1
    ),
    LEASE: Lease("SUBNET", _ADDRESS, _DOMAIN, "web1", "MAC", "web1", "hv1", "hv1/7", keep=True, virtual=(_VIRTUAL,)),
    PORT: Port(
        "PORT-ID",
        "SUBNET",
        "MAC",
        (_ADDRESS, IPAddress("fd00:1::20")),
        _DOMAIN,
        "web1",
        "hv1",
        moving_to="hv2",
        index=0,
        options=PortOptions(("10.9.0.0/24",), security=False, limits=Limits("100M", "none"), virtual=(_VIRTUAL,)),
        limits=Limits("100M"),
        security_groups=("GROUP",),
        names_groups=True,
    ),
    PORT_LIMIT: PortLimit(
        "SUBNET", "MAC", _DOMAIN, "inbound", 'outport == "PORT-ID"', 100_000, 80_000, direction="to-lport"
    ),
    CLAIM: Claim("SUBNET", "MAC", _DOMAIN),
    VIRTUAL_ADDRESS: VirtualAddress("SUBNET", _VIRTUAL, (Holder(_DOMAIN, "MAC", "web1"),), "hv1/7"),
    VIRTUAL_PORT: VirtualPort("SUBNET", _VIRTUAL, ("PORT-ID",)),
    DNS_RECORDS: DnsRecords("SUBNET", {"web1": "10.1.0.20"}),
    FLOATING_IP: FloatingIp(IPAddress("203.0.113.20"), "ROUTER", "SUBNET", _ADDRESS, _DOMAIN, "web1", "MAC"),
    RESOLVER_PORTS: ResolverPorts(frozenset({"SUBNET"})),
    ARRIVALS: Arrivals(),
}
"""A value of each kind that uses all of its features. Values of one kind refer to those of others."""

_DECISIONS = "../explanation/decisions"
_ABOUT = {
    ("registry", tables.DNS): (
        "default subnet, serial number of changes; in `records` the cloud ID (`cloud`) and the format of all rows"
        f" (`format`, 1 if absent; 2: subnets have resolvers, [decision 19]({_DECISIONS}/0019-dns-by-resolvers.md))",
        "nothing: one row",
    ),
    ("subnet", tables.SWITCH): ("a subnet", "subnet"),
    ("dhcp", tables.DHCP_OPTIONS): ("DHCP options of a subnet, one row per IP version", "subnet"),
    ("names", tables.DNS): ("DNS records of a subnet's guests, and a copy of the subnet's settings", "subnet"),
    ("resolver", tables.PORT): ("the localport of a subnet's DNS resolver", "subnet"),
    ("router", tables.ROUTER): ("a router with its external gateway; `mtu` is for earlier versions", "router"),
    ("router-port", tables.ROUTER_PORT): ("the router's port on a subnet", "router, subnet"),
    ("router-peer", tables.PORT): ("the switch's port to a router", "router, subnet"),
    ("isolated", tables.POLICY): (
        "isolation of a subnet: one policy drops packets to and from its router port, one of higher priority allows"
        f" external traffic ([decision 13]({_DECISIONS}/0013-isolation-drops-by-default.md))",
        "router, subnet",
    ),
    ("snat", tables.NAT): ("SNAT of a subnet to the router's external address", "router, subnet"),
    ("external-limit", tables.QOS): ("rate limit of external traffic in one direction", "router, direction"),
    ("external", tables.SWITCH): ("switch of the external gateway", "router"),
    ("external", tables.PORT): ("localnet port of that switch; `localnet:ROUTER` on `external`", "router"),
    ("external", tables.ROUTER_PORT): ("external gateway port", "router"),
    ("external", tables.ROUTE): ("default route, one row per IP version", "router"),
    ("external", tables.GATEWAY_GROUP): ("gateways of a router, and a copy of the router's settings", "router"),
    ("gateway", tables.GATEWAY): ("one gateway of a router", "router, chassis"),
    ("domain", tables.DNS): ("lease index of a domain; `records`: by MAC, subnet and addresses", "domain"),
    ("lease", tables.DNS): ("a lease; `records`: host name and address", "subnet, address"),
    ("port", tables.PORT): ("a port", "domain, MAC"),
    ("limit", tables.QOS): ("rate limit of a port in one direction, deleted with its port", "domain, MAC, direction"),
    ("mac", tables.DNS): (
        f"a MAC reservation, deleted with its port ([decision 12]({_DECISIONS}/0012-mac-reservations.md))",
        "subnet, MAC",
    ),
    ("security-group", tables.PORT_GROUP): (
        "a security group; `rule-N`: its rules by number; `ports`: its interfaces, also foreign ports",
        "group",
    ),
    ("security-rule", tables.ACL): (
        "what a group allows or denies by a rule (by its number, with the IP version if it has a row for each), or"
        " without one",
        "group, rule",
    ),
    ("security-resolvers", tables.PORT_GROUP): (
        "the resolvers of all subnets, while a group denies outbound connections",
        "nothing: one row",
    ),
    ("security-arrivals", tables.PORT_GROUP): (
        "ports in security groups for a minute after their migration; `ports`: these ports",
        "nothing: one row",
    ),
    ("virtual", tables.DNS): (
        "a virtual address, reserved while a domain names it; `records`: by domain and MAC, the domain's name",
        "subnet, address: as a lease",
    ),
    ("virtual-port", tables.PORT): (
        "the port of a virtual address, of type `virtual`, while a port that may have it exists",
        "subnet, address",
    ),
    ("floating", tables.NAT): (
        "a floating IP, deleted with its lease or virtual address",
        "subnet, leased or virtual address",
    ),
}
"""Description of rows, and the key that their UUID is derived from, by kind and table."""

_TRUST = ("`trust`", tables.DNS, "the trusted clients, see below", "nothing: one row", "", "", "")
"""The only row that is of no resource kind (ovnhook.databases.trust)."""


@dataclass
class _Rows:
    """All rows of a kind in one table.

    Attributes:
        names: values of the column `name`.
        keys: of the external_ids, without prefix.
        parents: tables and columns that refer to them.
    """

    names: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)


def kinds() -> str:
    """A table of all kinds of rows.

    Raises:
        KeyError: a kind has no sample, or a row no description.
    """
    operations = [one for kind in KINDS for one in Put(kind, None, SAMPLES[kind]).operations]
    found: dict[tuple[str, str], _Rows] = {}
    for one in operations:
        if one["op"] == "insert":
            ids = dict(owned.own(one["row"]))
            rows = found.setdefault((ids.pop("kind"), one["table"]), _Rows())
            _add(rows.names, [one["row"].get("name", "")])
            _add(rows.keys, ids)
            _add(rows.parents, _parents(one["uuid"], operations))
    described = (
        (f"`{kind}`", where, *_ABOUT[kind, where], _code(rows.names), ", ".join(rows.parents), _code(rows.keys))
        for (kind, where), rows in found.items()
    )
    return table(
        ("kind", "table", "content", "UUID derived from", "`name`", "referred to by", "other keys in `external_ids`"),
        (*described, _TRUST),
    )


def _parents(uuid: str, operations: list[Operation]) -> Iterator[str]:
    """Tables and columns with a reference to a row."""
    for one in operations:
        columns = one.get("row", {}).items() if one["op"] == "insert" else ((name, v) for name, _, v in _inserts(one))
        for name, value in columns:
            if ["uuid", uuid] in (value, *(value[1] if isinstance(value, list) and value[0] == "set" else ())):
                yield f"{one['table']} `{name}`"


def _inserts(one: Operation) -> list[list[Any]]:
    return [mutation for mutation in one.get("mutations", ()) if mutation[1] == "insert"]


def _add(known: list[str], more: Any) -> None:
    known.extend(one for one in dict.fromkeys(more) if one and one not in known)


def _code(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)
