"""Rows of a port and of its MAC reservation. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from netaddr import EUI, IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.ovsdb.operation import Row, as_map, as_set, map_of, ref, set_of
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.limits import Limits
from ovnhook.resources.port import options
from ovnhook.resources.port.foreign import foreign_settings
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.port.values import Claim, Owner, Port
from ovnhook.resources.reading import RECREATED, groups_of, limits_of, number_of, reader
from ovnhook.resources.subnet.values import dhcp_uuid, server_mac
from ovnhook.resources.tables import DNS, PORT

REQUESTED_CHASSIS = "requested-chassis"
ACTIVATION_STRATEGY = "activation-strategy"
_LINK = 64  # prefix length of the link-local network
_RESERVED = _LINK + 24  # prefix length of the part around the router's address, with the first half of its MAC address
_LARGEST_INDEX = 1_000_000  # of a domain's interface


def port_ids(port: Port) -> dict[str, str]:
    """External_ids of a Logical_Switch_Port."""
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
        **({"allowed_addresses": " ".join(port.options.allowed)} if port.options.allowed else {}),
        **({} if port.options.security else {"port_security": "off"}),
        **_group_ids(port),
        **_limit_ids("limit", port.limits),
        **_limit_ids("requested_limit", port.options.limits),
        **({"virtual_addresses": " ".join(map(str, port.options.virtual))} if port.options.virtual else {}),
    )


def _group_ids(port: Port) -> dict[str, str]:
    """A port's groups, under the key that tells whose they are; none if it has none of the subnet, as before."""
    groups = " ".join(port.security_groups)
    if port.names_groups:
        return {"security_groups": groups}
    return {"subnet_groups": groups} if groups else {}


def _limit_ids(key: str, of_port: Limits) -> dict[str, str]:
    return {f"{key}_{way}": rate for way, rate in of_port.by_direction.items() if rate}


def port_columns(port: Port) -> Row:
    """Columns of a Logical_Switch_Port that ovnhook sets as a whole."""
    return {
        "name": port.id,
        "addresses": as_set(_addresses(port)),
        "port_security": as_set(_allowed(port)),
        **{
            f"dhcpv{version}_options": as_set(
                ref(dhcp_uuid(port.subnet, version)) for address in port.addresses if address.version == version
            )
            for version in (4, 6)
        },
    }


def _addresses(port: Port) -> tuple[str, ...]:
    """MAC and leased addresses of a port, and "unknown" if its guest may have further MAC addresses."""
    return (" ".join((port.mac, *map(str, port.addresses))), *(("unknown",) if port.options.takes_unknown else ()))


def _allowed(port: Port) -> tuple[str, ...]:
    """Port security: MAC addresses of a port, each with the source addresses that it may use. Empty: any.

    OVN adds the EUI-64 link-local address (RFC 4291, appendix A). Many guests use a random or stable, opaque one
    instead (RFC 7217), without which they get no router advertisements. So all are allowed, except those around the
    router's address, with which a guest could impersonate the router.
    """
    if not port.options.security:
        return ()
    sources = (*map(str, (*port.addresses, *port.options.virtual)), *port.options.networks)
    link_local = _link_local(port.subnet) if any(":" in source for source in sources) else ()
    return tuple(" ".join((mac, *sources, *link_local)) for mac in sorted((port.mac, *port.options.macs)))


@functools.lru_cache(maxsize=1024)
def _link_local(subnet: str) -> tuple[str, ...]:
    """The link-local network (RFC 4291, section 2.5.6) without the part around the router's address, as networks."""
    router = int(EUI(server_mac(subnet)).ipv6_link_local())
    beside = ((router ^ (1 << (128 - length)), length) for length in range(_LINK + 1, _RESERVED + 1))
    return tuple(str(IPNetwork(f"{IPAddress(other, 6)}/{length}").cidr) for other, length in beside)


def port_options(port: Port) -> dict[str, str]:
    """Options of a Logical_Switch_Port: only the requested chassis may bind the port.

    During a migration both chassis bind it; on the destination it is blocked until the guest sends a RARP (ovn-nb(5),
    options:activation-strategy), so that packets are not duplicated.
    """
    if not port.moving_to:
        return {REQUESTED_CHASSIS: port.host}
    return {REQUESTED_CHASSIS: f"{port.host},{port.moving_to}", ACTIVATION_STRATEGY: "rarp"}


PORT_COLUMNS = ("_uuid", "name", "addresses", "up", "external_ids")
"""Columns that `read_port` needs; it also verifies others if they are present."""


@reader(PORT, f"ovn-nbctl lsp-del {{uuid}}: {RECREATED}")
def read_port(row: Row) -> Port:
    """Parse a Logical_Switch_Port."""
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
        kept_by=Owner(ids.get("kept-by", Owner.LIBVIRT.value)),
        moving_to=ids.get("moving-to", ""),
        index=number_of(ids["index"], _LARGEST_INDEX) if "index" in ids else None,
        options=_options(ids),
        limits=limits_of(ids),
        foreign=foreign_settings(row, (REQUESTED_CHASSIS, ACTIVATION_STRATEGY)),
        security_groups=groups_of(ids.get("security-groups", ids.get("subnet-groups", ""))),
        names_groups="security-groups" in ids,
        up=row["up"] is True,
    )
    return found if _matches(row, found) else replace(found, intact=False)


def _options(ids: Mapping[str, str]) -> PortOptions:
    allowed = ids.get("allowed-addresses", "").split()
    try:
        security = ids.get("port-security", "on") != "off"
        rates = limits_of(ids, "requested-limit", accept_none=True)
        found = options.requested("external_ids", allowed, security=security, limits=rates)
        virtual = options.virtual_addresses("external_ids", ids.get("virtual-addresses", "").split())
        return replace(found, virtual=virtual)
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def _matches(row: Row, port: Port) -> bool:
    """Compare the columns that were read with those of a port."""
    if row.keys() <= {*PORT_COLUMNS}:
        return sorted(set_of(row["addresses"])) == sorted(_addresses(port))
    columns = {name: sorted(set_of(value)) for name, value in port_columns(port).items() if name in row}
    if any(sorted(set_of(row[name])) != value for name, value in columns.items()):
        return False
    options = {REQUESTED_CHASSIS: "", ACTIVATION_STRATEGY: "", **port_options(port)}
    return "options" not in row or all(map_of(row["options"]).get(key, "") == options[key] for key in options)


def claim_columns(claim: Claim) -> Row:
    """DNS row of a MAC reservation."""
    return {"external_ids": as_map(kind("mac", subnet=claim.subnet, mac=claim.mac, domain=str(claim.domain)))}


@reader(DNS, f"ovn-nbctl destroy {DNS} {{uuid}}: {RECREATED}")
def read_claim(row: Row) -> Claim:
    """Parse the DNS row of a MAC reservation."""
    ids = own(row)
    return Claim(ids["subnet"], ids["mac"], UUID(ids["domain"]))
