"""Rows of a subnet in the northbound database (ovn-nb(5)), except those of its router. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.ovsdb.operation import Row, as_map, map_of
from ovnhook.ovsdb.owned import KIND, kind, own
from ovnhook.resources import ip
from ovnhook.resources.ip import Range
from ovnhook.resources.limits import NO_LIMITS, Limits
from ovnhook.resources.operations import OwnedRow
from ovnhook.resources.reading import groups_of, limits_of, member_of, network_of, number_of, reader
from ovnhook.resources.subnet import dhcpoptions
from ovnhook.resources.subnet.dhcp import DEFAULT_SETTINGS, DHCP_LEASE_TIME, DhcpSettings, Route
from ovnhook.resources.subnet.values import (
    EVERYWHERE,
    DnsRecords,
    Subnet,
    dhcp_uuid,
    resolver_mac,
    resolver_port,
    server_mac,
)
from ovnhook.resources.tables import DHCP_OPTIONS, DNS, PORT, SWITCH

_LARGEST_MTU = 65_535  # bytes: that of an IP packet
_LATEST = 1 << 40  # seconds since 1970
_LONGEST = (1 << 32) - 1  # seconds: that of a DHCP lease


def _pool(text: str, networks: Iterable[IPNetwork | None]) -> Range:
    """Parse a range of addresses in one of some networks."""
    first, last = map(IPAddress, text.split("-"))
    if first > last or not any(network and first in network and last in network for network in networks):
        raise ValueError(f"range {text} is invalid")
    return Range(first, last)


def _dhcp_ids(dhcp: DhcpSettings) -> dict[str, str]:
    return kind(
        "subnet",
        dhcp_options=" ".join(dhcp.assignments),
        search=" ".join(dhcp.search),
        routes=" ".join(map(str, dhcp.routes)),
        lease_time="" if dhcp.lease_time == DHCP_LEASE_TIME else str(dhcp.lease_time),
        boot_server=str(dhcp.boot_server or ""),
        boot_file=dhcp.boot_file,
        ipxe=dhcp.ipxe,
    )


def _limit_ids(of_ports: Limits) -> dict[str, str]:
    return kind("subnet", **{f"limit_{way}": rate for way, rate in of_ports.by_direction.items()})


_LATER = frozenset(
    {
        *("ovnhook:resolvers", "ovnhook:records-until", "ovnhook:security-groups"),
        *_dhcp_ids(DEFAULT_SETTINGS),
        *_limit_ids(NO_LIMITS),
    }
    - {KIND}
)
"""Keys that earlier versions do not write."""


def subnet_ids(subnet: Subnet) -> dict[str, str]:
    """External_ids of a Logical_Switch: all settings of a subnet."""
    return (
        _dhcp_ids(subnet.dhcp)
        | _limit_ids(subnet.limits)
        | kind(
            "subnet",
            subnet=subnet.name,
            cidr=str(subnet.cidr),
            gateway=str(subnet.gateway),
            router=subnet.router,
            ranges=" ".join(str(pool) for pool in subnet.ranges),
            dns=" ".join(str(server) for server in subnet.dns),
            dns_domain=subnet.dns_domain,
            mtu=str(subnet.mtu),
            isolated="yes" if subnet.isolated else "no",
            cidr6=str(subnet.cidr6 or ""),
            gateway6=str(subnet.gateway6 or ""),
            resolvers=" ".join(map(str, subnet.resolvers)),
            records_until="" if subnet.records_until is None else str(subnet.records_until),
            security_groups=" ".join(subnet.security_groups),
        )
    )


@reader(SWITCH)
def read_subnet(row: Row) -> Subnet:
    """Parse a Logical_Switch. The registry has the default subnet."""
    ids = own(row)
    cidr = network_of(ids["cidr"], 4, 6)
    cidr6 = network_of(ids["cidr6"], 6) if ids.get("cidr6") else None
    if cidr6 and cidr.version == 6:
        raise ValueError(f"{cidr} and {cidr6} are both IPv6 networks")
    return Subnet(
        name=ids["subnet"],
        cidr=cidr,
        gateway=_gateway(ids.get("gateway"), cidr),
        router=ids.get("router", Subnet.router),
        ranges=tuple(_pool(pool, (cidr, cidr6)) for pool in ids.get("ranges", "").split()),
        dns=tuple(map(IPAddress, ids.get("dns", "").split())),
        dns_domain=ids.get("dns-domain", Subnet.dns_domain),
        mtu=number_of(ids.get("mtu", str(Subnet.mtu)), _LARGEST_MTU),
        isolated=ids.get("isolated") == "yes",
        cidr6=cidr6,
        gateway6=_gateway(ids.get("gateway6"), cidr6) if cidr6 else None,
        resolvers=tuple(_resolver(one, (cidr, cidr6)) for one in ids.get("resolvers", "").split()),
        records_until=number_of(ids["records-until"], _LATEST) if ids.get("records-until") else None,
        dhcp=DhcpSettings(
            extra_dhcp_options=tuple(
                (name, value) for name, _, value in (one.partition("=") for one in ids.get("dhcp-options", "").split())
            ),
            search=tuple(ids.get("search", "").split()),
            routes=tuple(_route(one, cidr) for one in ids.get("routes", "").split()),
            lease_time=number_of(ids.get("lease-time") or str(DHCP_LEASE_TIME), _LONGEST),
            boot_server=IPAddress(ids["boot-server"], 4) if ids.get("boot-server") else None,
            boot_file=ids.get("boot-file", ""),
            ipxe=ids.get("ipxe", ""),
        ),
        security_groups=groups_of(ids.get("security-groups", "")),
        limits=limits_of(ids),
    )


def _route(text: str, network: IPNetwork) -> Route:
    """Parse a static route by an address of the subnet."""
    destination, _, router = text.partition("=")
    return Route(IPNetwork(destination, 4), member_of(router, network))


def _gateway(text: str | None, network: IPNetwork) -> IPAddress:
    return member_of(text, network) if text else ip.usable(network).first


def _resolver(text: str, networks: Iterable[IPNetwork | None]) -> IPAddress:
    """Parse an address of the resolver, in one of some networks."""
    address = IPAddress(text)
    if not any(network and address in network for network in networks):
        raise ValueError(f"resolver {text} is in no network of the subnet")
    return address


def dhcp_options(subnet: Subnet) -> dict[UUID, Row]:
    """DHCP_Options rows of a subnet, one per network, by UUID."""
    return {
        dhcp_uuid(subnet.name, network.version): {
            "cidr": str(network),
            "options": as_map(dhcpv4(subnet, gateway) if network.version == 4 else _dhcpv6(subnet)),
            "external_ids": as_map(kind("dhcp", subnet=subnet.name)),
        }
        for network, gateway in subnet.gateways.items()
    }


def dhcpv4(subnet: Subnet, gateway: IPAddress) -> dict[str, str]:
    """DHCPv4 options. Those without a condition are required by northd, except the MTU."""
    dhcp = subnet.dhcp
    options = {
        "server_id": str(gateway),
        "server_mac": server_mac(subnet.name),
        "lease_time": str(dhcp.lease_time),
        "mtu": str(subnet.mtu),
    }
    routes = {route.destination: route for route in subnet.routes}
    if default := routes.get(EVERYWHERE[4]):
        options["router"] = str(default.router)
    if routes.keys() - {EVERYWHERE[4]}:  # clients ignore the router then (RFC 3442)
        options["classless_static_route"] = dhcpoptions.static_routes(subnet.routes)
    if servers := subnet.servers(4):
        options["dns_server"] = dhcpoptions.listed(servers)
    if subnet.dns_domain:
        options["domain_name"] = f'"{subnet.dns_domain}"'
    if dhcp.search:
        options["domain_search_list"] = f'"{",".join(dhcp.search)}"'
    return options | _boot(dhcp) | dhcpoptions.rendered(dhcp.extra_dhcp_options)


def _boot(dhcp: DhcpSettings) -> dict[str, str]:
    """Options for booting over the network: with an alternative, iPXE gets the name and other clients that."""
    options = {}
    if dhcp.boot_server:
        options["next_server"] = str(dhcp.boot_server)
        options["tftp_server"] = f'"{dhcp.boot_server}"'
    if name := dhcp.ipxe or dhcp.boot_file:
        options["bootfile_name"] = f'"{name}"'
    if dhcp.ipxe and dhcp.boot_file:
        options["bootfile_name_alt"] = f'"{dhcp.boot_file}"'
    return options


def _dhcpv6(subnet: Subnet) -> dict[str, str]:
    """DHCPv6 options. The rest is in router advertisements (RFC 4861): resources/router/topology.py."""
    options = {"server_id": server_mac(subnet.name)}
    if servers := subnet.servers(6):
        options["dns_server"] = dhcpoptions.listed(servers)
    return options


def dns_records_row(subnet: Subnet) -> Row:
    """DNS row of a subnet, without records. It has a copy of the subnet's settings (ovnhook.databases.integrity).

    Rows of earlier versions lack some keys, and are complete without them.
    """
    ids = subnet_ids(subnet) | kind("names", subnet=subnet.name)
    return {"external_ids": as_map({key: value for key, value in ids.items() if value or key not in _LATER})}


def _resolver_port(subnet: Subnet) -> Row:
    """The resolver's port: a localport, which each hypervisor has for its own guests (ovn-architecture(7))."""
    return {
        "name": resolver_port(subnet.name),
        "type": "localport",
        "addresses": " ".join((resolver_mac(subnet.name), *map(str, subnet.resolvers))),
        "external_ids": as_map(kind("resolver", subnet=subnet.name)),
    }


def subnet_rows(subnet: Subnet) -> dict[UUID, OwnedRow]:
    """All rows of a subnet, by UUID. References of its switch to DNS rows depend on the router."""
    port = OwnedRow(PORT, _resolver_port(subnet), (SWITCH, subnet.uuid, "ports"))
    return {
        uuids.dns_records(subnet.name): OwnedRow(DNS, dns_records_row(subnet)),
        subnet.uuid: OwnedRow(SWITCH, {"name": subnet.name, "external_ids": as_map(subnet_ids(subnet))}),
        **{uuid: OwnedRow(DHCP_OPTIONS, row) for uuid, row in dhcp_options(subnet).items()},
        **({uuids.part("resolver", subnet.name): port} if subnet.resolvers else {}),
    }


@reader(DNS)
def read_dns_records(row: Row) -> DnsRecords:
    """Parse the DNS row of a subnet."""
    return DnsRecords(own(row)["subnet"], map_of(row["records"]))
