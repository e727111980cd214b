"""Rows of the OVN northbound database (ovn-nb(5)) as values of the model, and back. Pure.

Every row of ours says what it is in its external_ids, under keys that begin with ``ovnhook:``. Other keys are somebody
else's, or a newer version's: they are ignored, and stay. A key that is absent has its default: an older version wrote
the row. So a key that is added later needs a default that means what was so before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from netaddr import EUI, AddrFormatError, IPAddress, IPNetwork

from ovnhook.base import labels, uuids
from ovnhook.base.errors import OvnhookError
from ovnhook.ovsdb.operation import Row, as_map, as_set, map_of, ref, set_of
from ovnhook.ovsdb.owned import KIND, kind, own
from ovnhook.resources.changes import Registry
from ovnhook.resources.lease.values import Holding, Lease
from ovnhook.resources.port.values import Claim, Keeper, Port
from ovnhook.resources.router.values import External, InterfaceAddress, Router
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.values import Range, Subnet

P = ParamSpec("P")
T = TypeVar("T")

DOMAIN = "ovnhook:domain"
HOST = "ovnhook:host"
MAC = "ovnhook:mac"
SUBNET = "ovnhook:subnet"

SWITCH = "Logical_Switch"
PORT = "Logical_Switch_Port"
DHCP_OPTIONS = "DHCP_Options"
DNS = "DNS"  # names; and leases, holdings, claims, the registry: northd passes over DNS rows that no switch refers to

REQUESTED_CHASSIS = "requested-chassis"
ACTIVATION_STRATEGY = "activation-strategy"

_LINK = 64  # length of the prefix of link-local addresses
_RESERVED = _LINK + 24  # the same of those that only the router may have: the first half of its MAC address tells them
_CLOUD = "cloud"  # the key of the registry's records that the cloud's id is under
_LARGEST = {4: 8, 6: 32}  # prefix lengths of networks that a row is believed to mean
_LARGEST_MTU = 65_535  # bytes: that of an IP packet
_LAST_VLAN = 4094  # IEEE 802.1Q
_LARGEST_INDEX = 1_000_000  # of a domain's interface
_DHCP_LEASE_TIME = 3600  # seconds; a change of a subnet reaches its guests within half of it


class BrokenRow(OvnhookError):
    """A row says that it is ours and can't be understood: a value that is needed is missing or makes no sense."""


def reader(read: Callable[Concatenate[Row, P], T]) -> Callable[Concatenate[Row, P], T]:
    """Makes of a function that reads rows one that raises BrokenRow of those that can't be."""

    @functools.wraps(read)
    def checked(row: Row, /, *more: P.args, **named: P.kwargs) -> T:
        try:
            found = read(row, *more, **named)
            # What is derived from a row that was copied, or made to say another address, would be another row's.
            if "_uuid" in row and getattr(found, "uuid", UUID(row["_uuid"][1])) != UUID(row["_uuid"][1]):
                raise ValueError("its UUID is not that of such a row: it was copied, or what it is of was changed")
            return found
        except (LookupError, ValueError, TypeError, AddrFormatError) as error:
            ids = map_of(row["external_ids"])
            uuid = row["_uuid"][1] if "_uuid" in row else "?"
            raise BrokenRow(
                f"row {uuid} with {KIND}={ids.get(KIND)} can't be read: {_reason(error)}",
                _cure(ids.get(KIND) or _READ.get(read.__name__, read.__name__), uuid),
            ) from error

    return checked


_READ = {"holding": "domain", "claim": "mac"}
"""The kinds of rows, by the name of what reads them, where that is another one."""


def _cure(kind: str, uuid: str) -> str:
    """What a person has to do about a row that can't be read: what domains have is made anew by whoever runs them."""
    anew = "the agent of the host that runs the domain makes it anew"
    match kind:
        case "port":
            return f"ovn-nbctl lsp-del {uuid}: {anew}"
        case "mac":
            return f"ovn-nbctl destroy {DNS} {uuid}: {anew}"
        case "lease" | "domain":
            return f"ovn-nbctl destroy {DNS} {uuid}: {anew}, or its next start does, which may give it another address"
    table = {"subnet": SWITCH, "router": "Logical_Router", "floating": "NAT"}.get(kind, DNS)
    return f"ovn-nbctl list {table} {uuid}; put its external_ids right, or remove those of ovnhook"


def _reason(error: Exception) -> str:
    """An exception of a reader, in words."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _network(text: str, *versions: int) -> IPNetwork:
    """A network of one of some IP versions."""
    network = IPNetwork(text)
    if network.version not in versions or network.prefixlen < _LARGEST[network.version]:
        raise ValueError(f"network {text} is not possible")
    return network


def _member(text: str, network: IPNetwork) -> IPAddress:
    """An address of a network."""
    member = IPAddress(text)
    if member not in network:
        raise ValueError(f"{text} is not in {network.cidr}")
    return member


def _pool(text: str, networks: Iterable[IPNetwork | None]) -> Range:
    """A range of addresses of one of some networks."""
    first, last = map(IPAddress, text.split("-"))
    if first > last or not any(network and first in network and last in network for network in networks):
        raise ValueError(f"range {text} is not possible")
    return Range(first, last)


def _number(text: str, largest: int) -> int:
    """A number from 0 on."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and int(text) <= largest):
        raise ValueError(f"{text[:20]} is not a number from 0 to {largest}")
    return int(text)


def subnet_ids(subnet: Subnet) -> dict[str, str]:
    """A Logical_Switch's external_ids: all that a subnet is."""
    return kind(
        "subnet",
        subnet=subnet.name,
        cidr=str(subnet.cidr),
        gateway=str(subnet.gateway),
        router=subnet.router,
        ranges=" ".join(str(pool) for pool in subnet.ranges),
        dns=" ".join(str(server) for server in subnet.dns),
        dns_domain=subnet.domain,
        mtu=str(subnet.mtu),
        isolated="yes" if subnet.isolated else "no",
        cidr6=str(subnet.cidr6 or ""),
        gateway6=str(subnet.gateway6 or ""),
    )


SUBNET_COLUMNS = ("_uuid", "external_ids")
"""What `subnet` reads of a Logical_Switch: its ports can be ten thousand."""


@reader
def subnet(row: Row, default: str) -> Subnet:
    """A Logical_Switch as the subnet it is; `default` is the name of the default subnet."""
    ids = own(row)
    cidr = _network(ids["cidr"], 4, 6)
    cidr6 = _network(ids["cidr6"], 6) if ids.get("cidr6") else None
    if cidr6 and cidr.version == 6:
        raise ValueError(f"{cidr} and {cidr6} are both IPv6 networks")
    return Subnet(
        name=ids["subnet"],
        cidr=cidr,
        gateway=_gateway(ids.get("gateway"), cidr),
        router=ids.get("router", Subnet.router),
        ranges=tuple(_pool(pool, (cidr, cidr6)) for pool in ids.get("ranges", "").split()),
        dns=tuple(map(IPAddress, ids.get("dns", "").split())),
        domain=ids.get("dns-domain", Subnet.domain),
        mtu=_number(ids.get("mtu", str(Subnet.mtu)), _LARGEST_MTU),
        default=ids["subnet"] == default,
        isolated=ids.get("isolated") == "yes",
        cidr6=cidr6,
        gateway6=_gateway(ids.get("gateway6"), cidr6) if cidr6 else None,
    )


def _gateway(text: str | None, network: IPNetwork) -> IPAddress:
    return _member(text, network) if text else address.usable(network).first


def dhcp_options(subnet: Subnet) -> dict[UUID, Row]:
    """The DHCP_Options rows of a subnet, one for each of its networks, by UUID."""
    return {
        dhcp_uuid(subnet.name, network.version): {
            "cidr": str(network),
            "options": as_map(_dhcpv4(subnet, gateway) if network.version == 4 else _dhcpv6(subnet)),
            "external_ids": as_map(kind("dhcp", subnet=subnet.name)),
        }
        for network, gateway in subnet.gateways.items()
    }


def dhcp_uuid(subnet: str, version: int) -> UUID:
    """The DHCP_Options row of a subnet's addresses of an IP version."""
    return uuids.dhcp_options(subnet) if version == 4 else uuids.dhcpv6_options(subnet)


def _dhcpv4(subnet: Subnet, gateway: IPAddress) -> dict[str, str]:
    """Without server_id, server_mac and lease_time northd serves nothing."""
    options = {
        "server_id": str(gateway),
        "server_mac": server_mac(subnet),
        "lease_time": str(_DHCP_LEASE_TIME),
        "mtu": str(subnet.mtu),
    }
    if subnet.router:
        options["router"] = str(gateway)
    if servers := subnet.servers(4):
        options["dns_server"] = _listed(servers)
    if subnet.domain:
        options["domain_name"] = f'"{subnet.domain}"'
    return options


def _dhcpv6(subnet: Subnet) -> dict[str, str]:
    """The default route and the MTU are the router's to tell (RFC 4861): ovsdb/topology.py."""
    options = {"server_id": server_mac(subnet)}
    if servers := subnet.servers(6):
        options["dns_server"] = _listed(servers)
    if subnet.domain:
        options["domain_search"] = f'"{subnet.domain}"'
    return options


def _listed(servers: Iterable[IPAddress]) -> str:
    return f"{{{', '.join(map(str, servers))}}}"


def names(subnet: Subnet) -> Row:
    """The DNS row of a subnet, without names. It keeps a copy of what the subnet is (ovnhook.databases.integrity)."""
    return {"external_ids": as_map(subnet_ids(subnet) | kind("names", subnet=subnet.name))}


def server_mac(subnet: Subnet) -> str:
    """The MAC that answers DHCP on a subnet: locally administered, the same for ever."""
    return _server_mac(subnet.uuid)


def _server_mac(switch: UUID) -> str:
    return ":".join(f"{octet:02x}" for octet in (0x0A, *switch.bytes[:5]))


def router_port(router: str, subnet: str) -> str:
    """The name of a router's port on a subnet.

    It has both: ovn-controller 23.03 loses its way when a port moves from one router to another and keeps its name.
    """
    return f"subnet:{subnet}:{router}"


def router_peer(router: str, subnet: str) -> str:
    """The name of a subnet's switch port that a router is on."""
    return f"router:{subnet}:{router}"


def router_ids(router: Router) -> dict[str, str]:
    """A Logical_Router's external_ids: all that a router is."""
    ids = kind("router", router=router.name)
    external = router.external
    if external is None:
        return ids
    return ids | kind(
        "router",
        physical_network=external.physical_network,
        address=str(external.address or ""),
        next_hop=str(external.next_hop or ""),
        vlan=str(external.vlan),
        snat="yes" if external.snat else "no",
        mtu=str(Subnet.mtu),  # for control services and agents of earlier versions, which can't do without it
        address6=str(external.address6 or ""),
        next_hop6=str(external.next_hop6 or ""),
        snat6="yes" if external.snat6 else "no",
        mac=external.mac,
    )


@reader
def router(row: Row) -> Router:
    """A Logical_Router as the router it is."""
    ids = own(row)
    if not ids.get("physical-network"):
        return Router(ids["router"])
    address4, hop4 = _way(ids.get("address"), ids.get("next-hop"), 4)
    address6, hop6 = _way(ids.get("address6"), ids.get("next-hop6"), 6)
    external = External(
        physical_network=ids["physical-network"],
        address=address4,
        next_hop=hop4,
        vlan=_number(ids.get("vlan", "0"), _LAST_VLAN),
        snat=ids.get("snat", "yes") == "yes",
        address6=address6,
        next_hop6=hop6,
        snat6=ids.get("snat6") == "yes",
        mac=_mac(ids.get("mac")) or uuids.external_mac(None, ids["router"]),  # without one: of an earlier version
    )
    return Router(ids["router"], external)


def _way(text: str | None, hop: str | None, version: int) -> tuple[InterfaceAddress | None, IPAddress | None]:
    """A router's address outside of an IP version, and the next hop."""
    if not text:
        return None, None
    if not hop:
        raise ValueError(f"address {text} has no next hop")
    network, next_hop = IPNetwork(text), IPAddress(hop)  # the former checks the length
    if {network.version, next_hop.version} != {version}:
        raise ValueError(f"address {text} and next hop {hop} are not both of IPv{version}")
    return InterfaceAddress(network.ip, network.prefixlen), next_hop


def _mac(text: str | None) -> str:
    """A MAC address; "" where there is none."""
    if text and not labels.MAC.fullmatch(text):
        raise ValueError(f"{text} is not a MAC address")
    return text or ""


def port_ids(port: Port) -> dict[str, str]:
    """A Logical_Switch_Port's external_ids."""
    return kind(
        "port",
        domain=str(port.domain),
        domain_name=port.domain_name,
        mac=port.mac,
        subnet=port.subnet,
        host=port.host,
        kept_by=port.kept_by.value,
        moving_to=port.moving_to,
        **({} if port.index is None else {"index": str(port.index)}),
    )


def port_columns(port: Port) -> Row:
    """The columns of a Logical_Switch_Port that are wholly ours. Sender addresses other than these are dropped."""
    addresses = _addresses(port)
    return {
        "name": port.id,
        "addresses": addresses,
        "port_security": _allowed(port),
        **{
            f"dhcpv{version}_options": as_set(
                ref(dhcp_uuid(port.subnet, version)) for address in port.addresses if address.version == version
            )
            for version in (4, 6)
        },
    }


def _addresses(port: Port) -> str:
    return " ".join((port.mac, *map(str, port.addresses)))


def _allowed(port: Port) -> str:
    """A port's MAC and the sender addresses that it may use.

    OVN adds the link-local address that is made of the MAC (RFC 4291, appendix A); many guests have another one, random
    or stable and opaque (RFC 7217), and without it they hear no router. Any may be used but those that begin like the
    router's: neighbours would take such a guest for the router.
    """
    if all(address.version == 4 for address in port.addresses):
        return _addresses(port)
    return " ".join((_addresses(port), *_link_local(port.subnet)))


@functools.lru_cache(maxsize=1024)
def _link_local(subnet: str) -> tuple[str, ...]:
    """The link-local network (RFC 4291, section 2.5.6) as networks, without that of a subnet's router's address."""
    router = int(EUI(_server_mac(uuids.switch(subnet))).ipv6_link_local())
    beside = ((router ^ (1 << (128 - length)), length) for length in range(_LINK + 1, _RESERVED + 1))
    return tuple(str(IPNetwork(f"{IPAddress(other, 6)}/{length}").cidr) for other, length in beside)


def port_options(port: Port) -> dict[str, str]:
    """Keys of a Logical_Switch_Port's options: only the requested chassis may bind the port.

    In a migration it is on both; the second one stays silent until the guest is heard there (ovn-nb(5),
    options:activation-strategy), so that nothing arrives twice.
    """
    if not port.moving_to:
        return {REQUESTED_CHASSIS: port.host}
    return {REQUESTED_CHASSIS: f"{port.host},{port.moving_to}", ACTIVATION_STRATEGY: "rarp"}


PORT_COLUMNS = ("_uuid", "name", "addresses", "up", "external_ids")
"""What `port` reads of a Logical_Switch_Port; where there is more, it is looked at whether that is as it should be."""


@reader
def port(row: Row) -> Port:
    """A Logical_Switch_Port as the port it is."""
    ids = own(row)
    addresses = min(set_of(row["addresses"]), key=lambda one: not one.startswith(ids["mac"]), default="").split()[1:]
    found = Port(
        id=row["name"],
        subnet=ids["subnet"],
        mac=ids["mac"],
        addresses=tuple(map(IPAddress, addresses)),
        domain=UUID(ids["domain"]),
        domain_name=ids.get("domain-name", ids["domain"]),
        host=ids.get("host", ""),
        kept_by=Keeper(ids.get("kept-by", Keeper.LIBVIRT.value)),
        moving_to=ids.get("moving-to", ""),
        index=_number(ids["index"], _LARGEST_INDEX) if "index" in ids else None,
        up=row["up"] is True,
    )
    return found if _says(row, found) else replace(found, intact=False)


def _says(row: Row, port: Port) -> bool:
    """Whether those columns of a row that were read are those of a port."""
    if row.keys() <= {*PORT_COLUMNS}:
        return set_of(row["addresses"]) == [_addresses(port)]
    columns = {name: set_of(value) for name, value in port_columns(port).items() if name in row}
    if any(set_of(row[name]) != value for name, value in columns.items()):
        return False
    options = {REQUESTED_CHASSIS: "", ACTIVATION_STRATEGY: "", **port_options(port)}
    return "options" not in row or all(map_of(row["options"]).get(key, "") == options[key] for key in options)


def lease_ids(lease: Lease) -> dict[str, str]:
    """The external_ids of the DNS row of a lease."""
    return kind(
        "lease",
        subnet=lease.subnet,
        domain=str(lease.domain),
        domain_name=lease.domain_name,
        mac=lease.mac,
        hostname=lease.hostname,
        host=lease.host,
        run=lease.run,
        by_default="yes" if lease.by_default else "no",
    )


def lease_records(lease: Lease) -> dict[str, str]:
    """The records of the DNS row of a lease."""
    return {lease.hostname: str(lease.address)}


def lease_columns(lease: Lease) -> Row:
    """The DNS row of a lease."""
    return {"records": as_map(lease_records(lease)), "external_ids": as_map(lease_ids(lease))}


@reader
def lease(row: Row) -> Lease:
    """A DNS row as the lease it is."""
    ids = own(row)
    records = map_of(row["records"])
    hostname = ids["hostname"] if ids.get("hostname") in records else min(records, default="")
    return Lease(
        subnet=ids["subnet"],
        address=IPAddress(records[hostname]),
        domain=UUID(ids["domain"]),
        domain_name=ids.get("domain-name", ids["domain"]),
        mac=ids["mac"],
        hostname=hostname,
        host=ids.get("host", ""),
        run=ids.get("run", ""),
        by_default=ids.get("by-default") == "yes",
    )


def holding_ids(holding: Holding) -> dict[str, str]:
    """The external_ids of the DNS row of what a domain holds."""
    return kind(
        "domain",
        domain=str(holding.domain),
        domain_name=holding.domain_name,
        host=holding.host,
        kept_by=holding.kept_by.value,
        moving_to=holding.moving_to,
    )


def holding_records(holding: Holding) -> dict[str, str]:
    """What a domain holds, as records: by MAC, the subnet and the addresses."""
    records: dict[str, str] = {}
    for mac, subnet_name, where in holding.leases:
        records[mac] = f"{records[mac]} {where}" if mac in records else f"{subnet_name} {where}"
    return records


def holding_columns(holding: Holding) -> Row:
    """The DNS row of what a domain holds."""
    return {"records": as_map(holding_records(holding)), "external_ids": as_map(holding_ids(holding))}


@reader
def holding(row: Row) -> Holding:
    """A DNS row as the holding it is."""
    ids = own(row)
    leases = []
    others = {}
    for mac, value in map_of(row["records"]).items():
        if not labels.MAC.fullmatch(mac):
            others[mac] = value
            continue
        subnet_name, *addresses = value.split()
        leases += [(mac, subnet_name, IPAddress(where)) for where in addresses]
    return Holding(
        domain=UUID(ids["domain"]),
        domain_name=ids.get("domain-name", ids["domain"]),
        host=ids.get("host", ""),
        leases=tuple(sorted(leases)),
        kept_by=Keeper(ids.get("kept-by", Keeper.LIBVIRT.value)),
        moving_to=ids.get("moving-to", ""),
        others=tuple(others.items()),
    )


def claim_columns(claim: Claim) -> Row:
    """The DNS row of a claim."""
    return {"external_ids": as_map(kind("mac", subnet=claim.subnet, mac=claim.mac, domain=str(claim.domain)))}


@reader
def claim(row: Row) -> Claim:
    """A DNS row as the claim it is."""
    ids = own(row)
    return Claim(ids["subnet"], ids["mac"], UUID(ids["domain"]))


def registry_ids(registry: Registry) -> dict[str, str]:
    """The external_ids of the DNS row of the registry."""
    return kind("registry", serial=str(registry.serial), default_subnet=registry.default_subnet)


def registry_records(registry: Registry) -> dict[str, str]:
    """The records of the DNS row of the registry."""
    return {_CLOUD: str(registry.cloud)} if registry.cloud else {}


def registry_columns(registry: Registry) -> Row:
    """The DNS row of the registry.

    The cloud's id is not in the external_ids: earlier versions compare and write these as a whole.
    """
    return {"records": as_map(registry_records(registry)), "external_ids": as_map(registry_ids(registry))}


@reader
def registry(row: Row) -> Registry:
    """A DNS row as the registry it is."""
    ids = own(row)
    cloud = map_of(row["records"]).get(_CLOUD)
    serial, default = int(ids.get("serial", "0")), ids.get("default-subnet", "")
    return Registry(serial, default, UUID(cloud) if cloud else None)


def members(uuid: UUID) -> Any:
    """A set of one reference, for mutations of `ports`."""
    return as_set([ref(uuid)])
